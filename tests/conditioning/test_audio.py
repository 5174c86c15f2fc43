"""Sound files and the Kaldi filter bank, against a bin-by-bin derivation and a separate library."""

import cmath
import contextlib
import math

import kaldi_native_fbank
import numpy as np
import pytest
import soundfile
import torch

from xbind.conditioning import audio_files
from xbind.conditioning.audio import fbank_clips, load_audio, mel_filters
from xbind.conditioning.audio_windows import window_starts
from xbind.conditioning.errors import PromptError
from xbind.mini.world.categories import CATEGORIES
from xbind.mini.world.sounds import synthesise
from xbind.models.inputs import FbankConfig
from xbind.networks.load import load_bind
from xbind.networks.manifest import load_manifest

RATE = 16_000


@pytest.fixture(scope="module")
def mini_bind():
    return load_bind(load_manifest("mini"))


def noise(seconds=2.0, seed=0):
    count = int(seconds * RATE)
    return np.random.default_rng(seed).normal(scale=0.1, size=count).astype(np.float32)


def tone(hertz, seconds, rate):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def dither(step):
    """Silence as a recorder writes it: triangular noise of one step, rounded to whole steps."""
    rng = np.random.default_rng(2)
    return step * np.round(rng.uniform(-0.5, 0.5, (2, 3 * RATE)).sum(0))


def energies(waveform, config):
    """Logarithmic energies as `fbank_clips` normalises them, undone."""
    clips = fbank_clips(torch.from_numpy(waveform), config)
    return (clips.double() * config.std + config.mean).numpy()


def one_energy(samples, frame, mel, mels):
    """One filter's logarithmic energy by scalar loops: 25 ms Hann, 10 ms, 512 points, 16 kHz."""
    window = [float(v) for v in samples[frame * 160 : frame * 160 + 400]]
    mean = sum(window) / 400
    window = [v - mean for v in window]
    window = [v - 0.97 * window[max(i - 1, 0)] for i, v in enumerate(window)]
    window = [v * (0.5 - 0.5 * math.cos(2 * math.pi * i / 399)) for i, v in enumerate(window)]

    def scale(hertz):
        return 1127 * math.log(1 + hertz / 700)

    step = (scale(8000) - scale(20)) / (mels + 1)
    centre = scale(20) + (mel + 1) * step
    total = 0.0
    for k in range(257):
        weight = 1 - abs(scale(k * RATE / 512) - centre) / step
        if weight > 0:
            value = sum(v * cmath.exp(-2j * math.pi * k * i / 512) for i, v in enumerate(window))
            total += weight * abs(value) ** 2
    return math.log(max(total, 2.0**-23))


@pytest.mark.parametrize(
    ("frame", "mel", "mels"),
    [(0, 0, 128), (0, 3, 128), (17, 60, 128), (197, 127, 128), (5, 20, 40)],
)
def test_energy_matches_scalar_derivation(frame, mel, mels):
    samples = noise() + np.float32(0.25)
    got = energies(samples, FbankConfig(mels=mels))[0, 0, mel, frame]
    assert got == pytest.approx(one_energy(samples, frame, mel, mels), abs=2e-5)


def test_energies_match_kaldi_native_fbank():
    # It refuses ImageBind's 128 filters: one of them is narrower than a bin of the spectrum.
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither = 0.0
    options.frame_opts.window_type = "hanning"
    options.mel_opts.num_bins = 80
    options.htk_compat = True
    options.use_energy = False
    samples = noise()
    other = kaldi_native_fbank.OnlineFbank(options)
    other.accept_waveform(RATE, samples)
    other.input_finished()
    want = np.stack([other.get_frame(i) for i in range(other.num_frames_ready)], 1)
    got = energies(samples, FbankConfig(mels=80))[0, 0, :, : want.shape[1]]
    assert want.shape == (80, 198)
    np.testing.assert_allclose(got, want, atol=5e-4)


def test_shape_padding_and_normalisation_are_imagebinds():
    clips = fbank_clips(torch.from_numpy(noise()))
    assert clips.shape == (3, 1, 128, 204)
    assert clips.dtype == torch.float32
    # 198 frames fit into 2 s; the rest is 0 before (x + 4.268)/9.138.
    torch.testing.assert_close(clips[..., 198:], torch.full((3, 1, 128, 6), 4.268 / 9.138))
    assert not (clips[..., 197] == clips[..., 198]).any()


def test_longer_clips_are_cut():
    assert fbank_clips(torch.from_numpy(noise()), FbankConfig(frames=100)).shape[-1] == 100


def test_only_the_empty_filter_is_empty():
    sums = mel_filters(FbankConfig()).sum(1)
    assert (sums == 0).nonzero().flatten().tolist() == [3]


def test_clips_start_at_thirds_of_the_room():
    samples = noise(8.0)
    clips = fbank_clips(torch.from_numpy(samples))
    for index, start in enumerate([0, 32_000, 64_000]):  # room: 6 s, in thirds of 2 s
        alone = fbank_clips(torch.from_numpy(samples[start : start + 32_000]), FbankConfig(clips=1))
        torch.testing.assert_close(clips[index], alone[0])


def test_a_short_sound_is_repeated():
    short = noise(0.7)
    clips = fbank_clips(torch.from_numpy(short))
    want = fbank_clips(torch.from_numpy(np.tile(short, 3)[:32_000].copy()), FbankConfig(clips=1))
    for clip in clips:
        torch.testing.assert_close(clip, want[0])


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_formats_are_read_and_resampled(tmp_path, name):
    rate = 44_100
    soundfile.write(tmp_path / name, tone(1000, 1.0, rate), rate)
    loaded = load_audio(tmp_path / name)
    assert loaded.seconds == pytest.approx(1.0, abs=0.06)
    assert loaded.notes() == ()
    assert len(loaded.waveform) == pytest.approx(loaded.seconds * RATE, abs=2)
    spectrum = np.abs(np.fft.rfft(loaded.waveform[2000:10_000].numpy() * np.hanning(8000)))
    assert np.argmax(spectrum) * RATE / 8000 == pytest.approx(1000, abs=4)


def test_resampling_keeps_the_samples(tmp_path):
    rate = 48_000
    soundfile.write(tmp_path / "a.wav", tone(440, 4.0, rate), rate, subtype="FLOAT")
    got = load_audio(tmp_path / "a.wav").waveform.numpy()
    np.testing.assert_allclose(got[1000:-1000], tone(440, 4.0, RATE)[1000:-1000], atol=1e-3)


def test_channels_are_mixed_down(tmp_path):
    left, right = tone(500, 1.0, RATE), tone(900, 1.0, RATE)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], 1), RATE, subtype="FLOAT")
    loaded = load_audio(tmp_path / "a.wav")
    np.testing.assert_allclose(loaded.waveform, (left + right) / 2, atol=1e-6)
    assert loaded.only_channel is None


@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_channels_that_cancel_out_leave_the_loudest(tmp_path, rate):
    right = tone(500, 1.0, rate)
    soundfile.write(tmp_path / "a.wav", np.stack([-0.9 * right, right], 1), rate, subtype="FLOAT")
    loaded = load_audio(tmp_path / "a.wav")
    want = tone(500, 1.0, RATE)
    np.testing.assert_allclose(loaded.waveform[500:-500], want[500:-500], atol=1e-3)
    assert loaded.only_channel == 2
    assert "cancel each other: only channel 2 is used" in loaded.notes()[0]


def test_one_channel_of_many_is_mixed_and_not_called_cancelled(tmp_path):
    channels = np.zeros((RATE, 16))
    channels[:, 5] = tone(500, 1.0, RATE)
    soundfile.write(tmp_path / "a.wav", channels, RATE, subtype="FLOAT")
    loaded = load_audio(tmp_path / "a.wav", FbankConfig(quietest_peak=1e-3))
    assert loaded.only_channel is None
    np.testing.assert_allclose(loaded.waveform, channels[:, 5] / 16, atol=1e-6)


def test_an_ordinary_level_is_left_alone_bit_for_bit(tmp_path):
    samples = noise()
    for peak in (0.051, 0.3, 1.0, 1.49):
        _write(tmp_path / "a.wav", samples * np.float32(peak / np.abs(samples).max()))
        want, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
        loaded = load_audio(tmp_path / "a.wav")
        np.testing.assert_array_equal(loaded.waveform, want)
        assert loaded.gain == 1.0


@pytest.mark.parametrize(
    ("scale", "bound", "note"),
    [(1e-3, 0.05, "very quiet"), (32_767, 1.5, "beyond full scale"), (1e15, 1.5, "beyond")],
)
def test_a_level_outside_the_bounds_is_brought_to_the_nearer(tmp_path, scale, bound, note):
    wave = tone(440, 2.0, RATE)
    _write(tmp_path / "a.wav", scale * wave)
    loaded = load_audio(tmp_path / "a.wav")
    np.testing.assert_allclose(loaded.waveform, wave * (bound / 0.5), atol=1e-4 * bound)
    (said,) = loaded.notes()
    assert note in said
    assert f"multiplied by {bound / 0.5 / scale:.3g}." in said


def test_the_level_is_that_of_the_windows_that_are_heard(tmp_path):
    # a click between two windows, which no window holds
    samples = noise(12.0) * np.float32(0.01)
    samples[int(3.0 * RATE)] = 1.0
    _write(tmp_path / "a.wav", samples)
    loaded = load_audio(tmp_path / "a.wav", FbankConfig(clips=2))
    assert loaded.starts == (0.0, 5.0)
    assert loaded.gain == pytest.approx(0.05 / loaded.peak)
    assert loaded.gain > 5


def test_a_sound_in_silence_is_found_wherever_it_is():
    sound = noise()
    for before in (0.0, 3.3, 8.0):
        silence = np.zeros(int(before * RATE), np.float32)
        rest = np.zeros(int((8.0 - before) * RATE), np.float32)
        clips = fbank_clips(torch.from_numpy(np.concatenate([silence, sound, rest])))
        alone = fbank_clips(torch.from_numpy(sound))
        torch.testing.assert_close(clips, alone)


def test_the_loudest_windows_that_do_not_overlap_are_heard():
    events = {3.0: 1.0, 11.0: 0.8, 17.0: 0.5, 24.0: 0.9, 30.0: 0.1}
    samples = np.zeros(40 * RATE, np.float32)
    for second, level in events.items():
        samples[int(second * RATE) : int((second + 1) * RATE)] = level * noise(1.0)
    starts = window_starts(torch.from_numpy(samples), 2 * RATE, 3, RATE)
    assert [start / RATE for start in starts] == pytest.approx([3.0, 11.0, 24.0], abs=0.1)


@pytest.mark.parametrize(("before", "level"), [(0.0, 0.0), (1.2, 0.0), (4.0, 0.25)])
def test_a_short_sound_is_cut_out_of_silence_where_the_encoder_wants_it(tmp_path, before, level):
    short = noise(0.7) + np.float32(level)
    rest = np.full(int(before * RATE), level, np.float32)
    samples = np.concatenate([rest, short, np.full(5 * RATE, level, np.float32)])
    _write(tmp_path / "a.wav", samples)
    loaded = load_audio(tmp_path / "a.wav", FbankConfig(cut_silence=True))
    np.testing.assert_allclose(loaded.waveform, short, atol=1e-6)
    assert loaded.starts == pytest.approx((before,) * 3)
    assert loaded.heard_seconds == pytest.approx(0.7)
    whole = load_audio(tmp_path / "a.wav")
    np.testing.assert_array_equal(whole.waveform, samples)


def test_what_fills_a_window_or_is_hardly_in_silence_is_not_cut(tmp_path):
    cutting = FbankConfig(cut_silence=True)
    for silence, sound in ((0.05, 1.0), (3.0, 2.0)):
        samples = np.concatenate([np.zeros(int(silence * RATE), np.float32), noise(sound)])
        _write(tmp_path / "a.wav", samples)
        np.testing.assert_array_equal(load_audio(tmp_path / "a.wav", cutting).waveform, samples)


def test_a_click_keeps_the_shortest_length(tmp_path):
    samples = np.zeros(3 * RATE, np.float32)
    samples[-1] = 0.5
    _write(tmp_path / "a.wav", samples)
    waveform = load_audio(tmp_path / "a.wav", FbankConfig(cut_silence=True)).waveform
    np.testing.assert_array_equal(waveform, samples[-1600:])


def test_a_pause_in_a_sound_does_not_move_the_windows():
    samples = noise(8.0)
    samples[int(2.4 * RATE) : int(3.8 * RATE)] = 0.0  # most of the second window
    assert window_starts(torch.from_numpy(samples), 2 * RATE, 3, RATE) == (0, 32_000, 64_000)


def test_a_faint_event_is_not_heard_beside_a_loud_one():
    samples = np.zeros(20 * RATE, np.float32)
    samples[3 * RATE : 4 * RATE] = noise(1.0)
    samples[11 * RATE : 12 * RATE] = 0.03 * noise(1.0)  # -30 dB
    starts = window_starts(torch.from_numpy(samples), 2 * RATE, 3, RATE)
    assert [start / RATE for start in starts] == pytest.approx([3.0, 3.0, 3.0], abs=0.1)


def test_silence_everywhere_leaves_the_windows_where_they_are():
    assert window_starts(torch.zeros(8 * RATE), 2 * RATE, 3, RATE) == (0, 32_000, 64_000)


def test_says_when_little_of_the_file_is_heard(tmp_path):
    _write(tmp_path / "a.wav", noise(48.0))
    loaded = load_audio(tmp_path / "a.wav")
    assert loaded.heard_seconds == pytest.approx(6.0)
    (note,) = loaded.notes()
    assert note.startswith("Heard 6 of 48 s of the sound, from 0.0, 15.3, 30.7 s on. Cut the part")
    _write(tmp_path / "a.wav", [*np.zeros(3 * RATE), *noise(2.0), *np.zeros(5 * RATE)])
    (note,) = load_audio(tmp_path / "a.wav").notes()
    assert note == (
        "Heard 2 of 10 s of the sound, from 3.0 s on. The rest is silent or much quieter."
    )
    _write(tmp_path / "a.wav", [*np.zeros(3 * RATE), *noise(0.4), *np.zeros(5 * RATE)])
    (note,) = load_audio(tmp_path / "a.wav", FbankConfig(cut_silence=True)).notes()
    assert note.startswith("Heard 0.4 of 8 s of the sound, from 3.0 s on. The rest is silent")
    _write(tmp_path / "a.wav", noise(11.0))
    assert load_audio(tmp_path / "a.wav").notes() == ()


VARIANTS = {
    "8 s of silence after": lambda x: (np.concatenate([x, np.zeros(8 * RATE)]), "PCM_16"),
    "20 s before, 13 after": lambda x: (np.concatenate([np.zeros(20 * RATE), x, 0 * x]), "PCM_16"),
    "one second and silence": lambda x: (np.concatenate([x[:RATE], np.zeros(4 * RATE)]), "FLOAT"),
    "very quiet": lambda x: (0.001 * x, "PCM_16"),
    "at the scale of int16": lambda x: (32_767 * x, "FLOAT"),
    "right channel only": lambda x: (np.stack([0 * x, x], 1), "PCM_16"),
    "opposite channels": lambda x: (np.stack([-x, x], 1), "PCM_16"),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_mini_bundle_reads_a_sound_alike_however_it_was_recorded(tmp_path, mini_bind, variant):
    tokens = mini_bind.tokenizer
    ids = torch.tensor([tokens.encode(f"a {name}").ids for name in CATEGORIES])
    texts = mini_bind.embed("text", ids)
    for category in ("car", "table", "bell", "duck"):
        wave = synthesise(category, torch.Generator().manual_seed(3)).astype(np.float64)
        samples, subtype = VARIANTS[variant](wave)
        soundfile.write(tmp_path / "a.wav", samples, RATE, subtype=subtype)
        waveform = load_audio(tmp_path / "a.wav", mini_bind.fbank).waveform
        clips = mini_bind.embed("audio", fbank_clips(waveform, mini_bind.fbank))
        assert CATEGORIES[int((clips.mean(0) @ texts.T).argmax())] == category


def test_ordinary_sounds_of_the_mini_world_are_heard_as_they_are(tmp_path, mini_bind):
    for category in CATEGORIES:
        wave = synthesise(category, torch.Generator().manual_seed(11))
        _write(tmp_path / "a.wav", wave)
        np.testing.assert_array_equal(
            load_audio(tmp_path / "a.wav", mini_bind.fbank).waveform, wave
        )


def test_a_long_sound_is_read_in_part_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(audio_files, "MAX_SECONDS", 5.0)
    samples = noise(7.0)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    loaded = load_audio(tmp_path / "a.wav")
    np.testing.assert_array_equal(loaded.waveform, samples[:80_000])
    assert loaded.seconds == 7.0


def test_says_that_the_rest_was_not_searched(tmp_path, monkeypatch):
    monkeypatch.setattr(audio_files, "MAX_SECONDS", 10.0)
    soundfile.write(tmp_path / "a.wav", noise(14.0), RATE, subtype="FLOAT")
    (note,) = load_audio(tmp_path / "a.wav").notes()
    assert note.startswith("Heard 6 of 14 s")
    assert "Only its first 10 s were searched." in note


def _write(path, samples, subtype="FLOAT"):
    soundfile.write(path, np.asarray(samples, np.float32), RATE, subtype=subtype)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "does not exist"),
        (lambda p: p.mkdir(), "is a folder"),
        (lambda p: p.write_bytes(b""), "cannot be read as a sound"),
        (lambda p: p.write_text("not a sound at all"), "cannot be read as a sound"),
        (lambda p: _write(p, []), "holds no samples"),
        (lambda p: _write(p, np.zeros(RATE)), "is silent"),
        (lambda p: _write(p, np.full(RATE, 0.5)), "is silent"),
        (lambda p: _write(p, dither(2.0**-15), "PCM_16"), "is silent"),
        (lambda p: _write(p, dither(2.0**-7), "PCM_U8"), "is silent"),
        (lambda p: _write(p, noise(0.05)), "lasts 0.050 s; at least 0.1 s"),
        (lambda p: _write(p, [*noise(1.0), np.nan]), r"not finite numbers \(NaN"),
        (lambda p: _write(p, [*noise(1.0), np.inf]), r"not finite numbers \(NaN or inf"),
        (lambda p: soundfile.write(p, noise(1.0), 100), "claims 100 samples per second"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path, make, message):
    path = tmp_path / "a.wav"
    make(path)
    with pytest.raises(PromptError, match=message) as refusal:
        load_audio(path)
    assert f"--audio {path}" in str(refusal.value)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_a_damaged_file_is_read_or_refused_but_never_a_crash(tmp_path, name):
    path = tmp_path / name
    soundfile.write(path, noise(0.5), RATE)
    whole = path.read_bytes()
    random = np.random.default_rng(1)
    for _ in range(25):
        data = bytearray(whole)
        for at in random.integers(0, min(len(data), 200), 3):
            data[at] = random.integers(0, 256)
        path.write_bytes(data[: random.integers(10, len(data))])
        with contextlib.suppress(PromptError):
            assert torch.isfinite(load_audio(path).waveform).all()


def test_an_impossible_config_is_refused():
    with pytest.raises(ValueError, match="shorter than one window"):
        FbankConfig(clip_seconds=0.02)
    with pytest.raises(ValueError, match="at least 1"):
        FbankConfig(mels=0)
    with pytest.raises(ValueError, match="quietest_peak ≤ loudest_peak"):
        FbankConfig(quietest_peak=2.0)
