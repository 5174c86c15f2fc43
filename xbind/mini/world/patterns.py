"""Stripes and spots: a second colour on the surface of a part, with exact edges.

A pattern is a signed distance in the object's own coordinates, before it is stretched and scaled.
The triangles of a part are bisected until they are small where the edge of the pattern passes, and
then cut along it, so edges are smooth however coarse the part is.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Distance = Callable[[Points], Points]
"""Points [..., 3] → signed distance [...] to the edge of the pattern, negative inside it."""

LONGEST_EDGE = 0.05
"""Longest edge of a triangle that is cut, in the units of the parts; objects are 1 to 2 wide."""


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """A second colour of a part and where it is."""

    distance: Distance
    """Signed distance; it must not grow faster than the distance between two points."""
    albedo: tuple[float, float, float]
    """Red, green, blue inside the pattern, in [0, 1]."""


def stripes(direction: Points, period: float, width: float, phase: float) -> Distance:
    """Parallel slabs: one of thickness `width` in every `period` along a unit vector [3]."""

    def distance(points: Points) -> Points:
        place = (points @ direction - phase) % period
        found: Points = np.abs(place - period / 2) - width / 2
        return found

    return distance


def spots(centres: Points, radius: float) -> Distance:
    """The union of balls around `centres` [n, 3]: discs where the centres are on a surface."""

    def distance(points: Points) -> Points:
        gaps = np.linalg.norm(points[..., None, :] - centres, axis=-1)
        found: Points = gaps.min(-1) - radius
        return found

    return distance


def cut(
    triangles: Points, distance: Distance, longest_edge: float = LONGEST_EDGE
) -> tuple[Points, NDArray[np.bool_]]:
    """Cut triangles along the edge of a pattern.

    An edge is bisected for its own length and distances alone, so two triangles that share one
    still meet without a gap.

    Args:
        triangles: [f, 3, k]; the last three of the k attributes of a corner are its place in the
            coordinates of the pattern, the others are interpolated.
        distance: of the pattern.
        longest_edge: of the triangles that are cut.

    Returns:
        The triangles [g, 3, k] with the winding of their originals, and which are inside [g].
    """
    while True:
        place = triangles[..., -3:]
        reach = np.abs(distance(place))
        length = np.linalg.norm(np.roll(place, -1, 1) - place, axis=-1)
        # a signed distance larger than the edge is long has no zero on it
        near = np.minimum(reach, np.roll(reach, -1, 1)) < length
        marked = near & (length > longest_edge)
        if not marked.any():
            return _cut(triangles, distance(place))
        triangles = _bisected(triangles, np.where(marked, length, -1.0))


def _bisected(triangles: Points, weight: Points) -> Points:
    """Halve each triangle that has a positive weight at the edge with the largest one."""
    halved = weight.max(1) > 0
    a, b, c = _rolled(triangles[halved], weight[halved].argmax(1))
    middle = (a + b) / 2
    halves = [np.stack([a, middle, c], 1), np.stack([middle, b, c], 1)]
    return np.concatenate([triangles[~halved], *halves])


def _cut(triangles: Points, value: Points) -> tuple[Points, NDArray[np.bool_]]:
    """Cut at the zeros of a function that is linear along each edge and has `value` at corners."""
    inside = value < 0
    count = inside.sum(1)
    whole = (count == 0) | (count == 3)
    mixed, value = triangles[~whole], value[~whole]
    # the corner that is alone on its side of the edge comes first
    alone = np.where(count[~whole] == 1, inside[~whole].argmax(1), (~inside[~whole]).argmax(1))
    a, b, c = _rolled(mixed, alone)
    at_a, at_b, at_c = _rolled(value[..., None], alone)
    p = a + (b - a) * (at_a / (at_a - at_b))
    q = a + (c - a) * (at_a / (at_a - at_c))
    pieces = [np.stack(corners, 1) for corners in ((a, p, q), (p, b, c), (p, c, q))]
    first = at_a[:, 0] < 0
    return (
        np.concatenate([triangles[whole], *pieces]),
        np.concatenate([count[whole] == 3, first, ~first, ~first]),
    )


def _rolled(triangles: Points, first: NDArray[np.intp]) -> tuple[Points, Points, Points]:
    """The corners in their order, beginning with number `first` of each triangle."""
    order = (first[:, None] + np.arange(3)) % 3
    turned = np.take_along_axis(triangles, order[..., None], 1)
    return turned[:, 0], turned[:, 1], turned[:, 2]
