"""Windows of a sound that an encoder receives, and their level."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

QUIET = 0.01
"""A window whose power is below this share of the loudest window's (−20 dB) is background."""
COMPARABLE = 0.1
"""A window that is heard beside the loudest one has at least this share of its power (−10 dB)."""
SAME = 0.98
"""Windows with this share of the greatest power hold the same sound; the latest begins with it."""
GRID_SECONDS = 0.1
"""From one candidate window to the next, in seconds."""

SILENT = 5e-4
"""A sample that deviates from the median by less than this share of the greatest deviation (−66 dB)
is silent: less than the noise of any recording in 16 bits that uses a tenth of full scale."""


def sounding_part(
    waveform: Float[Tensor, " n"], length: int, sample_rate: int, shortest: float
) -> slice:
    """Returns the part with sound, if it is shorter than a window; else the whole waveform.

    Less than `GRID_SECONDS` of silence is no reason to cut.

    Args:
        waveform: mono.
        length: samples of a window.
        sample_rate: samples per second.
        shortest: seconds that are left at least.
    """
    away = (waveform - waveform.median()).abs()
    sounding = (away > SILENT * away.max()).nonzero().flatten()
    if not len(sounding):
        return slice(0, len(waveform))
    first = min(int(sounding[0]), max(0, len(waveform) - int(shortest * sample_rate)))
    last = max(int(sounding[-1]) + 1, first + int(shortest * sample_rate))
    silent = len(waveform) - (last - first)
    if last - first >= length or silent < GRID_SECONDS * sample_rate:
        return slice(0, len(waveform))
    return slice(first, last)


def even_starts(samples: int, length: int, count: int) -> tuple[int, ...]:
    """First samples of ImageBind's windows: start i is i/count of the way to the last that fits."""
    return tuple((samples - length) * i // count for i in range(count))


def window_starts(
    waveform: Float[Tensor, " n"], length: int, count: int, sample_rate: int
) -> tuple[int, ...]:
    """First samples of the windows of a sound that are heard, in their order.

    They are `even_starts`, as ImageBind's. If one of these is background (`QUIET`), the loudest
    windows that do not overlap are taken instead; where there are fewer than `count` of comparable
    power, the loudest is taken again.

    Args:
        waveform: mono; at least `length` samples.
        length: samples of a window.
        count: windows.
        sample_rate: samples per second.
    """
    spare, even = len(waveform) - length, even_starts(len(waveform), length, count)
    grid = np.unique([*range(0, spare, max(1, int(GRID_SECONDS * sample_rate))), spare, *even])
    power = _window_power(waveform.double().numpy(), grid, length)
    if power[np.isin(grid, even)].min() >= QUIET * power.max():
        return even
    chosen: list[int] = []
    apart = np.ones(len(grid), bool)
    for _ in range(count):
        best = power[apart].max(initial=0.0)
        if best < COMPARABLE * power.max() or best == 0.0:
            break
        start = int(grid[(apart & (power >= SAME * best)).nonzero()[0][-1]])
        chosen.append(start)
        apart &= np.abs(grid - start) >= length
    chosen += chosen[:1] * (count - len(chosen))
    return tuple(sorted(chosen))


def _window_power(samples: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """Mean square of each window about its own mean."""
    sums, squares = (np.concatenate([[0.0], np.cumsum(x)]) for x in (samples, samples**2))
    mean = (sums[starts + length] - sums[starts]) / length
    power: np.ndarray = (squares[starts + length] - squares[starts]) / length - mean**2
    return power.clip(min=0.0)


def windows_of(
    waveform: Float[Tensor, " n"], starts: Sequence[int], length: int
) -> Float[Tensor, "k length"]:
    """The windows of a sound, each without its mean."""
    windows = torch.stack([waveform[start : start + length] for start in starts])
    return windows - windows.mean(-1, keepdim=True)


def level_gain(peak: float, quietest: float, loudest: float) -> float:
    """Factor that brings a peak into [quietest, loudest]; 1 for one that lies inside."""
    return min(max(peak, quietest), loudest) / peak
