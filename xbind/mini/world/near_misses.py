"""Objects that are nearly right, as negatives for the judge of generated objects.

A judge that has only seen correct objects calls everything with the right colours correct. These
are the failures that score distillation really produces: parts that are missing, an outline
turned into a body of revolution, a face on both sides (the Janus problem), and a part in a colour
that it never has. Faults of pictures, such as blotches, are in `image_faults`.
"""

from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from xbind.errors import XBindError
from xbind.mini.world.categories import draw_parts, finish
from xbind.mini.world.draw import Draw
from xbind.mini.world.palette import COFFEE, COLOURS, DARK, DARK_SHADE, LIGHT
from xbind.mini.world.shapes import Albedo, Part, Points, lathe
from xbind.mini.world.world_mesh import WorldMesh

NearMissKind = Literal["missing_part", "revolution", "two_faced", "wrong_part_colour"]

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
HIDDEN: dict[str, Albedo] = {"mug": COFFEE, "bell": DARK, "lamp": LIGHT}
"""Colour of the parts that others hide in most views: coffee, clapper, bulb. They keep it."""
SMALLEST_REPAINTED = 0.06
"""Share of an object's surface that a part in a wrong colour has at least."""
LARGEST_REPAINTED = 0.5
"""Share of the surface in the main colour that a repainted part has at most: beyond it, the object
would be a correct one of another colour, or of no clear colour."""
COLOUR_GAP = 0.5
"""Distance of a wrong colour from the right one at least, in RGB in [0, 1]."""
_SAME_COLOUR = 0.12
"""Distance in RGB within which two parts have one colour; the jitter of a main colour is less."""


class NoNearMissError(XBindError):
    """A near miss that makes no sense for its category."""


def near_miss_kinds(category: str) -> tuple[NearMissKind, ...]:
    """The kinds that differ from a correct object of the category."""
    kinds: list[NearMissKind] = ["missing_part"]
    if category not in ROUND:
        kinds.append("revolution")
    if category in FACE:
        kinds.append("two_faced")
    return (*kinds, "wrong_part_colour")


def build_near_miss(
    category: str, colour: str, kind: NearMissKind, generator: torch.Generator
) -> WorldMesh:
    """Draw an object of the category and spoil it.

    Args:
        category, colour: as in `build`; the mesh carries these names, although it is wrong.
        kind: "missing_part", "revolution" (its widest outline revolved about z), "two_faced"
            (its front parts repeated at the back, instead of what was there) or
            "wrong_part_colour" (one part, or all parts of a role that have one colour, in another
            main colour of the world).
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
    elif kind == "wrong_part_colour":
        parts = _repainted(parts, colour, HIDDEN.get(category), draw)
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


def _repainted(parts: list[Part], colour: str, hidden: Albedo | None, draw: Draw) -> list[Part]:
    """Give one part, or all parts of one role and colour, another main colour of the world."""
    chosen = _repaintable(parts, colour, hidden)
    which = chosen[draw.integer(0, len(chosen))]
    right = np.array(parts[min(which)].albedo)
    others = [c for c in COLOURS.values() if np.linalg.norm(right - c) > COLOUR_GAP]
    wrong = others[draw.integer(0, len(others))]
    return [replace(p, albedo=wrong) if k in which else p for k, p in enumerate(parts)]


def _repaintable(parts: list[Part], colour: str, hidden: Albedo | None) -> list[frozenset[int]]:
    """Sets of parts, as indices, that are large enough to be seen and leave the main colour clear.

    Parts of one role and colour are one set, as wheels are, unless they carry the main colour: then
    each part is one.
    """
    area = np.array([_area(part) for part in parts])
    main = np.array(COLOURS[colour])
    has_main = np.array([_near(p.albedo, main) or _near(p.albedo, DARK_SHADE * main)
                         for p in parts])  # fmt: skip
    groups: dict[tuple[str, Albedo], set[int]] = {}
    for k, part in enumerate(parts):
        if part.albedo != hidden:
            groups.setdefault((part.role, part.albedo), set()).add(k)
    limit = LARGEST_REPAINTED * area[has_main].sum()
    sets = []
    for group in map(frozenset, groups.values()):
        whole = not has_main[min(group)] or area[list(group)].sum() <= limit
        sets += [group] if whole else [frozenset({k}) for k in sorted(group) if area[k] <= limit]
    large = [one for one in sets if area[list(one)].sum() >= SMALLEST_REPAINTED * area.sum()]
    return large or [max(sets, key=lambda one: float(area[list(one)].sum()))]


def _area(part: Part) -> float:
    a, b, c = (part.vertices[part.faces[:, k]] for k in range(3))
    return float(0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1).sum())


def _near(albedo: Albedo, other: Points) -> bool:
    return bool(np.linalg.norm(np.array(albedo) - other) < _SAME_COLOUR)


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
