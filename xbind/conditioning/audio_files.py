"""Sound files to mono at another sample rate, block by block: memory stays small."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from xbind.conditioning.errors import PromptError

MAX_SECONDS = 600.0
"""Longer sounds are read up to here; `LoadedAudio.notes` says so."""
CANCELLED = 0.01
"""Channels cancel out if their mean has less than this share (−20 dB) of the power that the mean of
independent channels would have."""
_RATES = (1_000, 768_000)
_BLOCK = 1 << 16


def read_mono(
    file: soundfile.SoundFile, path: Path, sample_rate: int
) -> tuple[np.ndarray, int | None]:
    """Read at most `MAX_SECONDS` in mono.

    Returns:
        The mean of the channels at `sample_rate`, and None; or the loudest channel and its number,
        from 1, where the channels cancel out.

    Raises:
        PromptError: the file's rate is not one that is read; the message names `path`.
    """
    if not _RATES[0] <= file.samplerate <= _RATES[1]:
        raise PromptError(
            f"--audio {path} claims {file.samplerate} samples per second; rates from {_RATES[0]} "
            f"to {_RATES[1]} are read. Convert it to {sample_rate} first."
        )
    power = np.zeros(file.channels + 1)
    waveform = _resampled(file, sample_rate, _mixed(file, power))
    loudest = int(power[:-1].argmax())
    independent = power[:-1].sum() / file.channels**2
    if power[-1] >= CANCELLED * independent or not np.isfinite(power).all():
        return waveform, None
    file.seek(0)
    only = (np.ascontiguousarray(block[:, loudest]) for block in _blocks(file))
    return _resampled(file, sample_rate, only), loudest + 1


def _resampled(
    file: soundfile.SoundFile, sample_rate: int, blocks: Iterable[np.ndarray]
) -> np.ndarray:
    """A channel at another rate."""
    if file.samplerate != sample_rate:
        stream = soxr.ResampleStream(file.samplerate, sample_rate, 1, dtype="float32")
        parts = [stream.resample_chunk(block) for block in blocks]
        parts.append(stream.resample_chunk(np.zeros(0, np.float32), last=True))
    else:
        parts = list(blocks)
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _mixed(file: soundfile.SoundFile, power: np.ndarray) -> Iterator[np.ndarray]:
    """The mean of the channels; adds the energy of each channel, and of the mean, to `power`."""
    for block in _blocks(file):
        wide = block.astype(np.float64)
        mix = wide.mean(1)
        power[:-1] += (wide**2).sum(0)
        power[-1] += (mix**2).sum()
        yield mix.astype(np.float32)


def _blocks(file: soundfile.SoundFile) -> Iterator[np.ndarray]:
    left = int(MAX_SECONDS * file.samplerate)
    while left > 0:
        block = file.read(min(_BLOCK, left), dtype="float32", always_2d=True)
        if not len(block):
            return
        left -= len(block)
        yield block
