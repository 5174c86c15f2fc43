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
class TexturedMesh:
    """What a GLB holds, in our frame."""

    mesh: Mesh
    uv: Float[Tensor, "v 2"]
    """In [0, 1], v upwards."""
    texture: Float[Tensor, "1 3 h w"]
    """In [0, 1], row 0 at v = 1."""

    @property
    def components(self) -> int:
        """Parts that hang together, after welding the texture's seams."""
        vertices, faces = self.mesh.vertices.numpy(), self.mesh.faces.numpy()
        welded = trimesh.Trimesh(vertices, faces, process=True)
        whole = Mesh(
            torch.from_numpy(np.asarray(welded.vertices, np.float32)),
            torch.from_numpy(np.asarray(welded.faces, np.int64)),
        )
        return len(component_report(whole))

    def views(self, cameras: Cameras, size: int) -> Views:
        """Shown on white, as any viewer without lights would."""
        points = surface_points(self.mesh, cameras, size)
        at = interpolate(self.uv, points.rast, self.mesh.faces)
        grid = torch.stack([2 * at[..., 0] - 1, 1 - 2 * at[..., 1]], -1)
        texture = self.texture.expand(len(cameras), -1, -1, -1)
        colour = grid_sample(texture, grid, align_corners=False)
        coverage = render_mask(self.mesh, cameras, size)
        return Views(coverage * colour + 1 - coverage, coverage[:, 0] > 0.5)


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


def read_glb(path: Path) -> TexturedMesh:
    """Read a mesh back: what is judged is the file, not the state that made it."""
    loaded = trimesh.load(path, force="mesh", process=False)
    z_up = np.asarray(loaded.vertices, np.float32)[:, [2, 0, 1]]
    picture = np.asarray(loaded.visual.material.baseColorTexture.convert("RGB"), np.float32)
    return TexturedMesh(
        Mesh(
            torch.from_numpy(np.ascontiguousarray(z_up)),
            torch.from_numpy(np.asarray(loaded.faces, np.int64)),
        ),
        torch.from_numpy(np.asarray(loaded.visual.uv, np.float32)),
        torch.from_numpy(picture / 255).permute(2, 0, 1)[None].contiguous(),
    )


def real_views(category: str, colour: str) -> list[Views]:
    """Held-out objects of the world."""
    out = []
    for k in range(REAL_OBJECTS):
        draw = draw_from_seed(HELD_OUT_SEED, _REAL_STREAM, k)
        seen = render(build(category, colour, draw.generator), _around(), SIZE)
        out.append(Views(on_white(seen.rgba), torch.from_numpy(seen.rgba[..., 3] > 127)))
    return out


def judged_views(mesh: TexturedMesh) -> Views:
    """The `VIEWS` views that the figures are taken of."""
    return mesh.views(_around(), SIZE)


def figures_of(mesh: TexturedMesh, category: str, colour: str | None, judge: ConvNet) -> Figures:
    """Judge one object.

    Args:
        mesh: what was made.
        category: what it should be.
        colour: and in which colour; None if the prompt names none.
        judge: a network that took no part in training or guidance.
    """
    views = judged_views(mesh)
    named_category, named_colour = recognise(judge, views.image)
    is_category = named_category == CATEGORIES.index(category)
    is_right = is_category
    if colour is not None:
        is_right = is_category & (named_colour == COLOUR_NAMES.index(colour))
    real = real_views(category, colour or COLOUR_NAMES[0])
    turns, real_turns = quarter_turn(views), [quarter_turn(other) for other in real]
    return Figures(
        r_precision=_mean(is_right),
        category_precision=_mean(is_category),
        silhouette_change=turns[0],
        silhouette_change_real=float(np.mean([change for change, _ in real_turns])),
        colour_change=turns[1],
        colour_change_real=float(np.mean([change for _, change in real_turns])),
        iou_nearest=best_iou(views, real),
        iou_real=float(
            np.mean([best_iou(v, real[:k] + real[k + 1 :]) for k, v in enumerate(real)])
        ),
        faces=len(mesh.mesh.faces),
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
