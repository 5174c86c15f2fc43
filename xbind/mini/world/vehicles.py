"""Vehicles: rocket, car, airplane, boat. They drive, fly or sail towards +x (the rocket up)."""

import numpy as np

from xbind.mini.world.draw import Draw
from xbind.mini.world.fittings import SIDES, frames, spoked_wheel
from xbind.mini.world.palette import (
    BROWN,
    CREAM,
    DARK,
    GREY,
    LIGHT,
    MAROON,
    SKY,
    Paint,
)
from xbind.mini.world.shapes import (
    Part,
    Points,
    box,
    cylinder,
    ellipsoid,
    lathe,
    loft,
    prism,
)


def rocket(draw: Draw, paint: Paint) -> list[Part]:
    """A round hull with a nose cone, fat fins, a nozzle and a porthole at +x."""
    radius, height = draw.uniform(0.23, 0.30), draw.uniform(0.88, 1.10)
    nose = draw.uniform(0.36, 0.48)
    trim = CREAM if draw.bernoulli(0.5) else GREY
    hull = [
        (0.0, 0.10),
        (radius * 0.78, 0.10),
        (radius, 0.36),
        (radius * 1.02, height * 0.6),
        (radius * 0.94, height),
        (0.0, height),
    ]
    cone = [
        (0.0, height - 0.02),
        (radius * 0.94, height - 0.02),
        (radius * 0.70, height + nose * 0.50),
        (radius * 0.32, height + nose * 0.86),
        (0.0, height + nose),
    ]
    parts = [
        lathe(hull, paint.main, segments=22),
        lathe(cone, trim, segments=22, role="nose"),
        cylinder((radius * 0.72, radius * 0.5), 0.20, DARK, centre=(0, 0, 0.06)),
    ]
    count, span, phase = draw.integer(3, 5), draw.uniform(0.28, 0.38), draw.uniform(20, 40)
    outline = [
        (radius * 0.6, 0.12),
        (radius + span, -0.10),
        (radius + span, 0.14),
        (radius * 0.6, 0.56),
    ]
    parts += [
        prism(outline, 0.10, paint.dark, role="fins").turned("z", phase + 360 * k / count)
        for k in range(count)
    ]
    z = height * 0.72
    for size, albedo, out in ((0.155, trim, 0.86), (0.105, SKY, 0.98)):
        pane = ellipsoid((0.07, size, size), albedo, segments=12, role="front")
        parts.append(pane.moved(x=radius * out, z=z))
    return parts


def _cabin(
    length: float, width: float, height: float, paint: Paint, *, detailed: bool
) -> list[Part]:
    """A cabin on z = 0: roof and pillars in the main colour, windows on four sides."""
    shell = box((length, width, height), paint.main, taper=0.80)
    # Slightly wider slabs let the glass stand out of the tapered walls by the same amount.
    sides = box((length * 0.74, width * 1.05, height * 0.62), SKY, taper=0.87)
    ends = box((length * 1.05, width * 0.76, height * 0.62), SKY, taper=0.87)
    post = box((0.09, width * 1.08, height * 0.66), paint.main, taper=0.87)
    trim: list[Part] = []
    if detailed:
        for slab, faces in ((sides, SIDES[1]), (ends, SIDES[0])):
            trim += frames(slab, faces, DARK, width=0.035, cross=False)
    glass = [part.moved(z=-height * 0.02) for part in (sides, ends, post, *trim)]
    return [part.moved(z=height / 2) for part in (shell, *glass)]


def car(draw: Draw, paint: Paint, *, detailed: bool = False) -> list[Part]:
    """A body on four fat wheels; headlights and bonnet at +x, tail lights at −x.

    The detailed one has spoked wheels, framed windows and door handles.
    """
    length, width = draw.uniform(1.15, 1.40), draw.uniform(0.62, 0.72)
    wheel, body = draw.uniform(0.17, 0.20), draw.uniform(0.26, 0.32)
    cabin, tall = length * draw.uniform(0.48, 0.60), draw.uniform(0.25, 0.32)
    floor = wheel * 0.75
    rear = -length / 2 + cabin / 2 + draw.uniform(0.03, 0.16)
    front, top = length / 2, floor + body
    shell = _cabin(cabin, width * 0.92, tall, paint, detailed=detailed)
    parts = [
        box((length, width, body), paint.main, taper=0.94, centre=(0, 0, floor + body / 2)),
        *[part.moved(x=rear, z=top) for part in shell],
        box((0.12, width * 0.94, 0.11), GREY, centre=(front, 0, floor + 0.06), role="front"),
        box((0.10, width * 0.94, 0.11), GREY, centre=(-front, 0, floor + 0.06), role="back"),
        box(
            (0.07, width * 0.34, 0.10),
            DARK,
            centre=(front * 0.98, 0, floor + body * 0.62),
            role="front",
        ),
    ]
    spokes = draw.integer(5, 8) if detailed else 0
    for side in (-1, 1):
        lamp = ellipsoid((0.06, 0.09, 0.08), LIGHT, segments=10, role="front")
        parts.append(lamp.moved(front * 0.97, side * width * 0.34, floor + body * 0.65))
        tail = paint.unless("red", wanted=(0.80, 0.06, 0.06), otherwise=MAROON)
        light = box((0.07, 0.14, 0.11), tail, role="back")
        parts.append(light.moved(-front * 0.97, side * width * 0.34, floor + body * 0.65))
        for x in (-0.30, 0.31):
            parts += [
                part.turned("x", 90).moved(x * length, side * width * 0.46, wheel)
                for part in _wheel(wheel, spokes)
            ]
        if detailed:
            handle = box((0.11, 0.05, 0.035), GREY)
            parts.append(handle.moved(rear - 0.04, side * width * 0.48, floor + body * 0.80))
    return parts


def _wheel(radius: float, spokes: int) -> list[Part]:
    """A wheel about z; without spokes, a tyre with a disc."""
    if spokes:
        return spoked_wheel(1.12 * radius, 0.17, spokes)
    return [
        cylinder(radius, 0.17, DARK, segments=16, role="wheels"),
        cylinder(radius * 0.50, 0.20, GREY, segments=12, role="wheels"),
    ]


def airplane(draw: Draw, paint: Paint, *, detailed: bool = False) -> list[Part]:
    """A fat fuselage along x, wings, tail with a fin, cockpit and engines or a propeller.

    The detailed one has a row of windows on both sides.
    """
    length, radius = draw.uniform(1.25, 1.45), draw.uniform(0.17, 0.21)
    span, chord = draw.uniform(1.20, 1.45), draw.uniform(0.30, 0.40)
    sweep = draw.uniform(0.0, 0.22)
    hull = ellipsoid((length / 2, radius, radius), paint.main, segments=18)
    cockpit = ellipsoid((0.17, radius * 0.66, 0.12), SKY, segments=12, role="front")
    fin = [(-0.02, 0), (0.26, 0), (0.06, 0.36), (-0.12, 0.36)]
    parts = [
        hull,
        cockpit.moved(x=length * 0.24, z=radius * 0.66),
        prism(fin, 0.09, paint.dark, role="back").moved(x=-length * 0.46, z=radius * 0.35),
    ]
    if detailed:
        parts += _portholes(length, radius, draw.integer(4, 7))
    tip = draw.uniform(0.6, 0.8)
    parts += [
        part.moved(x=0.06) for part in _wings(span, chord, tip, sweep, 0.09, paint.main, "wings")
    ]
    parts += [
        part.moved(x=-length * 0.41, z=0.03)
        for part in _wings(span * 0.42, chord * 0.62, 0.8, sweep * 0.5, 0.085, paint.dark, "back")
    ]
    if draw.bernoulli(0.5):
        blade = box((0.08, 0.09, 0.60), DARK, role="front").turned("x", draw.uniform(0, 180))
        hub = ellipsoid((0.11, 0.09, 0.09), GREY, segments=10, role="front")
        return [*parts, blade.moved(x=length / 2), hub.moved(x=length / 2)]
    for side in (-1, 1):
        pod = cylinder((0.08, 0.10), 0.34, CREAM, segments=12, role="engines").turned("y", 90)
        parts.append(pod.moved(0.16 - sweep * 0.4, side * span * 0.26, -0.10))
    return parts


def _portholes(length: float, radius: float, count: int) -> list[Part]:
    """Round windows in a row along both sides of an ellipsoid about x."""
    parts = []
    for x in np.linspace(-0.30, 0.14, count) * length:
        beam = radius * np.sqrt(1 - (2 * x / length) ** 2)
        for side in (-1, 1):
            # at 25° above the widest line, where the wings do not hide them
            place = float(x), side * float(beam * 0.906), float(beam * 0.423)
            parts.append(ellipsoid((0.034, 0.022, 0.034), DARK, centre=place, segments=10))
    return parts


def _wings(
    span: float,
    chord: float,
    tip: float,
    sweep: float,
    thick: float,
    albedo: tuple[float, ...],
    role: str,
) -> list[Part]:
    """Two swept and tapered slabs from the centre line out to ±span/2."""
    wings = []
    for side in (-1, 1):
        rings: list[Points] = []
        for y, wide, back in ((0.0, chord, 0.0), (span / 2, chord * tip, sweep)):
            x, z = np.array([1, -1, -1, 1]) * wide / 2 - back, np.array([1, 1, -1, -1]) * thick / 2
            rings.append(np.stack([x, np.full(4, side * y), z], -1))
        # Counter-clockwise about +y is z towards x.
        order = slice(None, None, -1) if side > 0 else slice(None)
        wings.append(loft(np.stack(rings)[:, order], (albedo[0], albedo[1], albedo[2]), role=role))
    return wings


def _hull(length: float, width: float, height: float, paint: Paint) -> Part:
    """A hull with a flat deck at z = 0, pointed at +x, cut off at −x."""
    stations = np.array([-0.50, -0.25, 0.05, 0.28, 0.42, 0.50])
    beam = np.array([0.80, 0.98, 1.00, 0.78, 0.42, 0.10]) * width / 2
    keel = np.array([0.85, 1.00, 1.00, 0.96, 0.80, 0.55]) * height
    sheer = np.array([0.02, 0.00, 0.00, 0.04, 0.09, 0.14]) * 0.9
    # Half a superellipse below the deck, counter-clockwise about +x (y towards z).
    angle = np.linspace(np.pi, 2 * np.pi, 9)
    across = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.7
    down = -(np.abs(np.sin(angle)) ** 0.7)
    rings = [
        np.stack(
            [np.full(9, x * length + 0.06 * k * (down + 1) / 5), b * across, s + (d + s) * down], -1
        )
        for k, (x, b, d, s) in enumerate(zip(stations, beam, keel, sheer, strict=True))
    ]
    return loft(np.stack(rings), paint.main)


def boat(draw: Draw, paint: Paint, *, detailed: bool = False) -> list[Part]:
    """A hull with its bow at +x and either a steamer's cabin and funnel or a mast with a sail.

    The detailed steamer has framed windows.
    """
    length, width = draw.uniform(1.25, 1.45), draw.uniform(0.50, 0.62)
    height = draw.uniform(0.30, 0.38)
    parts = [_hull(length, width, height, paint)]
    deck = [(-0.46, -0.5), (0.12, -0.52), (0.34, -0.34), (0.34, 0.34), (0.12, 0.52), (-0.46, 0.5)]
    floor = prism([(x * length, y * width * 0.84) for x, y in deck], 0.08, BROWN)
    parts.append(floor.turned("x", 90).moved(z=0.01))
    if draw.bernoulli(0.5):
        long, tall = length * draw.uniform(0.34, 0.42), draw.uniform(0.24, 0.32)
        wide = width * 0.62
        window = box((long * 0.72, wide * 1.10, tall * 0.40), SKY, role="cabin")
        pane = box((long * 1.08, wide * 0.70, tall * 0.40), SKY, role="cabin")
        stack = draw.uniform(0.26, 0.36)
        funnel = cylinder(0.10, stack, paint.main, segments=14, role="cabin")
        band = cylinder(0.11, 0.10, DARK, segments=14, role="cabin")
        house = [
            box((long, wide, tall), CREAM, centre=(0, 0, tall / 2), role="cabin"),
            window.moved(z=tall * 0.58),
            pane.moved(z=tall * 0.58),
            funnel.moved(x=-long * 0.2, z=tall + stack / 2),
            band.moved(x=-long * 0.2, z=tall + stack),
        ]
        if detailed:
            bars = frames(window, SIDES[1], BROWN, width=0.03)
            bars += frames(pane, SIDES[0], BROWN, width=0.03)
            house += [bar.moved(z=tall * 0.58) for bar in bars]
        return [*parts, *[part.moved(x=-length * 0.12) for part in house]]
    mast = draw.uniform(0.85, 1.05)
    main = [(-0.04, 0.16), (-0.04, mast - 0.06), (-length * 0.44, 0.16)]
    jib = [(0.06, 0.14), (length * 0.36, 0.16), (0.06, mast * 0.75)]
    return [
        *parts,
        cylinder(0.055, mast, BROWN, centre=(0.02, 0, mast / 2), segments=10, role="cabin"),
        prism(main, 0.09, paint.main, role="cabin"),
        prism(jib, 0.09, CREAM, role="cabin"),
    ]
