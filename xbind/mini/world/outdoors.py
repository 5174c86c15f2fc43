"""Buildings, plants and figures: house, tree, mushroom, snowman, duck, robot. Front is +x."""

import numpy as np

from xbind.mini.world.draw import Draw
from xbind.mini.world.fittings import SIDES, frames
from xbind.mini.world.palette import (
    BROWN,
    CARROT,
    CREAM,
    DARK,
    GREY,
    LIGHT,
    MAROON,
    SKY,
    WHITE,
    Paint,
)
from xbind.mini.world.shapes import Albedo, Part, box, cylinder, ellipsoid, lathe, prism, ring, tube


def house(draw: Draw, paint: Paint, *, detailed: bool = False) -> list[Part]:
    """Walls and gable in the main colour, a roof of two slabs, door at +x, windows, chimney.

    The detailed one has larger windows with frames and crosses, a door with a frame and a knob.
    """
    width, depth = draw.uniform(0.78, 1.00), draw.uniform(0.80, 1.10)
    height, rise = draw.uniform(0.58, 0.80), draw.uniform(0.32, 0.50)
    roof = paint.unless("red", "orange", wanted=(0.48, 0.20, 0.15), otherwise=DARK)
    parts = [box((depth, width, height), paint.main, centre=(0, 0, height / 2))]
    gable = prism([(-width / 2, 0), (width / 2, 0), (0, rise)], depth * 0.98, paint.main)
    parts.append(gable.turned("z", 90).moved(z=height))
    eave, thick = draw.uniform(0.07, 0.12), 0.10
    slope = rise / (width / 2)
    for side in (-1, 1):
        edge, up = width / 2 + eave, height - eave * slope
        slab = [(0, height + rise), (edge, up), (edge, up + thick), (0, height + rise + thick)]
        corners = [(side * y, z) for y, z in (slab if side > 0 else slab[::-1])]
        parts.append(prism(corners, depth + 2 * eave, roof, role="roof").turned("z", 90))
    front = depth / 2
    door = paint.unless("orange", "yellow", wanted=BROWN, otherwise=MAROON)
    entrance = box(
        (0.08, width * 0.26, height * 0.58),
        door,
        centre=(front, draw.uniform(-0.05, 0.05), height * 0.29),
        role="front",
    )
    large = 1.25 if detailed else 1.0
    pane = (0.08, width * 0.20 * large, height * 0.28 * large)
    windows = [
        box(pane, CREAM, centre=(front, side * width * 0.33, height * 0.60), role="front")
        for side in (-1, 1)
    ]
    pane = (depth * 0.30 * large, 0.08, height * 0.34 * large)
    side_windows = [
        box(pane, SKY, centre=(draw.uniform(-0.1, 0.1), side * width / 2, height * 0.55))
        for side in (-1, 1)
    ]
    parts += [entrance, *windows, *side_windows]
    if detailed:
        trim = paint.unless("red", "pink", wanted=WHITE, otherwise=DARK)
        parts += _joinery(entrance, windows, side_windows, trim)
    if draw.bernoulli(0.75):
        stack = box((0.19, 0.19, rise * 0.9 + 0.1), paint.dark, role="chimney")
        parts.append(stack.moved(-depth * 0.22, width * 0.22, height + rise * 0.85))
    return parts


def _joinery(door: Part, windows: list[Part], side_windows: list[Part], trim: Albedo) -> list[Part]:
    """Frames of door and windows, and the door's knob."""
    bars = frames(door, ("+x",), trim, cross=False)
    for pane in windows:
        bars += frames(pane, ("+x",), DARK)
    for pane in side_windows:
        bars += frames(pane, SIDES[1], trim)
    low, high = door.vertices.min(0), door.vertices.max(0)
    x, y, z = float(high[0]), float(low[1] + 0.22 * (high[1] - low[1])), float(0.5 * high[2])
    return [*bars, ellipsoid(0.035, LIGHT, centre=(x, y, z), segments=8, role="front")]


def tree(draw: Draw, paint: Paint) -> list[Part]:
    """A trunk under a conifer's cones or a round crown."""
    trunk, radius = draw.uniform(0.36, 0.52), draw.uniform(0.11, 0.15)
    parts = [cylinder((radius * 1.2, radius), trunk, BROWN, centre=(0, 0, trunk / 2), role="trunk")]
    if draw.bernoulli(0.5):
        z, wide, tall = trunk * 0.85, draw.uniform(0.44, 0.54), draw.uniform(0.46, 0.60)
        for _ in range(draw.integer(2, 4)):
            outline = [(0.0, z), (wide, z), (wide * 0.92, z + 0.07), (0.0, z + tall)]
            parts.append(lathe(outline, paint.main, segments=18))
            z, wide, tall = z + tall * 0.52, wide * 0.80, tall * 0.95
        return parts
    wide = draw.uniform(0.40, 0.50)
    crown = ellipsoid((wide, wide, wide * draw.uniform(0.9, 1.15)), paint.main, segments=18)
    parts.append(crown.moved(z=trunk + wide * 0.8))
    phase = draw.uniform(0, 2 * np.pi)
    for k in range(3):
        angle = 2 * np.pi * k / 3 + phase
        x, y = (wide * 0.55 * float(f(angle)) for f in (np.cos, np.sin))
        z = trunk + wide * draw.uniform(0.5, 0.9)
        parts.append(ellipsoid(wide * 0.62, paint.main, centre=(x, y, z), segments=14))
    return parts


def mushroom(draw: Draw, paint: Paint) -> list[Part]:
    """A cream stem under a domed cap with white spots."""
    height, stem = draw.uniform(0.48, 0.68), draw.uniform(0.16, 0.22)
    wide, tall = draw.uniform(0.50, 0.62), draw.uniform(0.34, 0.46)
    trunk = [(0.0, 0.0), (stem * 1.25, 0.0), (stem * 1.05, height * 0.5), (stem * 0.9, height)]
    dome = [
        (wide * float(np.cos(a)), height + tall * float(np.sin(a)))
        for a in np.linspace(0, np.pi / 2, 8)
    ]
    under = [(0.0, height - 0.02), (wide * 0.55, height - 0.05), (wide * 0.92, height - 0.06)]
    parts = [
        lathe([*trunk, (0.0, height)], CREAM, role="stem"),
        lathe([*under, *dome[:-1], (0.0, height + tall)], paint.main, segments=24),
    ]
    count, phase = draw.integer(4, 7), draw.uniform(0, 2 * np.pi)
    for k in range(count):
        # The golden angle spreads the spots evenly whatever their number.
        turn, climb = 2.39996 * k + phase, 0.30 + 1.0 * k / count
        flat = float(np.cos(climb)) * wide
        spot = (flat * np.cos(turn), flat * np.sin(turn), height + tall * np.sin(climb))
        size = wide * draw.uniform(0.16, 0.21)
        centre = (float(spot[0]), float(spot[1]), float(spot[2]))
        parts.append(ellipsoid(size, WHITE, centre=centre, segments=10, role="spots"))
    return parts


def snowman(draw: Draw, paint: Paint) -> list[Part]:
    """Three balls, carrot nose at +x, eyes, buttons, fat arms, mostly a hat, maybe a scarf."""
    low, mid, top = draw.uniform(0.38, 0.44), draw.uniform(0.28, 0.33), draw.uniform(0.22, 0.26)
    first = low * 0.92
    second = first + low * 0.80 + mid * 0.55
    third = second + mid * 0.72 + top * 0.68
    parts = [
        ellipsoid(radius, paint.main, centre=(0, 0, z), segments=18)
        for radius, z in ((low, first), (mid, second), (top, third))
    ]
    nose = cylinder(
        (0.085, 0.02),
        0.30,
        paint.unless("orange", wanted=CARROT, otherwise=MAROON),
        segments=10,
        role="front",
    )
    parts.append(nose.turned("y", 90).moved(x=top + 0.11, z=third))
    parts += [
        ellipsoid(
            0.058,
            DARK,
            centre=(top * 0.84, s * top * 0.45, third + top * 0.38),
            segments=8,
            role="front",
        )
        for s in (-1, 1)
    ]
    parts += [
        ellipsoid(0.058, DARK, centre=(mid * 0.97, 0, second + z), segments=8, role="front")
        for z in (-0.10, 0.10)
    ]
    if draw.bernoulli(0.8):
        brim = cylinder(top * 1.3, 0.08, DARK, role="hat").moved(z=third + top * 0.78)
        crown = cylinder(top * 0.85, 0.28, DARK, role="hat").moved(z=third + top * 0.78 + 0.16)
        parts += [brim, crown]
    if draw.bernoulli(0.5):
        scarf = ring(mid * 0.68, 0.075, paint.dark).moved(z=third - top * 0.78)
        parts.append(scarf)
    rise = draw.uniform(0.12, 0.30)
    parts += [
        tube(
            [(0, s * mid * 0.7, second), (0, s * (mid + 0.32), second + rise)],
            [0.065, 0.055],
            BROWN,
            segments=8,
            role="arms",
        )
        for s in (-1, 1)
    ]
    return parts


def duck(draw: Draw, paint: Paint) -> list[Part]:
    """A bath duck: head and beak at +x, raised tail at −x, wings at the sides."""
    body, head = draw.uniform(0.36, 0.42), draw.uniform(0.24, 0.29)
    x, z = body * 0.75, body * 1.40 + head * 0.62
    beak = paint.unless("orange", wanted=CARROT, otherwise=(0.78, 0.08, 0.05))
    parts = [
        ellipsoid((body * 1.35, body, body * 0.80), paint.main, segments=20).moved(z=body * 0.78),
        ellipsoid((head * 0.8, head * 0.8, head), paint.main, role="front", segments=14).moved(
            x=x * 0.92, z=body * 1.25
        ),
        ellipsoid(head, paint.main, centre=(x, 0, z), segments=18, role="front"),
        ellipsoid((0.20, 0.16, 0.085), beak, segments=12, role="front").moved(
            x=x + head * 1.05, z=z - head * 0.12
        ),
    ]
    for side in (-1, 1):
        eye = (x + head * 0.62, side * head * 0.62, z + head * 0.42)
        parts.append(ellipsoid(0.065, DARK, centre=eye, segments=8, role="front"))
        wing = ellipsoid((body * 0.72, 0.11, body * 0.40), paint.dark, segments=14)
        parts.append(wing.turned("y", 12).moved(-body * 0.15, side * body * 0.92, body * 0.92))
    tail = cylinder((body * 0.46, 0.05), body * 0.95, paint.main, role="back").scaled(y=1.15)
    parts.append(tail.turned("y", -52).moved(x=-body * 1.25, z=body * 1.12))
    return parts


def robot(draw: Draw, paint: Paint) -> list[Part]:
    """A boxy figure: face and chest panel at +x, grey arms, dark legs, an antenna."""
    width, height = draw.uniform(0.50, 0.62), draw.uniform(0.48, 0.60)
    depth = draw.uniform(0.34, 0.42)
    legs, head, wide = draw.uniform(0.30, 0.40), draw.uniform(0.32, 0.40), draw.uniform(0.40, 0.50)
    chest, neck = legs + height / 2, legs + height
    face = neck + 0.06 + head / 2
    front = wide * 0.42
    parts = [
        box((depth, width, height), paint.main, centre=(0, 0, chest)),
        cylinder(0.10, 0.14, DARK, centre=(0, 0, neck + 0.04), segments=12),
        box((2 * front, wide, head), paint.main, centre=(0, 0, face)),
        box((0.08, wide * 0.6, 0.08), DARK, centre=(front, 0, face - head * 0.25), role="front"),
        box(
            (0.08, width * 0.56, height * 0.38),
            CREAM,
            centre=(depth / 2, 0, legs + height * 0.60),
            role="front",
        ),
        cylinder(0.045, 0.20, GREY, centre=(0, 0, face + head / 2 + 0.08), segments=8),
        ellipsoid(0.085, MAROON, centre=(0, 0, face + head / 2 + 0.20), segments=10),
    ]
    for side in (-1, 1):
        eye = (front, side * wide * 0.24, face + head * 0.16)
        parts.append(ellipsoid((0.06, 0.085, 0.085), LIGHT, centre=eye, segments=10, role="front"))
        leg = box((0.20, 0.19, legs), DARK, centre=(0, side * width * 0.26, legs / 2), role="legs")
        foot = box((0.32, 0.21, 0.12), DARK, centre=(0.05, side * width * 0.26, 0.06), role="legs")
        shoulder = (0.0, side * (width / 2 + 0.09), legs + height * 0.58)
        arm = box((0.18, 0.16, height * 0.80), GREY, centre=shoulder, role="arms")
        parts += [leg, foot, arm]
    return parts
