"""The seventeen categories, and how an object of one of them is drawn."""

from collections.abc import Callable

import torch

from xbind.errors import XBindError
from xbind.mini.world import household, outdoors, vehicles
from xbind.mini.world.decoration import decorated
from xbind.mini.world.draw import Draw
from xbind.mini.world.palette import COLOURS, mix_paint
from xbind.mini.world.shapes import Part
from xbind.mini.world.world_mesh import WorldMesh, assemble

_MAKERS: dict[str, Callable[..., list[Part]]] = {
    "mug": household.mug,
    "chair": household.chair,
    "table": household.table,
    "house": outdoors.house,
    "tree": outdoors.tree,
    "mushroom": outdoors.mushroom,
    "snowman": outdoors.snowman,
    "rocket": vehicles.rocket,
    "car": vehicles.car,
    "bell": household.bell,
    "drum": household.drum,
    "lamp": household.lamp,
    "teapot": household.teapot,
    "airplane": vehicles.airplane,
    "duck": outdoors.duck,
    "robot": outdoors.robot,
    "boat": vehicles.boat,
}

WITH_FITTINGS = frozenset({"mug", "house", "car", "airplane", "boat"})
"""Categories whose makers take `detailed`."""

CATEGORIES: tuple[str, ...] = tuple(_MAKERS)
"""Names of the categories; a label is an index into this tuple."""
SEEN: tuple[str, ...] = (
    "mug", "chair", "table", "house", "tree", "snowman", "rocket", "car", "lamp", "duck",
)  # fmt: skip
"""Categories that the narrow 3D prior is trained on."""
UNSEEN: tuple[str, ...] = tuple(name for name in CATEGORIES if name not in SEEN)
"""Categories that the narrow 3D prior never sees; all other networks know them."""
COLOUR_NAMES: tuple[str, ...] = tuple(COLOURS)
"""Names of the main colours; a label is an index into this tuple."""
ADJECTIVES: tuple[str, ...] = ("", "tall", "short")
"""Words of proportion; a label is an index into this tuple."""
WITHOUT_ADJECTIVE = frozenset({"car", "airplane", "duck"})
"""Categories whose height says nothing: they are stretched too little for a word."""


DETAILS: tuple[int, ...] = (1, 2)
"""Levels of detail. 1 is the world of the shipped bundle, 2 has fittings (windows with frames,
spoked wheels, a lining of mugs), and stripes or spots on the main parts of some objects."""


class UnknownWorldNameError(XBindError):
    """A category, colour or level of detail that the world does not have."""


def build(category: str, colour: str, generator: torch.Generator, *, detail: int = 1) -> WorldMesh:
    """Draw one object: proportions, optional parts, size (radius 0.72 to 0.80).

    Args:
        category, colour: names of the world.
        generator: source of all randomness.
        detail: one of `DETAILS`.

    Raises:
        UnknownWorldNameError: if the category, the colour or the detail does not exist.
    """
    draw = Draw(generator)
    parts = draw_parts(category, colour, draw, detail=detail)
    return finish(parts, category, colour, draw)


def draw_parts(category: str, colour: str, draw: Draw, *, detail: int = 1) -> list[Part]:
    """The parts of one object before they are stretched, centred and lit.

    Raises:
        UnknownWorldNameError: if the category, the colour or the detail does not exist.
    """
    if detail not in DETAILS:
        levels = ", ".join(map(str, DETAILS))
        raise UnknownWorldNameError(f"no detail {detail} in the world; choose from {levels}")
    for name, known in ((category, CATEGORIES), (colour, COLOUR_NAMES)):
        if name not in known:
            raise UnknownWorldNameError(f"no {name!r} in the world; choose from {', '.join(known)}")
    paint = mix_paint(colour, draw)
    if detail == 1:
        return _MAKERS[category](draw, paint)
    options = {"detailed": True} if category in WITH_FITTINGS else {}
    return decorated(_MAKERS[category](draw, paint, **options), paint, draw)


def finish(parts: list[Part], category: str, colour: str, draw: Draw) -> WorldMesh:
    """Stretch, centre, scale and light the parts of one object."""
    if category in WITHOUT_ADJECTIVE:
        z_scale, adjective = draw.uniform(0.94, 1.08), ""
    else:
        z_scale = draw.uniform(0.82, 1.22)
        adjective = "tall" if z_scale > 1.10 else "short" if z_scale < 0.92 else ""
    radius = draw.uniform(0.72, 0.80)
    return assemble(parts, radius=radius, z_scale=z_scale, names=(category, colour, adjective))
