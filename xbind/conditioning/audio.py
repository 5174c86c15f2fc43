"""A sound file to the mel clips that ImageBind's audio trunk reads.

ImageBind's own preparation: the first channel at 16 kHz; three clips of 2 s whose starts divide
the sound evenly; Kaldi's filter bank (25 ms Hann windows every 10 ms, 128 triangular mel filters,
natural logarithm), padded or cut to 204 frames; (x − mean)/std. A smaller encoder chooses other
numbers in `FbankConfig`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from jaxtyping import Float
from torch import Tensor

from xbind.conditioning.errors import PromptError

MAX_SECONDS = 600.0
"""Longer sounds are read up to here; the caller is told by `LoadedAudio.warning`."""
MIN_SECONDS = 0.1
"""Shorter sounds hold nothing to recognise: refused."""
SILENCE_RMS = 1e-4
"""A sound whose root mean square about its mean is below this (−80 dB of full scale) is silent."""
_RATES = (1_000, 768_000)
_BLOCK = 1 << 16


@dataclass(frozen=True, kw_only=True, slots=True)
class FbankConfig:
    """What an audio encoder reads; the defaults are ImageBind's."""

    sample_rate: int = 16_000
    """Samples per second."""
    clips: int = 3
    """Clips taken from one sound."""
    clip_seconds: float = 2.0
    """Length of a clip, in seconds."""
    mels: int = 128
    """Mel filters."""
    frames: int = 204
    """Frames of a clip after padding or cutting (2 s give 198)."""
    window_ms: float = 25.0
    """Length of an analysis window, in milliseconds."""
    shift_ms: float = 10.0
    """From one window to the next, in milliseconds."""
    preemphasis: float = 0.97
    """Kaldi's high-pass: x[i] − preemphasis · x[i−1]."""
    low_hz: float = 20.0
    """Lower edge of the lowest filter; the upper edge of the highest is half the sample rate."""
    mean: float = -4.268
    """Mean of the logarithmic energies in ImageBind's training data."""
    std: float = 9.138
    """Their standard deviation."""

    def __post_init__(self) -> None:
        if min(self.clips, self.mels, self.frames) < 1:
            raise ValueError("clips, mels and frames must be at least 1")
        if self.clip_samples() < self.window_samples():
            raise ValueError(f"a clip of {self.clip_seconds} s is shorter than one window")

    def clip_samples(self) -> int:
        """Samples of one clip."""
        return int(self.clip_seconds * self.sample_rate)

    def window_samples(self) -> int:
        """Samples of one analysis window."""
        return int(self.sample_rate * self.window_ms * 0.001)

    def shift_samples(self) -> int:
        """Samples from one window to the next."""
        return int(self.sample_rate * self.shift_ms * 0.001)


@dataclass(frozen=True, slots=True)
class LoadedAudio:
    """A sound as an encoder hears it."""

    waveform: Float[Tensor, " n"]
    """The first channel at the encoder's rate, in [−1, 1]."""
    seconds: float
    """Length of the file."""

    def warning(self) -> str | None:
        """What to tell the user about the part that is not used, if there is one."""
        if self.seconds <= MAX_SECONDS:
            return None
        return (
            f"The sound lasts {self.seconds:.0f} s; its first {MAX_SECONDS:.0f} s are used. "
            f"Cut the part you mean to a file of its own for a better match."
        )


def load_audio(path: Path, config: FbankConfig | None = None) -> LoadedAudio:
    """Read a sound file: WAV, FLAC, OGG, MP3 and what else libsndfile reads.

    Args:
        path: the file.
        config: gives the sample rate to convert to; ImageBind's by default.

    Raises:
        PromptError: when the file is missing, not a sound, damaged, empty, shorter than
            `MIN_SECONDS`, silent in its first channel, or holds numbers that are not finite.
    """
    config = FbankConfig() if config is None else config
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise PromptError(f"--audio {path} {what}. Give the path of a WAV, FLAC, OGG or MP3 file.")
    try:
        with soundfile.SoundFile(path) as file:
            seconds = file.frames / file.samplerate
            waveform = _read(file, path, config.sample_rate)
    except (soundfile.SoundFileError, OSError) as error:
        raise PromptError(
            f"--audio {path} cannot be read as a sound ({str(error).rstrip('.')}).\n"
            f"Give a WAV, FLAC, OGG or MP3 file; convert others first."
        ) from error
    _check_waveform(waveform, path, config.sample_rate)
    return LoadedAudio(torch.from_numpy(waveform), seconds)


def _read(file: soundfile.SoundFile, path: Path, sample_rate: int) -> np.ndarray:
    """The first channel of at most `MAX_SECONDS`, resampled block by block: memory stays small."""
    if not _RATES[0] <= file.samplerate <= _RATES[1]:
        raise PromptError(
            f"--audio {path} claims {file.samplerate} samples per second; rates from {_RATES[0]} "
            f"to {_RATES[1]} are read. Convert it to 16000 first."
        )
    blocks = _first_channel(file)
    if file.samplerate != sample_rate:
        stream = soxr.ResampleStream(file.samplerate, sample_rate, 1, dtype="float32")
        parts = [stream.resample_chunk(block) for block in blocks]
        parts.append(stream.resample_chunk(np.zeros(0, np.float32), last=True))
    else:
        parts = list(blocks)
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _first_channel(file: soundfile.SoundFile) -> Iterator[np.ndarray]:
    left = int(MAX_SECONDS * file.samplerate)
    while left > 0:
        block = file.read(min(_BLOCK, left), dtype="float32", always_2d=True)[:, 0]
        if not len(block):
            return
        left -= len(block)
        yield np.ascontiguousarray(block)


def _check_waveform(waveform: np.ndarray, path: Path, sample_rate: int) -> None:
    if not len(waveform):
        raise PromptError(f"--audio {path} holds no samples. Give a sound of a second or more.")
    if not np.isfinite(waveform).all():
        raise PromptError(f"--audio {path} holds numbers that are not finite. Export it again.")
    if len(waveform) < MIN_SECONDS * sample_rate:
        raise PromptError(
            f"--audio {path} lasts {len(waveform) / sample_rate:.3f} s; at least {MIN_SECONDS} s "
            f"are needed, and 2 s or more are best."
        )
    rms = float(np.sqrt(np.mean((waveform - waveform.mean(dtype=np.float64)) ** 2)))
    if rms < SILENCE_RMS:
        raise PromptError(
            f"--audio {path} is silent in its first channel (RMS {rms:.1e}, at least "
            f"{SILENCE_RMS:.0e} is needed). Give a sound that can be heard."
        )


def fbank_clips(
    waveform: Float[Tensor, " n"], config: FbankConfig | None = None
) -> Float[Tensor, "k 1 mels frames"]:
    """The mel clips of a sound, ready for the encoder: k clips, k = `config.clips`.

    Clip i starts at i/k of the way to the last start that fits. A sound shorter than a clip is
    repeated until it fills one (ImageBind's loader pads with empty frames instead, which no encoder
    has seen); its clips are then all the same.

    Args:
        waveform: mono, at `config.sample_rate`, in [−1, 1], not empty.
    """
    config = FbankConfig() if config is None else config
    samples = waveform.double()
    length = config.clip_samples()
    if len(samples) < length:
        samples = samples.repeat(math.ceil(length / len(samples)))[:length]
    spare = len(samples) - length
    starts = [spare * i // config.clips for i in range(config.clips)]
    clips = torch.stack([samples[start : start + length] for start in starts])
    energies = _log_mel(clips - clips.mean(-1, keepdim=True), config)
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
