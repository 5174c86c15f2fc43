"""Sound files and the Kaldi filter bank, against a bin-by-bin derivation and a separate library."""

import cmath
import contextlib
import math

import kaldi_native_fbank
import numpy as np
import pytest
import soundfile
import torch

from xbind.conditioning import audio
from xbind.conditioning.audio import FbankConfig, fbank_clips, load_audio, mel_filters
from xbind.conditioning.errors import PromptError

RATE = 16_000


def noise(seconds=2.0, seed=0):
    count = int(seconds * RATE)
    return np.random.default_rng(seed).normal(scale=0.1, size=count).astype(np.float32)


def tone(hertz, seconds, rate):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


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
    assert loaded.warning() is None
    assert len(loaded.waveform) == pytest.approx(loaded.seconds * RATE, abs=2)
    spectrum = np.abs(np.fft.rfft(loaded.waveform[2000:10_000].numpy() * np.hanning(8000)))
    assert np.argmax(spectrum) * RATE / 8000 == pytest.approx(1000, abs=4)


def test_resampling_keeps_the_samples(tmp_path):
    rate = 48_000
    soundfile.write(tmp_path / "a.wav", tone(440, 4.0, rate), rate, subtype="FLOAT")
    got = load_audio(tmp_path / "a.wav").waveform.numpy()
    np.testing.assert_allclose(got[1000:-1000], tone(440, 4.0, RATE)[1000:-1000], atol=1e-3)


def test_the_first_channel_is_used(tmp_path):
    left, right = tone(500, 1.0, RATE), tone(900, 1.0, RATE)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], 1), RATE, subtype="FLOAT")
    np.testing.assert_allclose(load_audio(tmp_path / "a.wav").waveform, left, atol=1e-6)


def test_a_long_sound_is_read_in_part_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(audio, "MAX_SECONDS", 5.0)
    samples = noise(7.0)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    loaded = load_audio(tmp_path / "a.wav")
    np.testing.assert_array_equal(loaded.waveform, samples[:80_000])
    assert loaded.warning().startswith("The sound lasts 7 s; its first 5 s are used.")


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
        (lambda p: _write(p, np.zeros(RATE)), "is silent in its first channel"),
        (lambda p: _write(p, np.full(RATE, 0.5)), "is silent in its first channel"),
        (lambda p: _write(p, np.stack([np.zeros(RATE), noise(1.0)], 1)), "silent in its first"),
        (lambda p: _write(p, noise(0.05)), "lasts 0.050 s; at least 0.1 s"),
        (lambda p: _write(p, [*noise(1.0), np.nan]), "not finite"),
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
