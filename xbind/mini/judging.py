"""Figures of a finished mesh, as read back from its GLB, beside real objects of its category.

R-precision does not see a two-faced object, so figures of shape stand beside it: how much
silhouette and colour change over a quarter turn, and the overlap of silhouettes with the nearest
real object.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import trimesh
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import grid_sample

from xbind.cameras import Cameras, orbit
from xbind.kernels import interpolate
from xbind.mesh.components import component_report
from xbind.mesh.mesh import Mesh
from xbind.mesh.render import render_mask, surface_points
from xbind.mini.train.data import on_white
from xbind.mini.world.categories import CATEGORIES, COLOUR_NAMES, build
from xbind.mini.world.dataset import HELD_OUT_SEED
from xbind.mini.world.draw import draw_from_seed
from xbind.mini.world.render import render
from xbind.models.convnet import ConvNet

VIEWS = 24
"""Distinct azimuths at which an object is judged."""
ELEVATION_DEG = 15.0
"""Elevation of those views."""
REAL_OBJECTS = 12
"""Real objects of the category that shapes are compared with."""
SIZE = 64
"""Side of the judged views, in pixels."""
_REAL_STREAM = 77
"""Keeps these real objects apart from those of the held-out split."""


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """An object seen from `VIEWS` azimuths."""

    image: Float[Tensor, "v 3 s s"]
    """On white, in [0, 1]."""
    mask: Bool[Tensor, "v s s"]
    """The silhouettes."""


@dataclass(frozen=True, slots=True, eq=False)
class SeenMesh:
    """A mesh file as a viewer shows it."""

    views: Views
    faces: int
    components: int
    """Parts that hang together, after welding the texture's seams."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What is measured of one object."""

    r_precision: float
    """Share of views of which the judge names category and colour right, out of all pairs; the
    category alone where no colour was asked for."""
    category_precision: float
    """Share of views of which it names the category right."""
    silhouette_change: float
    """1 − IoU of silhouettes a quarter turn apart, mean over views."""
    silhouette_change_real: float
    """The same of real objects of the category."""
    colour_change: float
    """Mean absolute difference of images a quarter turn apart, times 100."""
    colour_change_real: float
    """The same of real objects of the category and colour."""
    iou_nearest: float
    """Mean silhouette IoU with the nearest real object after the best turn about z."""
    iou_real: float
    """The same between a real object and the nearest other one: what is to be expected at best."""
    faces: int
    components: int


def see_glb(path: Path) -> SeenMesh:
    """Views of a textured GLB: what is judged is the file, not the state that made it."""
    loaded = trimesh.load(path, force="mesh", process=False)
    z_up = np.asarray(loaded.vertices, np.float32)[:, [2, 0, 1]]
    faces = torch.from_numpy(np.asarray(loaded.faces, np.int64))
    mesh = Mesh(torch.from_numpy(np.ascontiguousarray(z_up)), faces)
    uv = torch.from_numpy(np.asarray(loaded.visual.uv, np.float32))
    picture = np.asarray(loaded.visual.material.baseColorTexture.convert("RGB"), np.float32) / 255
    texture = torch.from_numpy(picture).permute(2, 0, 1)[None]
    welded = trimesh.Trimesh(loaded.vertices, loaded.faces, process=True)
    whole = Mesh(
        torch.from_numpy(np.asarray(welded.vertices, np.float32)),
        torch.from_numpy(np.asarray(welded.faces, np.int64)),
    )
    return SeenMesh(_views(mesh, uv, texture), len(loaded.faces), len(component_report(whole)))


def _views(mesh: Mesh, uv: Tensor, texture: Tensor) -> Views:
    cameras = _around()
    points = surface_points(mesh, cameras, SIZE)
    at = interpolate(uv, points.rast, mesh.faces)
    grid = torch.stack([2 * at[..., 0] - 1, 1 - 2 * at[..., 1]], -1)  # v upwards, rows downwards
    colour = grid_sample(texture.expand(len(cameras), -1, -1, -1), grid, align_corners=False)
    coverage = render_mask(mesh, cameras, SIZE)
    return Views(coverage * colour + 1 - coverage, coverage[:, 0] > 0.5)


def real_views(category: str, colour: str) -> list[Views]:
    """Held-out objects of the world."""
    out = []
    for k in range(REAL_OBJECTS):
        draw = draw_from_seed(HELD_OUT_SEED, _REAL_STREAM, k)
        seen = render(build(category, colour, draw.generator), _around(), SIZE)
        out.append(Views(on_white(seen.rgba), torch.from_numpy(seen.rgba[..., 3] > 127)))
    return out


def figures_of(mesh: SeenMesh, category: str, colour: str | None, judge: ConvNet) -> Figures:
    """Judge one object.

    Args:
        mesh: what was made.
        category: what it should be.
        colour: and in which colour; None if the prompt names none.
        judge: a network that took no part in training or guidance.
    """
    named_category, named_colour = recognise(judge, mesh.views.image)
    is_category = named_category == CATEGORIES.index(category)
    is_right = is_category
    if colour is not None:
        is_right = is_category & (named_colour == COLOUR_NAMES.index(colour))
    real = real_views(category, colour or COLOUR_NAMES[0])
    turns, real_turns = quarter_turn(mesh.views), [quarter_turn(views) for views in real]
    return Figures(
        r_precision=_mean(is_right),
        category_precision=_mean(is_category),
        silhouette_change=turns[0],
        silhouette_change_real=float(np.mean([change for change, _ in real_turns])),
        colour_change=turns[1],
        colour_change_real=float(np.mean([change for _, change in real_turns])),
        iou_nearest=best_iou(mesh.views, real),
        iou_real=float(
            np.mean([best_iou(v, real[:k] + real[k + 1 :]) for k, v in enumerate(real)])
        ),
        faces=mesh.faces,
        components=mesh.components,
    )


def recognise(judge: ConvNet, image: Float[Tensor, "v 3 s s"]) -> tuple[Tensor, Tensor]:
    """Indices of the most likely category and colour of each view, int64 [v] each."""
    with torch.inference_mode():
        logits = judge(image)
    k = len(CATEGORIES)
    return logits[:, :k].argmax(1), logits[:, k:].argmax(1)


def quarter_turn(views: Views) -> tuple[float, float]:
    """(1 − IoU, 100 · mean |Δimage|) between views a quarter turn apart."""
    turn = len(views.mask) // 4
    change = 100 * (views.image - views.image.roll(turn, 0)).abs().mean()
    return 1 - iou(views.mask, views.mask.roll(turn, 0)), float(change)


def best_iou(views: Views, real: list[Views]) -> float:
    """Highest mean IoU over real objects and turns about z."""
    turns = range(len(views.mask))
    return max(iou(views.mask, other.mask.roll(turn, 0)) for other in real for turn in turns)


def iou(a: Bool[Tensor, "v s s"], b: Bool[Tensor, "v s s"]) -> float:
    """Intersection over union, mean over views."""
    return _mean((a & b).sum((1, 2)) / (a | b).sum((1, 2)).clamp_min(1))


def _mean(values: Tensor) -> float:
    return float(values.float().mean())


def _around() -> Cameras:
    return orbit(VIEWS, elevation_deg=ELEVATION_DEG)
