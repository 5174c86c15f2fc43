"""A sound file to the mel clips that ImageBind's audio trunk reads.

ImageBind's own preparation: mono at 16 kHz; three clips of 2 s whose starts divide the sound
evenly; Kaldi's filter bank (25 ms Hann windows every 10 ms, 128 triangular mel filters, natural
logarithm), padded or cut to 204 frames; (x − mean)/std. A smaller encoder chooses other numbers in
`FbankConfig`. Three things differ from it, for files that it reads as something else: channels are
mixed down, where it takes the first; windows without sound are replaced (`window_starts`); a peak
outside of [`quietest_peak`, `loudest_peak`] is brought to the nearer bound. Every other file is
prepared as ImageBind prepares it.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from xbind.conditioning import audio_files
from xbind.conditioning.audio_windows import (
    even_starts,
    level_gain,
    sounding_part,
    window_starts,
    windows_of,
)
from xbind.conditioning.errors import PromptError
from xbind.models.inputs import FbankConfig
from xbind.system.untrusted import fault_of

MIN_SECONDS = 0.1
"""Shorter sounds hold nothing to recognise: refused."""
SILENCE_STEPS = 1.0
"""A sound whose loudest window has a root mean square below this many quantisation steps is silent:
dithered silence has half a step."""
_STEP = {"PCM_S8": 2.0**-7, "PCM_U8": 2.0**-7}
"""Quantisation step by libsndfile's subtype; that of 16 bits for every other."""
NOTED_GAIN = 4.0
"""A change of level by more than this factor is told to the user."""
LITTLE = 0.5
"""Share of a file below which the user is told how much of it was heard."""


@dataclass(frozen=True, slots=True)
class LoadedAudio:
    """A sound as an encoder hears it."""

    waveform: Float[Tensor, " n"]
    """Mono at the encoder's rate, level adjusted."""
    seconds: float
    """Length of the file."""
    starts: tuple[float, ...]
    """Starts of the windows that are encoded, in seconds."""
    window_seconds: float
    """Length of a window."""
    peak: float
    """Greatest magnitude in these windows as the file has it; 1 is full scale."""
    gain: float
    """Factor that was applied to the file's samples."""
    rest_is_quiet: bool = False
    """True if the rest is left out because it is silent or much quieter."""
    only_channel: int | None = None
    """Number of the one channel that is used, from 1, where a mix of all would cancel out."""

    @property
    def heard_seconds(self) -> float:
        """Seconds of the file that lie in any of the windows."""
        heard, end = 0.0, 0.0
        for start in self.starts:
            stop = min(start + self.window_seconds, self.seconds)
            heard, end = heard + max(0.0, stop - max(start, end)), max(end, stop)
        return heard

    def notes(self) -> tuple[str, ...]:
        """Notices for the user: the part that is encoded, a changed level, a silent channel."""
        notes = []
        if self.heard_seconds < LITTLE * self.seconds:
            notes.append(self._coverage())
        if not 1 / NOTED_GAIN <= self.gain <= NOTED_GAIN:
            how = "very quiet" if self.gain > 1.0 else "beyond full scale"
            notes.append(
                f"The sound is {how} (peak {self.peak:.2g}, full scale is 1): its samples are "
                f"multiplied by {self.gain:.3g}."
            )
        if self.only_channel is not None:
            notes.append(
                f"The channels of the sound cancel each other: only channel {self.only_channel} "
                f"is used."
            )
        return tuple(notes)

    def _coverage(self) -> str:
        starts = ", ".join(f"{start:.1f}" for start in sorted(set(self.starts)))
        searched = (
            f" Only its first {audio_files.MAX_SECONDS:.0f} s were searched."
            if self.seconds > audio_files.MAX_SECONDS
            else ""
        )
        advice = (
            "The rest is silent or much quieter."
            if self.rest_is_quiet
            else "Cut the part you mean to a file of its own for a better match."
        )
        digits = 0 if self.heard_seconds >= 1 else 1
        return (
            f"Heard {self.heard_seconds:.{digits}f} of {self.seconds:.0f} s of the sound, from "
            f"{starts} s on.{searched} {advice}"
        )


def load_audio(path: Path, config: FbankConfig | None = None) -> LoadedAudio:
    """Read a sound file: WAV, FLAC, OGG, MP3 and what else libsndfile reads.

    Channels are mixed down (their mean), or the loudest is taken where they cancel out. The level
    is changed only where the peak is outside of the bounds in `config`.

    Args:
        path: the file.
        config: gives the sample rate to convert to, the windows and the level; ImageBind's by
            default.

    Raises:
        PromptError: when the file is missing, not a sound, damaged, empty, shorter than
            `MIN_SECONDS`, silent, or holds numbers that are not finite.
    """
    config = FbankConfig() if config is None else config
    fault = fault_of(path)
    if fault is not None:
        raise PromptError(f"--audio {path} {fault}. Give the path of a WAV, FLAC, OGG or MP3 file.")
    with audio_files.opened(path) as file:
        seconds = file.frames / file.samplerate
        step = _STEP.get(file.subtype, 2.0**-15)
        waveform, channel = audio_files.read_mono(file, config.sample_rate)
    _check_waveform(waveform, path, config.sample_rate)
    samples, offset = torch.from_numpy(waveform), 0
    if config.cut_silence:
        part = sounding_part(samples, config.clip_samples(), config.sample_rate, MIN_SECONDS)
        samples, offset = samples[part], part.start
    starts, windows = _heard(samples, config)
    _check_sound(windows, path, SILENCE_STEPS * step)
    length = config.clip_samples()
    even = even_starts(max(len(samples), length), length, config.clips)
    peak = float(windows.abs().max())
    gain = level_gain(peak, config.quietest_peak, config.loudest_peak)
    return LoadedAudio(
        waveform=samples if gain == 1.0 else (samples.double() * gain).float(),
        seconds=seconds,
        starts=tuple((offset + start) / config.sample_rate for start in starts),
        window_seconds=min(config.clip_seconds, len(samples) / config.sample_rate),
        peak=peak,
        gain=gain,
        rest_is_quiet=len(samples) < len(waveform) or starts != even,
        only_channel=channel,
    )


def _check_waveform(waveform: np.ndarray, path: Path, sample_rate: int) -> None:
    if not len(waveform):
        raise PromptError(f"--audio {path} holds no samples. Give a sound of a second or more.")
    if not np.isfinite(waveform).all():
        raise PromptError(
            f"--audio {path} holds samples that are not finite numbers (NaN or infinity), or near "
            f"the limit of float32. Export it again."
        )
    if len(waveform) < MIN_SECONDS * sample_rate:
        raise PromptError(
            f"--audio {path} lasts {len(waveform) / sample_rate:.3f} s; at least {MIN_SECONDS} s "
            f"are needed, and 2 s or more are best."
        )


def _check_sound(windows: Float[Tensor, "k n"], path: Path, least_rms: float) -> None:
    rms = float(windows.square().mean(-1).sqrt().max())
    if rms < least_rms:
        raise PromptError(
            f"--audio {path} is silent (RMS {rms:.1e} where it is loudest, at least "
            f"{least_rms:.0e} of full scale is needed). Give a sound that can be heard."
        )


def _heard(
    waveform: Float[Tensor, " n"], config: FbankConfig
) -> tuple[tuple[int, ...], Float[Tensor, "k length"]]:
    """The starts of the windows that are heard, and their samples in float64 without the mean.

    A sound shorter than a window is repeated until it fills one.
    """
    samples, length = waveform.double(), config.clip_samples()
    if len(samples) < length:
        samples = samples.repeat(math.ceil(length / len(samples)))[:length]
    starts = window_starts(samples, length, config.clips, config.sample_rate)
    return starts, windows_of(samples, starts, length)


def fbank_clips(
    waveform: Float[Tensor, " n"], config: FbankConfig | None = None
) -> Float[Tensor, "k 1 mels frames"]:
    """The mel clips of a sound, ready for the encoder: k clips, k = `config.clips`.

    Clip i starts at i/k of the way to the last start that fits, or where `window_starts` finds the
    sound. A sound shorter than a clip is repeated until it fills one (ImageBind's loader pads with
    empty frames instead, which no encoder has seen); its clips are then all the same.

    Args:
        waveform: mono, at `config.sample_rate`, level as `load_audio` leaves it, not empty.
    """
    config = FbankConfig() if config is None else config
    energies = _log_mel(_heard(waveform, config)[1], config)
    # The padding is 0 before the normalisation: ImageBind was trained with it.
    energies = torch.nn.functional.pad(energies, (0, max(0, config.frames - energies.shape[-1])))
    normalised = (energies[..., : config.frames] - config.mean) / config.std
    return normalised[:, None].float().contiguous()


def _log_mel(clips: Float[Tensor, "k n"], config: FbankConfig) -> Float[Tensor, "k mels frames"]:
    """Kaldi's mel energies before padding: natural logarithm, floored at float32's epsilon."""
    size = config.window_samples()
    windows = clips.unfold(-1, size, config.shift_samples())
    windows = windows - windows.mean(-1, keepdim=True)
    before = torch.cat([windows[..., :1], windows[..., :-1]], -1)
    windows = windows - config.preemphasis * before
    hann = torch.hann_window(size, periodic=False, dtype=clips.dtype)
    points = 1 << (size - 1).bit_length()
    power = torch.fft.rfft(windows * hann, n=points).abs().square()
    energies = power @ mel_filters(config).T
    return energies.clamp(min=torch.finfo(torch.float32).eps).log().transpose(-1, -2)


@lru_cache(maxsize=8)
def mel_filters(config: FbankConfig) -> Float[Tensor, "mels bins"]:
    """Triangles that are linear on the mel scale 1127 ln(1 + f/700), over the bins of the spectrum.

    With many filters the lowest triangles are narrower than a bin and one can be empty (filter 3 of
    ImageBind's 128): its energy is then the floor, as in the data ImageBind was trained on.
    """
    points = 1 << (config.window_samples() - 1).bit_length()
    edges_hz = torch.tensor([config.low_hz, config.sample_rate / 2], dtype=torch.float64)
    low, high = _mel(edges_hz)
    fraction = torch.arange(config.mels + 2, dtype=torch.float64) / (config.mels + 1)
    edges = low + (high - low) * fraction
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    hertz = torch.arange(points // 2 + 1, dtype=torch.float64) * config.sample_rate / points
    mel = _mel(hertz)
    filters = torch.minimum((mel - left) / (centre - left), (right - mel) / (right - centre))
    return filters.clamp(min=0.0)


def _mel(hertz: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    return 1127.0 * torch.log1p(hertz / 700.0)
