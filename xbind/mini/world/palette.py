"""Colours of the world: eight main colours, and the fixed ones of secondary parts."""

from dataclasses import dataclass

import numpy as np

from xbind.mini.world.draw import Draw
from xbind.mini.world.shapes import Albedo

COLOURS: dict[str, Albedo] = {
    "red": (0.86, 0.09, 0.09),
    "orange": (0.98, 0.50, 0.05),
    "yellow": (0.97, 0.87, 0.10),
    "green": (0.13, 0.62, 0.17),
    "cyan": (0.10, 0.79, 0.85),
    "blue": (0.12, 0.24, 0.86),
    "purple": (0.50, 0.14, 0.74),
    "pink": (0.99, 0.52, 0.74),
}

DARK: Albedo = (0.20, 0.20, 0.22)
GREY: Albedo = (0.60, 0.61, 0.64)
CREAM: Albedo = (0.95, 0.90, 0.78)
WHITE: Albedo = (0.97, 0.97, 0.97)
BROWN: Albedo = (0.42, 0.26, 0.13)
COFFEE: Albedo = (0.26, 0.14, 0.07)
SKY: Albedo = (0.62, 0.83, 0.96)
CARROT: Albedo = (0.98, 0.48, 0.06)
LIGHT: Albedo = (1.00, 0.96, 0.62)
MAROON: Albedo = (0.50, 0.05, 0.05)

DARK_SHADE = 0.66
"""Brightness of an object's darker companion colour, as a share of that of its main colour."""


@dataclass(frozen=True, slots=True)
class Paint:
    """The main colour of one object with its darker companion."""

    name: str
    """One of `COLOURS`."""
    main: Albedo
    """The main colour, slightly jittered."""
    dark: Albedo
    """The main colour at `DARK_SHADE` of its brightness, for parts that stand out a little."""

    def unless(self, *names: str, wanted: Albedo, otherwise: Albedo) -> Albedo:
        """`wanted`, or `otherwise` on objects whose main colour is one of `names`."""
        return otherwise if self.name in names else wanted


def mix_paint(name: str, draw: Draw) -> Paint:
    """Jitter the named main colour by a standard deviation of 0.02 in each channel."""
    jittered = np.clip(np.asarray(COLOURS[name]) + 0.02 * draw.normal(3), 0.02, 1.0)
    main, dark = (
        (float(rgb[0]), float(rgb[1]), float(rgb[2])) for rgb in (jittered, DARK_SHADE * jittered)
    )
    return Paint(name, main, dark)
