"""Figures of a bundle's light. No torch here: a manifest is checked before it is imported."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from xbind.config.terms import UNIT_TOLERANCE


@dataclass(frozen=True, slots=True)
class LightFigures:
    """Directional light with wrap, the same in every view: light of a bundle's training pictures.

    L(n) = a + (1 − a) · max(0, (n · l + w) / (1 + w))

    w = 0 is Lambert's law, w = 1 half-Lambert, which reaches around the object.
    """

    direction: tuple[float, float, float]
    """l, of unit length, towards the light in the world frame."""
    ambient: float
    """a, in [0, 1]."""
    wrap: float
    """w, in [0, 1]."""
    textureless: bool = False
    """True if the bundle's priors make sense of grey pictures, which show the light alone."""

    def __post_init__(self) -> None:
        if abs(math.hypot(*self.direction) - 1) > UNIT_TOLERANCE:
            raise ValueError(f"direction has the length {math.hypot(*self.direction):g}; wanted 1")
        for name in ("ambient", "wrap"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is {value:g}; wanted 0 to 1")

    @classmethod
    def from_plain(cls, found: object) -> Self:
        """Reads what `plain` returns.

        Raises:
            ValueError: it is not a light; the message says why.
        """
        if not isinstance(found, Mapping):
            raise ValueError("it is not an object")
        unknown = set(found) - {"direction", "ambient", "wrap", "textureless"}
        if unknown:
            raise ValueError(f"it has {', '.join(sorted(map(str, unknown)))}, which no light has")
        direction, numbers = found.get("direction"), [found.get("ambient"), found.get("wrap")]
        if not isinstance(direction, list | tuple) or len(direction) != 3:
            raise ValueError("direction is not a list of three numbers")
        if not all(_is_number(x) for x in (*direction, *numbers)):
            raise ValueError("direction, ambient and wrap are not all finite numbers")
        textureless = found.get("textureless", False)
        if not isinstance(textureless, bool):
            raise ValueError("textureless is neither true nor false")
        x, y, z = (float(v) for v in direction)
        return cls((x, y, z), float(found["ambient"]), float(found["wrap"]), textureless)

    def plain(self) -> dict[str, Any]:
        """Returns the light as JSON data."""
        return {
            "direction": list(self.direction),
            "ambient": self.ambient,
            "wrap": self.wrap,
            "textureless": self.textureless,
        }


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value)
