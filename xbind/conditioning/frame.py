"""Frames, letterbox bars and framing lines around a picture."""

import numpy as np
from numpy.typing import NDArray

SAME = 0.08
"""Largest distance (Euclidean, RGB in [0, 1]) between pixels of one uniform band."""
UNIFORM = 0.98
"""Share of a line's pixels that must have the band's colour."""
ACROSS = 0.96
"""Share of a line's pixels that must change where a bar ends; at an object fewer do."""
FRAMED = 0.7
"""The same where bands lie on all four sides, whose own corners do not change."""
BLUR = 4
"""Largest width of the transition between a band and the picture, in pixels."""
NESTED = 3
"""Largest number of frames that are removed, one inside another."""
LEFT = 16
"""Smallest side that must remain, in pixels."""

Pixels = NDArray[np.float32]


def inside_frame(pixels: Pixels) -> tuple[slice, slice]:
    """Returns the rows and columns inside all frames, bars and framing lines.

    Removed are bands of one colour on all four sides or on two opposite ones, one band on a single
    side whose other borders agree with what it adjoins, and thin rectangles inset from the border.

    Args:
        pixels: [3, h, w] in [0, 1].
    """
    height, width = pixels.shape[1:]
    top, bottom, left, right = 0, height, 0, width
    for _ in range(NESTED):
        inner = pixels[:, top:bottom, left:right]
        bands = _bands(inner)
        if not any(bands):
            bands = _line_frame(inner)
        rows = bottom - top - bands[0] - bands[1]
        columns = right - left - bands[2] - bands[3]
        if not any(bands) or min(rows, columns) < LEFT:
            break
        top, bottom = top + bands[0], bottom - bands[1]
        left, right = left + bands[2], right - bands[3]
    return slice(top, bottom), slice(left, right)


def _bands(pixels: Pixels) -> tuple[int, int, int, int]:
    """Widths of the bands to remove at the top, bottom, left and right."""
    rows = pixels.transpose(1, 2, 0)
    columns = pixels.transpose(2, 1, 0)
    sides = (rows, rows[::-1], columns, columns[::-1])
    colours = [np.median(lines[0], axis=0) for lines in sides]
    widths = [_band(lines, ACROSS) for lines in sides]
    if not any(widths):
        widths = [_band(lines, FRAMED) for lines in sides]
        widths = widths if all(widths) else [0, 0, 0, 0]
    if sum(width > 0 for width in widths) == 1:
        kept = next(i for i in range(4) if widths[i])
        return _only(widths, kept) if _rest_agrees(sides, kept, widths[kept]) else (0, 0, 0, 0)
    for one, other in ((0, 1), (2, 3)):
        alike = np.linalg.norm(colours[one] - colours[other]) <= 2 * SAME
        if not (widths[one] and widths[other] and alike):
            widths[one] = widths[other] = 0
    return widths[0], widths[1], widths[2], widths[3]


def _only(widths: list[int], kept: int) -> tuple[int, int, int, int]:
    top, bottom, left, right = (width if i == kept else 0 for i, width in enumerate(widths))
    return top, bottom, left, right


def _rest_agrees(sides: tuple[Pixels, ...], banded: int, width: int) -> bool:
    """Returns True if the other three borders have the colour next to the band of one side."""
    inner = np.median(sides[banded][width], axis=0)
    opposite = banded ^ 1
    across = [i for i in range(4) if i not in (banded, opposite)]
    start = banded % 2 == 0
    cut = [side[0][width:] if start else side[0][: len(side[0]) - width] for side in
           (sides[i] for i in across)]  # fmt: skip
    border = np.concatenate([sides[opposite][0], *cut])
    return bool((np.linalg.norm(border - inner, axis=1) <= 2 * SAME).mean() >= 0.8)


def _band(lines: Pixels, least: float) -> int:
    """Number of lines [n, m, 3] up to the end of a uniform band; 0 where none ends abruptly."""
    colour = np.median(lines[0], axis=0)
    for depth, line in enumerate(lines[: len(lines) // 2]):
        changed = float((np.linalg.norm(line - colour, axis=1) > SAME).mean())
        if changed >= least and depth:
            return depth + _transition(lines[depth : depth + BLUR + 1])
        if changed > 1 - UNIFORM:
            return 0
    return 0


def _transition(lines: Pixels) -> int:
    """Number of leading lines that most of the next line still differs from."""
    steps = np.linalg.norm(np.diff(lines, axis=0), axis=2)
    for k, step in enumerate(steps):
        if np.median(step) <= 0.03:
            return k
    return len(steps)


def _line_frame(pixels: Pixels) -> tuple[int, int, int, int]:
    """Returns the inner ends of a thin rectangle near the border on each side; zeros if there is
    none."""
    rows, columns = _lines(pixels.transpose(1, 2, 0)), _lines(pixels.transpose(2, 1, 0))
    ends = []
    for shares in (rows, rows[::-1], columns, columns[::-1]):
        drawn = np.flatnonzero(shares[: len(shares) // 4] > 0.6)
        if len(drawn) == 0 or len(drawn) > max(4, len(shares) // 25):
            return 0, 0, 0, 0
        ends.append(int(drawn[-1]) + 2)
    return ends[0], ends[1], ends[2], ends[3]


def _lines(lines: Pixels) -> NDArray[np.float32]:
    """Returns for each line of [n, m, 3] the share that differs from both lines `BLUR` away (a
    stroke)."""
    padded = np.pad(lines, ((BLUR, BLUR), (0, 0), (0, 0)), mode="edge")
    before = np.linalg.norm(lines - padded[: -2 * BLUR], axis=2)
    after = np.linalg.norm(lines - padded[2 * BLUR :], axis=2)
    shares: NDArray[np.float32] = (np.minimum(before, after) > SAME).mean(1)
    return shares
