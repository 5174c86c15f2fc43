"""Sound files to mono at another sample rate, block by block: memory stays small."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
import soxr

from xbind.conditioning.errors import PromptError
from xbind.system.untrusted import guarded, silenced

MAX_SECONDS = 600.0
"""Longer sounds are read up to here; `LoadedAudio.notes` says so."""
CANCELLED = 0.01
"""Channels cancel out if their mean has less than this share (−20 dB) of the power that the mean of
independent channels would have."""
MAX_VALUES = 600 * 48_000 * 8
"""Samples of all channels that are decoded, at most: ten minutes of eight channels at 48 kHz."""
FORMATS = frozenset({"WAV", "WAVEX", "RF64", "W64", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF"})
"""libsndfile's names of the formats that are read."""
_RATES = (1_000, 768_000)
_MAX_CHANNELS = 64
_BLOCK = 1 << 16


@contextmanager
def opened(path: Path) -> Iterator[soundfile.SoundFile]:
    """Opens a sound file, of which only the header has been read and checked.

    Whatever libsndfile and soxr raise inside of the block becomes a `PromptError`. The file is
    recognised by its content alone: a name that ends in `.raw` is nothing special.

    Raises:
        PromptError: it is damaged, not one of `FORMATS`, or has a rate, a number of channels or a
            length that is not read.
    """

    def refuse(why: str) -> PromptError:
        return PromptError(
            f"--audio {path} cannot be read as a sound ({why}).\n"
            f"Give a WAV, FLAC, OGG or MP3 file; convert others first."
        )

    with (
        guarded(refuse),
        silenced(),
        path.open("rb") as source,
        soundfile.SoundFile(source.fileno(), closefd=False) as file,
    ):
        if file.format not in FORMATS:
            raise refuse(f"its format is {file.format}")
        _check_header(file, path)
        yield file


def _check_header(file: soundfile.SoundFile, path: Path) -> None:
    if not _RATES[0] <= file.samplerate <= _RATES[1]:
        raise PromptError(
            f"--audio {path} claims {file.samplerate} samples per second; rates from {_RATES[0]} "
            f"to {_RATES[1]} are read. Convert it to 16000 first."
        )
    if file.channels > _MAX_CHANNELS:
        raise PromptError(
            f"--audio {path} has {file.channels} channels; at most {_MAX_CHANNELS} are read. "
            f"Mix it down first."
        )
    values = min(file.frames, MAX_SECONDS * file.samplerate) * file.channels
    if values > MAX_VALUES:
        raise PromptError(
            f"--audio {path} has {file.channels} channels at {file.samplerate} samples per second; "
            f"at most {MAX_VALUES // 10**6} million samples are decoded.\n"
            f"Mix it down, cut it, or convert it to 16000 first."
        )


def read_mono(file: soundfile.SoundFile, sample_rate: int) -> tuple[np.ndarray, int | None]:
    """Read at most `MAX_SECONDS` in mono.

    Returns:
        The mean of the channels at `sample_rate`, and None; or the loudest channel and its number,
        from 1, where the channels cancel out.
    """
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
