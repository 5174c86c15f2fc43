"""Pictures of drawn objects with faults of real pictures, and the objects' true masks."""

import io
from collections.abc import Callable
from itertools import product

import numpy as np
from PIL import Image

SIDE = 192
FINE = 5
"""Samples per pixel and axis; odd, so that no edge pixel is half covered."""
_AXIS = (np.arange(SIDE * FINE) + 0.5) / (SIDE * FINE) * 2 - 1
X, Y = np.meshgrid(_AXIS, _AXIS)
"""Coordinates from −1 to 1; y grows downwards."""


def ball(x, y, r):
    return (X - x) ** 2 + (Y - y) ** 2 < r**2


def box(left, top, right, bottom):
    return (left < X) & (right > X) & (top < Y) & (bottom > Y)


def oval(x, y, a, b):
    return ((X - x) / a) ** 2 + ((Y - y) / b) ** 2 < 1


def mug():
    body = box(-0.5, -0.4, 0.2, 0.45)
    handle = oval(0.25, 0.0, 0.28, 0.26) & ~oval(0.25, 0.0, 0.17, 0.15) & (X > 0.2)
    return [(body, 0), (handle, 0), (oval(-0.15, -0.4, 0.35, 0.09), 1)]


def lamp():
    shade = (np.abs(X) < 0.25 + 0.3 * (Y + 0.7)) & (Y > -0.7) & (Y < -0.1)
    return [
        (shade, 0),
        (box(-0.05, -0.07, 0.05, 0.55), 1),
        (box(-0.3, 0.55, 0.3, 0.65), 1),
    ]


def snowman():
    return [
        (ball(0, 0.35, 0.38), 0),
        (ball(0, -0.2, 0.25), 0),
        (box(-0.2, -0.75, 0.2, -0.4), 1),
        (ball(0.08, -0.25, 0.03), 1),
    ]


def car():
    return [
        (box(-0.7, -0.05, 0.7, 0.25), 0),
        ((np.abs(X) < 0.45 - 0.5 * (-Y)) & (Y > -0.3) & (Y <= -0.05), 1),
        (ball(-0.4, 0.25, 0.15), 1),
        (ball(0.4, 0.25, 0.15), 1),
    ]


def chair():
    legs = [(box(x, 0.1, x + 0.05, 0.75), 1) for x in (-0.4, 0.35)]
    return [(box(-0.4, 0.0, 0.4, 0.12), 0), (box(-0.4, -0.7, -0.32, 0.0), 0),
            (box(-0.4, -0.7, 0.2, -0.3), 0), *legs]  # fmt: skip


def star():
    angle, radius = np.arctan2(Y, X), np.hypot(X, Y)
    return [(radius < 0.42 + 0.2 * np.cos(5 * angle), 0)]


def ring():
    return [(ball(0, 0, 0.6) & ~ball(0, 0, 0.35), 0), (ball(0, -0.47, 0.08), 1)]


def tree():
    return [(box(-0.08, 0.1, 0.08, 0.7), 1), (ball(0, -0.2, 0.42), 0), (ball(0.2, 0, 0.25), 0)]


OBJECTS = {f.__name__: f for f in (mug, lamp, snowman, car, chair, star, ring, tree)}
TONES = {
    "red": ((0.8, 0.12, 0.1), (0.45, 0.06, 0.05)),
    "dark": ((0.15, 0.16, 0.2), (0.05, 0.05, 0.06)),
    "yellow": ((0.95, 0.8, 0.2), (0.45, 0.25, 0.1)),
    "blue": ((0.15, 0.25, 0.75), (0.5, 0.6, 0.9)),
    "pale": ((0.93, 0.93, 0.94), (0.25, 0.25, 0.3)),
    "green": ((0.2, 0.6, 0.25), (0.4, 0.28, 0.15)),
}


def flat(*colour):
    return np.ones((SIDE, SIDE, 1)) * np.array(colour)


_X, _Y = np.meshgrid(np.linspace(-1, 1, SIDE), np.linspace(-1, 1, SIDE))
BACKGROUNDS = {
    "white": flat(1, 1, 1),
    "grey": flat(0.62, 0.62, 0.62),
    "sky": flat(0.55, 0.75, 0.95),
    "black": flat(0, 0, 0),
    "gradient": flat(0.75, 0.75, 0.78) + 0.18 * _Y[..., None],
    "vignette": flat(0.9, 0.9, 0.9) - 0.2 * (_X**2 + _Y**2)[..., None],
    "spotlight": flat(0.5, 0.5, 0.5) + 0.4 * np.exp(-1.5 * (_X**2 + _Y**2))[..., None],
}


def paint(name: str, tone: str, background: np.ndarray, shift: tuple[int, int] = (0, 0)):
    """Colours [s, s, 3] in [0, 1] and the true mask [s, s]."""
    picture, covered = background.copy(), np.zeros((SIDE, SIDE))
    for region, colour in OBJECTS[name]():
        moved = np.roll(region, (shift[0] * FINE, shift[1] * FINE), (0, 1))
        share = moved.reshape(SIDE, FINE, SIDE, FINE).mean((1, 3))
        shade = np.array(TONES[tone][colour]) * (1 - 0.08 * _X[..., None])
        picture = picture * (1 - share[..., None]) + shade * share[..., None]
        covered = np.maximum(covered, share)
    return np.clip(picture, 0, 1), covered > 0.5


def _bytes(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _image(pixels):
    return Image.fromarray((np.clip(pixels, 0, 1) * 255).round().astype(np.uint8))


def png(pixels, mask):
    return _bytes(_image(pixels), "PNG"), mask


def jpeg(quality: int) -> Callable:
    return lambda pixels, mask: (_bytes(_image(pixels), "JPEG", quality=quality), mask)


def noise(strength: float) -> Callable:
    def apply(pixels, mask):
        return png(pixels + np.random.default_rng(0).normal(0, strength, pixels.shape), mask)

    return apply


def frame(pixels, mask):
    pixels = pixels.copy()
    pixels[:3] = pixels[-3:] = pixels[:, :3] = pixels[:, -3:] = (0.1, 0.1, 0.3)
    return png(pixels, mask)


def bars(pixels, mask):
    band = ((0, 0), (40, 40))
    return jpeg(85)(np.pad(pixels, (*band, (0, 0))), np.pad(mask, band))


def one_bar(pixels, mask):
    band = ((0, 30), (0, 0))
    return png(np.pad(pixels, (*band, (0, 0))), np.pad(mask, band))


def line_frame(pixels, mask):
    pixels, line = pixels.copy(), np.zeros(mask.shape, bool)
    line[8:-8, 8:-8] = True
    line[10:-10, 10:-10] = False
    pixels[line] = (0.2, 0.2, 0.2)
    return png(pixels, mask)


def haze(pixels, mask):
    alpha = np.where(mask, 1.0, 0.12)[..., None]
    return _bytes(_image(np.concatenate([pixels, alpha], -1)), "PNG"), mask


def round_corners(pixels, mask):
    far = np.maximum(np.abs(_X), np.abs(_Y)) > 0.8
    corner = far & (np.hypot(np.abs(_X) - 0.8, np.abs(_Y) - 0.8) > 0.2)
    corner &= (np.abs(_X) > 0.8) & (np.abs(_Y) > 0.8)
    rgba = np.concatenate([pixels * ~corner[..., None], ~corner[..., None]], -1)
    return _bytes(_image(rgba), "PNG"), mask


def one_pixel(pixels, mask):
    alpha = np.ones((*mask.shape, 1))
    alpha[5, 5] = 254 / 255
    return _bytes(_image(np.concatenate([pixels, alpha], -1)), "PNG"), mask


def palette(pixels, mask):
    return _bytes(_image(pixels).quantize(64), "PNG"), mask


def grey_16(pixels, mask):
    values = (pixels.mean(-1) * 4095).round().astype(np.uint16)
    return _bytes(Image.fromarray(values), "PNG"), mask


def grey_16_trns(pixels, mask):
    values = (pixels.mean(-1) * 60000).round().astype(np.uint16)
    values[~mask] = 65535
    return _bytes(Image.fromarray(values), "PNG", transparency=65535), mask


def soft_shadow(pixels, mask):
    rows = np.flatnonzero(mask.any(1))
    foot = rows[-1] / SIDE * 2 - 1
    strength = 0.4 * np.exp(-((_X / 0.45) ** 2 + ((_Y - foot) / 0.08) ** 2))
    return png(np.where(mask[..., None], pixels, pixels * (1 - strength[..., None])), mask)


def hard_shadow(pixels, mask):
    rows = np.flatnonzero(mask.any(1))
    foot = rows[-1] / SIDE * 2 - 1
    shadow = ((_X - 0.1) / 0.6) ** 2 + ((_Y - foot) / 0.09) ** 2 < 1
    dark = np.where(shadow[..., None], 0.75, 1.0)
    return png(np.where(mask[..., None], pixels, pixels * dark), mask)


FAULTS = {
    "none": png,
    "jpeg 90": jpeg(90),
    "jpeg 50": jpeg(50),
    "noise .02": noise(0.02),
    "noise .06": noise(0.06),
    "frame": frame,
    "bars": bars,
    "one bar": one_bar,
    "line frame": line_frame,
    "haze": haze,
    "round corners": round_corners,
    "one pixel": one_pixel,
    "palette": palette,
    "grey 16": grey_16,
    "grey 16 trns": grey_16_trns,
    "soft shadow": soft_shadow,
    "hard shadow": hard_shadow,
}
NOT_ON = {
    "one bar": ("black", "gradient", "vignette", "spotlight"),
    "bars": ("black", "gradient", "vignette", "spotlight"),
    "soft shadow": ("black",),
    "hard shadow": ("black",),
}


def cases() -> dict[str, Callable]:
    """Name → a function that returns a file's bytes and the true mask."""
    found: dict[str, Callable] = {}
    backgrounds, tones, names = list(BACKGROUNDS), list(TONES), list(OBJECTS)
    for i, (fault, name) in enumerate(product(FAULTS, names)):
        tone = tones[(i // len(names) + 2 * i) % len(tones)]
        background = backgrounds[(i // len(names) + 3 * i) % len(backgrounds)]
        if background in NOT_ON.get(fault, ()):
            background = "white"
        if (tone, background) == ("dark", "black"):
            background = "sky"
        found[f"{tone} {name} on {background}, {fault}"] = _case(fault, name, tone, background)
    for name, shift in (("car", (0, 70)), ("tree", (60, 0)), ("ring", (0, -60)), ("mug", (-50, 0))):
        for tone, background in (("red", "white"), ("blue", "gradient")):
            found[f"{tone} {name} on {background}, cut by the border"] = _cut(
                name, tone, background, shift
            )
    return found


def _case(fault: str, name: str, tone: str, background: str) -> Callable:
    return lambda: FAULTS[fault](*paint(name, tone, BACKGROUNDS[background]))


def _cut(name: str, tone: str, background: str, shift: tuple[int, int]) -> Callable:
    def draw():
        pixels, mask = paint(name, tone, BACKGROUNDS[background], shift)
        wrapped = np.zeros_like(mask)
        rows, columns = shift
        if rows:
            wrapped[:rows] = rows > 0
            wrapped[rows:] |= rows < 0
        if columns:
            wrapped[:, :columns] |= columns > 0
            wrapped[:, columns:] |= columns < 0
        pixels = np.where(wrapped[..., None], BACKGROUNDS[background], pixels)
        return png(pixels, mask & ~wrapped)

    return draw
