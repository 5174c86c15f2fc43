"""Fittings that objects of the detailed world have: window frames, spoked wheels, a liner."""

from collections.abc import Sequence
from typing import Literal

from xbind.mini.world.palette import CREAM, DARK, GREY
from xbind.mini.world.shapes import Albedo, Part, box, cylinder, lathe, ring, tube

Side = Literal["+x", "-x", "+y", "-y"]
SIDES: tuple[tuple[Side, Side], tuple[Side, Side]] = (("+x", "-x"), ("+y", "-y"))
"""Opposite sides along x and along y."""
_CORNERS: dict[Side, tuple[int, int]] = {"+x": (3, 0), "+y": (0, 1), "-x": (1, 2), "-y": (2, 3)}
"""Corners of the bottom ring of a `box` at each of its sides; those of the top are 4 further."""


def frames(
    pane: Part, sides: Sequence[Side], albedo: Albedo, *, width: float = 0.045, cross: bool = True
) -> list[Part]:
    """Bars along the edges of a box's sides, and a cross on them.

    Args:
        pane: a `box`, tapered or not.
        sides: that get a frame.
        albedo: colour of the bars.
        width: of the bars.
        cross: True for one bar along each middle line.
    """
    bars = []
    for side in sides:
        i, j = _CORNERS[side]
        a, b, c, d = (pane.vertices[k] for k in (i, j, j + 4, i + 4))
        paths = [(a, b), (b, c), (c, d), (d, a)]
        if cross:
            paths += [((a + b) / 2, (c + d) / 2), ((a + d) / 2, (b + c) / 2)]
        bars += [tube(path, width / 2, albedo, segments=6, role=pane.role) for path in paths]
    return bars


def spoked_wheel(radius: float, width: float, spokes: int) -> list[Part]:
    """A wheel about z around the origin: tyre, rim, spokes and hub stand out in this order."""
    rim = (0.33, 0.33, 0.36)
    parts = [
        cylinder(radius, width, DARK, segments=24, role="wheels"),
        cylinder(radius * 0.74, width * 1.06, rim, segments=20, role="wheels"),
        cylinder(radius * 0.24, width * 1.40, CREAM, segments=12, role="wheels"),
    ]
    for side in (-1, 1):
        edge = ring(radius * 0.74, radius * 0.09, GREY, role="wheels")
        parts.append(edge.moved(z=side * width * 0.52))
    spoke = box((radius * 0.62, radius * 0.19, width * 1.24), GREY, role="wheels")
    return parts + [
        spoke.moved(x=radius * 0.40).turned("z", 360 * k / spokes) for k in range(spokes)
    ]


def liner(
    bottom: float, top: float, floor: float, height: float, *, thickness: float = 0.012
) -> Part:
    """A thin cup about z that covers the inside of a vessel.

    Args:
        bottom, top: radius of the inside at its floor and at `height`.
        floor, height: z of both.
        thickness: by which it stands out of the wall and the floor.
    """
    profile = [
        (0.0, floor - thickness),
        (bottom + thickness, floor - thickness),
        (top + thickness, height),
        (top - thickness, height),
        (bottom - thickness, floor + thickness),
        (0.0, floor + thickness),
    ]
    return lathe(profile, CREAM, segments=24, role="lining")
