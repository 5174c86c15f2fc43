"""Stripes or spots in a second colour on the main parts of some objects."""

from dataclasses import replace

import numpy as np

from xbind.mini.world.draw import Draw
from xbind.mini.world.palette import COLOURS, Paint
from xbind.mini.world.patterns import Distance, Pattern, Points, spots, stripes
from xbind.mini.world.shapes import Albedo, Part

STRIPED, SPOTTED = 0.3, 0.25
"""Shares of the objects that have stripes and spots."""
COLOUR_GAP = 0.5
"""Distance of the second colour from the main one at least, in RGB in [0, 1]."""
MAIN_AREA = 0.3
"""Area of a main part at least, as a share of that of the largest one."""
STRIPE_PERIOD = (0.20, 0.38)
"""Distance from one stripe to the next, in the units of the parts."""
STRIPE_WIDTH = (0.28, 0.40)
"""Width of a stripe as a share of the period: the main colour keeps most of the surface."""
UPRIGHT = 0.6
"""Share of striped objects whose stripes follow one another along z; the others' along x or y."""
SPOT_RADIUS = (0.07, 0.12)
"""Radius of spots, in the units of the parts."""
SPOT_GAP = 2.7
"""Distance between the centres of two spots at least, as a multiple of their radius."""
SPOTS_TRIED = 60
"""Places that are drawn for spots; those too near to an earlier one have none."""


def decorated(parts: list[Part], paint: Paint, draw: Draw) -> list[Part]:
    """The same parts, with stripes or spots on the main ones of a share of the objects.

    Main parts are those of the main colour that are not much smaller than the largest of them.
    """
    kind = draw.uniform(0.0, 1.0)
    if kind >= STRIPED + SPOTTED:
        return parts
    largest = max(part.area for part in parts if part.albedo == paint.main)
    main = [part.albedo == paint.main and part.area >= MAIN_AREA * largest for part in parts]
    shown = [part for part, is_main in zip(parts, main, strict=True) if is_main]
    distance = _stripes(draw) if kind < STRIPED else _spots(shown, draw)
    pattern = Pattern(distance, _second_colour(paint, draw))
    return [
        replace(part, pattern=pattern) if is_main else part
        for part, is_main in zip(parts, main, strict=True)
    ]


def _second_colour(paint: Paint, draw: Draw) -> Albedo:
    """One of the world's main colours that is far from the object's."""
    far = [
        albedo
        for albedo in COLOURS.values()
        if np.linalg.norm(np.subtract(albedo, paint.main)) > COLOUR_GAP
    ]
    return far[draw.integer(0, len(far))]


def _stripes(draw: Draw) -> Distance:
    axis = 2 if draw.bernoulli(UPRIGHT) else draw.integer(0, 2)
    period = draw.uniform(*STRIPE_PERIOD)
    width = period * draw.uniform(*STRIPE_WIDTH)
    return stripes(np.eye(3)[axis], period, width, draw.uniform(0.0, period))


def _spots(parts: list[Part], draw: Draw) -> Distance:
    """Spots at random places of the parts' surfaces, none touching another."""
    triangles = np.concatenate([part.vertices[part.faces] for part in parts])
    a, b, c = np.moveaxis(triangles, 1, 0)
    shares = np.linalg.norm(np.cross(b - a, c - a), axis=1).cumsum()
    radius = draw.uniform(*SPOT_RADIUS)
    centres: list[Points] = []
    for _ in range(SPOTS_TRIED):
        k = int(np.searchsorted(shares, draw.uniform(0.0, float(shares[-1]))))
        # uniform on the triangle: the square root makes up for its narrowing towards a corner
        along, across = np.sqrt(draw.uniform(0.0, 1.0)), draw.uniform(0.0, 1.0)
        place = (1 - along) * a[k] + along * ((1 - across) * b[k] + across * c[k])
        if all(np.linalg.norm(place - other) > SPOT_GAP * radius for other in centres):
            centres.append(place)
    return spots(np.stack(centres), radius)
