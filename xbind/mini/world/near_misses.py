"""Objects that are nearly right, as negatives for the judge of generated objects.

A judge that has only seen correct objects calls everything with the right colours correct. These
are the failures that score distillation really produces: parts that are missing, an outline
turned into a body of revolution, and a face on both sides (the Janus problem).
"""

from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from xbind.errors import XBindError
from xbind.mini.world.categories import draw_parts, finish
from xbind.mini.world.draw import Draw
from xbind.mini.world.shapes import Albedo, Part, Points, lathe
from xbind.mini.world.world_mesh import WorldMesh

NearMissKind = Literal["missing_part", "revolution", "two_faced"]

MISSING: dict[str, frozenset[str]] = {
    "mug": frozenset({"handle"}),
    "chair": frozenset({"back"}),
    "table": frozenset({"legs"}),
    "house": frozenset({"roof", "chimney"}),
    "tree": frozenset({"trunk"}),
    "mushroom": frozenset({"stem"}),
    "snowman": frozenset({"front", "arms"}),
    "rocket": frozenset({"fins"}),
    "car": frozenset({"wheels"}),
    "bell": frozenset({"handle", "clapper"}),
    "drum": frozenset({"rims", "cords"}),
    "lamp": frozenset({"shade"}),
    "teapot": frozenset({"front"}),
    "airplane": frozenset({"wings", "engines"}),
    "duck": frozenset({"front"}),
    "robot": frozenset({"arms", "legs"}),
    "boat": frozenset({"cabin"}),
}
"""Roles of the parts without which a category is not itself."""
FACE: dict[str, str] = {
    "mug": "handle",
    "chair": "back",
    "snowman": "front",
    "car": "front",
    "teapot": "front",
    "airplane": "front",
    "duck": "front",
    "robot": "front",
}
"""Role of the parts that a two-faced object has twice. The others have no front, or are not wrong
with two: a house may have a second door."""
ROUND = frozenset({"table", "tree", "mushroom", "bell", "drum", "lamp"})
"""Categories that are, or may be, bodies of revolution themselves."""
BINS = 28
"""Steps of a revolved outline along z."""


class NoNearMissError(XBindError):
    """A near miss that makes no sense for its category."""


def near_miss_kinds(category: str) -> tuple[NearMissKind, ...]:
    """The kinds that differ from a correct object of the category."""
    kinds: list[NearMissKind] = ["missing_part"]
    if category not in ROUND:
        kinds.append("revolution")
    if category in FACE:
        kinds.append("two_faced")
    return tuple(kinds)


def build_near_miss(
    category: str, colour: str, kind: NearMissKind, generator: torch.Generator
) -> WorldMesh:
    """Draw an object of the category and spoil it.

    Args:
        category, colour: as in `build`; the mesh carries these names, although it is wrong.
        kind: "missing_part", "revolution" (its widest outline revolved about z) or "two_faced"
            (its front parts repeated at the back, instead of what was there).
        generator: source of all randomness.

    Raises:
        UnknownWorldNameError: if the category or the colour does not exist.
        NoNearMissError: if `kind` is not one of `near_miss_kinds(category)`.
    """
    draw = Draw(generator)
    parts = draw_parts(category, colour, draw)
    if kind not in near_miss_kinds(category):
        wanted = ", ".join(near_miss_kinds(category))
        raise NoNearMissError(f"a {category} has no near miss {kind!r}; choose from {wanted}")
    if kind == "missing_part":
        parts = [part for part in parts if part.role not in MISSING[category]]
    elif kind == "two_faced":
        parts = _two_faced(parts, FACE[category])
    else:
        # The first part of every category is its body, in the main colour.
        parts = [_revolved(parts, parts[0].albedo)]
    return finish(parts, category, colour, draw)


def _two_faced(parts: list[Part], face: str) -> list[Part]:
    """Repeat the parts of role `face`, turned by 180° about the middle of the rest."""
    kept = [part for part in parts if part.role == face or part.role not in ("back", "handle")]
    body = np.concatenate([part.vertices for part in kept if part.role != face])
    x, y = 0.5 * (body.min(0) + body.max(0))[:2]
    copies = [part.moved(-x, -y).turned("z", 180).moved(x, y) for part in kept if part.role == face]
    return [*kept, *[replace(part, role="copy") for part in copies]]


def _revolved(parts: list[Part], albedo: Albedo) -> Part:
    """The body of revolution of the largest radius at each height."""
    points = np.concatenate([_surface_samples(part) for part in parts])
    low, high = points.min(0), points.max(0)
    x, y = 0.5 * (low + high)[:2]
    bins = np.minimum(((points[:, 2] - low[2]) / (high[2] - low[2]) * BINS).astype(int), BINS - 1)
    radius = np.zeros(BINS)
    np.maximum.at(radius, bins, np.hypot(points[:, 0] - x, points[:, 1] - y))
    height = low[2] + (np.arange(BINS) + 0.5) / BINS * (high[2] - low[2])
    outline = [(float(r), float(z)) for r, z in zip(np.maximum(radius, 0.04), height, strict=True)]
    profile = [(0.0, float(low[2])), *outline, (0.0, float(high[2]))]
    return lathe(profile, albedo, segments=24, role="revolved")


def _surface_samples(part: Part, count: int = 20) -> Points:
    """Points on a regular barycentric grid of `count` steps in every triangle."""
    i, j = np.triu_indices(count + 1)
    weights = np.stack([i, j - i, count - j], -1) / count
    samples: Points = np.einsum("gk,fkc->fgc", weights, part.vertices[part.faces])
    return samples.reshape(-1, 3)
