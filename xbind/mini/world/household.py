"""Things indoors: mug, teapot, chair, table, lamp, bell, drum. Front is +x, up is +z."""

import numpy as np

from xbind.mini.world.draw import Draw
from xbind.mini.world.fittings import liner
from xbind.mini.world.palette import COFFEE, CREAM, DARK, GREY, LIGHT, Paint
from xbind.mini.world.shapes import (
    Part,
    arc,
    box,
    cylinder,
    ellipsoid,
    lathe,
    ring,
    tube,
)


def mug(draw: Draw, paint: Paint, *, detailed: bool = False) -> list[Part]:
    """A cup with one fat handle at azimuth 80°, which three-quarter front views show.

    The detailed one has a thinner wall with a rounded lip and is lined in cream, and its coffee,
    if any, stands lower, so that the hollow is seen.
    """
    height, bottom = draw.uniform(0.80, 1.10), draw.uniform(0.37, 0.46)
    top = bottom * draw.uniform(0.97, 1.15)
    wall = 0.06 if detailed else 0.09
    lip = [(top - wall / 2, height + 0.02)] if detailed else []
    profile = [
        (0.0, 0.0),
        (bottom * 0.92, 0.0),
        (bottom, height * 0.06),
        (top, height),
        *lip,
        (top - wall, height),
        (bottom - wall, height * 0.12),
        (0.0, height * 0.12),
    ]
    parts = [lathe(profile, paint.main, segments=24)]
    reach, rise = draw.uniform(0.30, 0.38), height * draw.uniform(0.27, 0.33)
    handle = tube(
        arc((reach, rise), -100, 100, 14), draw.uniform(0.08, 0.10), paint.main, role="handle"
    )
    side = 0.5 * (bottom + top) - 0.03
    parts.append(handle.moved(x=side, z=height * 0.52).turned("z", 80))
    if detailed:
        inside = (bottom - wall, top - wall)
        parts.append(liner(*inside, height * 0.12, height * 0.94))
        if draw.bernoulli(0.3):
            level = draw.uniform(0.45, 0.65)
            radius = inside[0] + (inside[1] - inside[0]) * level
            place = (0.0, 0.0, height * level)
            parts.append(cylinder(radius, 0.06, COFFEE, centre=place, segments=24, role="lining"))
        return parts
    if draw.bernoulli(0.5):
        coffee = cylinder(top - 0.06, 0.08, COFFEE, centre=(0, 0, height * 0.84), segments=24)
        parts.append(coffee)
    return parts


def teapot(draw: Draw, paint: Paint) -> list[Part]:
    """A round pot, spout at +x, handle at −x, lid with a knob."""
    radius = draw.uniform(0.42, 0.50)
    half = radius * draw.uniform(0.78, 0.92)
    angle = np.linspace(-0.40 * np.pi, 0.42 * np.pi, 10)
    outline = [(radius * float(np.cos(a)), half * (1 + float(np.sin(a)))) for a in angle]
    low, high = outline[0][1], outline[-1][1]
    parts = [
        lathe([(0.0, low), *outline, (0.0, high)], paint.main, segments=22),
        cylinder((radius * 0.52, radius * 0.58), 0.09, paint.dark, centre=(0, 0, low)),
        lathe(
            [
                (0.0, high - 0.05),
                (radius * 0.50, high - 0.05),
                (radius * 0.46, high + 0.06),
                (radius * 0.25, high + 0.12),
                (0.0, high + 0.14),
            ],
            paint.dark,
            role="lid",
        ),
        ellipsoid(0.10, paint.dark, centre=(0, 0, high + 0.20), segments=12, role="lid"),
    ]
    spout = [
        (radius * 0.70, 0, half * 0.62),
        (radius * 1.20, 0, half * 0.80),
        (radius * 1.48, 0, half * 1.25),
        (radius * 1.80, 0, half * draw.uniform(1.65, 1.90)),
    ]
    parts.append(tube(spout, [0.19, 0.15, 0.11, 0.095], paint.main, segments=12, role="front"))
    loop = arc((radius * draw.uniform(0.62, 0.75), half * 0.62), 75, 285, 14)
    handle = tube(loop, draw.uniform(0.075, 0.095), paint.dark, role="handle")
    parts.append(handle.moved(x=-radius * 0.86, z=half * 1.05))
    return parts


def chair(draw: Draw, paint: Paint) -> list[Part]:
    """A seat on four square legs, its back at −x: solid, or with two bars between posts."""
    width, depth = draw.uniform(0.62, 0.80), draw.uniform(0.62, 0.76)
    seat, back = draw.uniform(0.46, 0.62), draw.uniform(0.58, 0.82)
    thick, leg = draw.uniform(0.12, 0.16), draw.uniform(0.13, 0.17)
    parts = [box((depth, width, thick), paint.main, centre=(0, 0, seat))]
    parts += [
        box(
            (leg, leg, seat),
            paint.dark,
            centre=(x * (depth - leg) / 2, y * (width - leg) / 2, seat / 2),
            role="legs",
        )
        for x in (-1, 1)
        for y in (-1, 1)
    ]
    x, top = -(depth - thick) / 2, seat + back
    if draw.bernoulli(0.6):
        parts.append(
            box((thick, width, back), paint.main, centre=(x, 0, seat + back / 2), role="back")
        )
        return parts
    bar = draw.uniform(0.15, 0.19)
    parts += [
        box(
            (thick, bar, back),
            paint.main,
            centre=(x, y * (width - bar) / 2, seat + back / 2),
            role="back",
        )
        for y in (-1, 1)
    ]
    parts += [
        box((thick * 0.9, width, bar), paint.main, centre=(x, 0, z), role="back")
        for z in (top - bar / 2, seat + 0.42 * back)
    ]
    return parts


def table(draw: Draw, paint: Paint) -> list[Part]:
    """A slab on four legs, or a round top on a column."""
    thick = draw.uniform(0.12, 0.16)
    height = draw.uniform(0.62, 0.85)
    if draw.bernoulli(0.3):
        radius = draw.uniform(0.52, 0.66)
        column = cylinder(draw.uniform(0.10, 0.13), height, paint.dark, role="legs")
        foot = cylinder((radius * 0.62, radius * 0.5), 0.12, paint.dark, role="legs")
        top = cylinder(radius, thick, paint.main, segments=24)
        return [top.moved(z=height), column.moved(z=height / 2), foot.moved(z=0.06)]
    width, depth = draw.uniform(0.95, 1.30), draw.uniform(0.68, 0.95)
    leg = draw.uniform(0.14, 0.18)
    parts = [box((depth, width, thick), paint.main, centre=(0, 0, height))]
    parts += [
        box(
            (leg, leg, height),
            paint.dark,
            centre=(x * (depth / 2 - leg * 0.65), y * (width / 2 - leg * 0.65), height / 2),
            role="legs",
        )
        for x in (-1, 1)
        for y in (-1, 1)
    ]
    return parts


def lamp(draw: Draw, paint: Paint) -> list[Part]:
    """A table lamp: foot, pole, bulb and a hollow conical shade."""
    foot, height = draw.uniform(0.28, 0.36), draw.uniform(0.78, 1.02)
    low, high = draw.uniform(0.40, 0.50), draw.uniform(0.20, 0.30)
    tall, base = draw.uniform(0.42, 0.55), height - 0.15
    shade = [
        (0.0, base + tall - 0.07),
        (high - 0.07, base + tall - 0.07),
        (low - 0.07, base),
        (low, base),
        (high, base + tall),
        (0.0, base + tall),
    ]
    return [
        cylinder((foot, foot * 0.82), 0.11, paint.dark, centre=(0, 0, 0.055)),
        cylinder(draw.uniform(0.06, 0.08), height, GREY, centre=(0, 0, height / 2), segments=12),
        lathe(shade, paint.main, segments=24, role="shade"),
        ellipsoid(0.13, LIGHT, centre=(0, 0, base + 0.06), segments=12, role="shade"),
    ]


def bell(draw: Draw, paint: Paint) -> list[Part]:
    """A hollow bell with a clapper below and a fat ring on top."""
    radius, height = draw.uniform(0.46, 0.56), draw.uniform(0.72, 0.95)
    waist = radius * draw.uniform(0.54, 0.62)
    outside = [
        (radius, 0.0),
        (radius * 0.98, height * 0.07),
        (radius * 0.80, height * 0.20),
        (waist * 1.08, height * 0.42),
        (waist, height * 0.66),
        (waist * 0.80, height * 0.88),
        (waist * 0.40, height * 0.98),
    ]
    inside = [(0.0, height * 0.78), (waist * 0.7, height * 0.66), (waist * 0.9, height * 0.40)]
    profile = [*inside, (radius * 0.84, 0.0), *outside, (0.0, height)]
    loop = draw.uniform(0.15, 0.18)
    handle = ring(loop, 0.065, paint.dark, role="handle").turned("x", 90)
    band = ring(radius * 0.96, 0.055, paint.dark)
    return [
        lathe(profile, paint.main, segments=24),
        band.moved(z=height * 0.04),
        ellipsoid(
            draw.uniform(0.13, 0.16), DARK, centre=(0, 0, -0.02), segments=12, role="clapper"
        ),
        cylinder(0.05, height * 0.8, DARK, centre=(0, 0, height * 0.4), segments=8, role="clapper"),
        handle.moved(z=height + loop * 0.85),
    ]


def drum(draw: Draw, paint: Paint) -> list[Part]:
    """A cylinder with rims, heads and zigzag cords, sometimes with two sticks."""
    radius, height = draw.uniform(0.46, 0.60), draw.uniform(0.48, 0.78)
    parts = [cylinder(radius, height, paint.main, segments=24)]
    for z in (-height / 2, height / 2):
        outline = [
            (0.0, z - 0.05),
            (radius * 1.08, z - 0.05),
            (radius * 1.08, z + 0.05),
            (0.0, z + 0.05),
        ]
        parts.append(lathe(outline, GREY, segments=24, role="rims"))
        skin_z = z + (0.045 if z > 0 else -0.045)
        parts.append(
            cylinder(radius * 0.95, 0.05, CREAM, centre=(0, 0, skin_z), segments=24, role="rims")
        )
    count = draw.integer(4, 6)
    for k in range(2 * count):
        angles = np.pi / count * np.array([k, k + 1.0]) + 0.1
        ends = np.array([-height / 2, height / 2]) * (1 if k % 2 else -1)
        path = np.stack([radius * np.cos(angles), radius * np.sin(angles), ends], -1)
        # A straight cord would cut through the round shell half-way.
        middle = path.mean(0) / np.cos(np.pi / count / 2) ** np.array([1, 1, 0])
        parts.append(tube([path[0], middle, path[1]], 0.038, CREAM, segments=6, role="cords"))
    if draw.bernoulli(0.4):
        for side in (-1, 1):
            stick = tube([(-0.45, 0, 0), (0.40, 0, 0)], 0.05, DARK, segments=8, role="sticks")
            turned = stick.turned("z", side * draw.uniform(12, 28))
            parts.append(turned.moved(y=side * 0.12, z=height / 2 + 0.12))
    return parts
