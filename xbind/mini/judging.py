"""The mini bundle's judges, and figures of shape beside real objects of the world.

R@1 does not see a two-faced object, a blotched one, and hardly a missing part, so the judges have
learnt to name near misses as such, and figures of shape stand beside them.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from xbind.errors import XBindError
from xbind.evaluation.figures import (
    best_turn,
    chamfer,
    count_fronts,
    kernel_distance,
    quarter_turn,
    thinned,
    turned,
)
from xbind.evaluation.judges import FIRST_JUDGE, Look
from xbind.evaluation.runs import bumps
from xbind.mini.targets import Target, target_of_prompt
from xbind.mini.train.data import on_white
from xbind.mini.world.captions import prompts
from xbind.mini.world.categories import CATEGORIES, COLOUR_NAMES, build
from xbind.mini.world.dataset import HELD_OUT_SEED
from xbind.mini.world.draw import draw_from_seed
from xbind.mini.world.render import render
from xbind.mini.world.world_mesh import WorldMesh
from xbind.models.convnet import ConvNet
from xbind.models.patch_convnet import PatchConvNet
from xbind.networks.load import load_convnet, load_patch_convnet
from xbind.networks.manifest import BundleManifest
from xbind.scene.cameras import Cameras, orbit
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.mesh.render import surface_points
from xbind.scene.mesh.textured import TexturedMesh, Views

VIEWS = 24
"""Distinct azimuths at which shapes are compared."""
ELEVATION_DEG = 15.0
"""Elevation of all judged views (threestudio's test views)."""
REAL_OBJECTS = 12
"""Real objects of the category that shapes are compared with."""
SIZE = 64
"""Side of the judged views, in pixels."""
SURFACE_ELEVATIONS_DEG = (-45.0, 15.0, 60.0)
"""From where surfaces are looked at for their points; what nobody sees, such as the inside of a
body that another part is stuck into, is no surface."""
SURFACE_AZIMUTHS = 8
"""Views at each of them."""
CELL = 0.02
"""Of the grid that keeps one surface point each, in scene units."""
REAL_FOR_EXPECTATION = 4
"""Real objects whose distance to the other ones says what is to be expected at best."""
TARGET = "target.json"
"""Beside a run: what it should have made."""
_REAL_STREAM = 77
"""Keeps these real objects apart from those of the held-out split."""


@dataclass(frozen=True, slots=True, eq=False)
class MiniJudge:
    """A network that took no part in training or guidance, with the world's 136 prompts."""

    net: ConvNet | PatchConvNet
    name: str = FIRST_JUDGE
    pool: Sequence[str] = prompts()

    @torch.inference_mode()
    def look(self, image: Float[Tensor, "v 3 s s"]) -> Look:
        """Judge views on white, in [0, 1]."""
        features = self.net.features(image)
        logits = self.net.head(features)
        k = len(CATEGORIES)
        category, colour = logits[:, :k], logits[:, k + 1 :]
        scores = category.log_softmax(1)[:, :, None] + colour.log_softmax(1)[:, None]
        return Look(features, scores.flatten(1), category.amax(1) > logits[:, k])


def load_judge(manifest: BundleManifest) -> MiniJudge:
    """The first judge of a bundle that has one.

    Raises:
        BundleError: it has none, or its files do not fit.
    """
    return MiniJudge(load_convnet(manifest.part("judge")))


def load_judges(manifest: BundleManifest) -> list[MiniJudge]:
    """All judges of a bundle that has one; `judge_2` is optional.

    Raises:
        BundleError: it has none, or the files of one do not fit.
    """
    judges = [load_judge(manifest)]
    if manifest.has("judge_2"):
        judges.append(MiniJudge(load_patch_convnet(manifest.part("judge_2")), "judge_2"))
    return judges


def right_answers(target: Target) -> list[int]:
    """Numbers of the pool's prompts that are right: all colours where none was asked for."""
    colours = COLOUR_NAMES if target.colour is None else (target.colour,)
    first = CATEGORIES.index(target.category) * len(COLOUR_NAMES)
    return [first + COLOUR_NAMES.index(colour) for colour in colours]


@dataclass(frozen=True, eq=False)
class RealObjects:
    """Held-out objects of the world, of one category and colour."""

    category: str
    colour: str

    @cached_property
    def meshes(self) -> list[WorldMesh]:
        """`REAL_OBJECTS` of them."""
        draws = [draw_from_seed(HELD_OUT_SEED, _REAL_STREAM, k) for k in range(REAL_OBJECTS)]
        return [build(self.category, self.colour, draw.generator) for draw in draws]

    @cached_property
    def views(self) -> list[Views]:
        """From `VIEWS` azimuths."""
        return [views_of(mesh, around(VIEWS)) for mesh in self.meshes]

    @cached_property
    def expected(self) -> dict[str, float]:
        """The figures of shape of real objects beside the other real ones."""
        rows = []
        for k in range(REAL_FOR_EXPECTATION):
            others = [i for i in range(REAL_OBJECTS) if i != k]
            iou, which, turn = best_turn(self.views[k].mask, [self.views[i].mask for i in others])
            degrees = turn * 360.0 / VIEWS
            near = turned(self.points(others[which]), degrees)
            silhouette, colour = quarter_turn(self.views[k].image, self.views[k].mask)
            rows.append((silhouette, colour, iou, chamfer(self.points(k), near)))
        names = ("silhouette_change", "colour_change", "iou", "chamfer")
        return dict(zip(names, np.mean(rows, 0).tolist(), strict=True))

    def points(self, k: int) -> Float[Tensor, "n 3"]:
        """Of the visible surface."""
        return _world_surface(self.meshes[k])

    def features(self, judge: MiniJudge) -> list[Tensor]:
        """Of every object's views, [v, f] each."""
        return [judge.look(seen.image).features for seen in self.views]


@lru_cache(maxsize=4)
def real_objects(category: str, colour: str) -> RealObjects:
    """The same ones at every call."""
    return RealObjects(category, colour)


def views_of(mesh: WorldMesh, cameras: Cameras) -> Views:
    """A real object, as the world shows it."""
    seen = render(mesh, cameras, SIZE)
    return Views(on_white(seen.rgba), torch.from_numpy(seen.rgba[..., 3] > 127))


def around(count: int) -> Cameras:
    """`count` distinct azimuths."""
    return orbit(count, elevation_deg=ELEVATION_DEG)


class MiniWorld:
    """The ground truth: what a prompt asks for, and what such objects look like."""

    advice = 'The judge knows one colour and one thing, as in "a red mug", or the thing alone.'

    def __init__(self, judge: MiniJudge, view: ConvNet | None) -> None:
        """Judge with these.

        Args:
            judge: for the kernel distance.
            view: the pose estimator, for counting fronts; without it they are not counted.
        """
        self.judge, self.view = judge, view

    def right(self, run: Path, config: Mapping[str, Any]) -> Collection[int]:
        """Numbers of the pool's prompts that are right; none if the prompt names no category."""
        target = target_of_run(run, config)
        return () if target is None else right_answers(target)

    def figures(
        self, run: Path, config: Mapping[str, Any], mesh: TexturedMesh, views: Views, look: Look
    ) -> Mapping[str, float]:
        """Figures of shape of one object beside those of real ones.

        Args:
            run: its folder.
            config: of the run.
            mesh: what was made.
            views: of it, from a multiple of `VIEWS` even azimuths.
            look: the judge's, of these views.
        """
        target = target_of_run(run, config)
        if target is None:
            return {}
        real = real_objects(target.category, target.colour or COLOUR_NAMES[0])
        coarse = views.every(len(views.mask) // VIEWS)
        iou, which, turn = best_turn(coarse.mask, [seen.mask for seen in real.views])
        near = turned(real.points(which), turn * 360.0 / VIEWS)
        silhouette, colour = quarter_turn(coarse.image, coarse.mask)
        figures = {
            "silhouette_change": silhouette,
            "colour_change": colour,
            "iou": iou,
            "chamfer": chamfer(mesh_surface(mesh.mesh), near),
            "components": float(mesh.components),
            "bumps": bumps(mesh),
            "faces": float(len(mesh.mesh.faces)),
        }
        figures |= {f"{name}_real": value for name, value in real.expected.items()}
        features = real.features(self.judge)
        figures["kernel_distance"] = kernel_distance(look.features, torch.cat(features))
        figures["kernel_distance_real"] = float(
            np.mean(
                [
                    kernel_distance(features[k], torch.cat(features[:k] + features[k + 1 :]))
                    for k in range(REAL_FOR_EXPECTATION)
                ]
            )
        )
        if self.view is not None:
            figures["fronts"] = float(self._fronts(views.image))
            seen = [self._fronts(other.image) for other in real.views[:REAL_FOR_EXPECTATION]]
            figures["fronts_real"] = float(np.mean(seen))
        return figures

    @torch.inference_mode()
    def _fronts(self, image: Tensor) -> int:
        assert self.view is not None
        return count_fronts(self.view(image)[:, 1:3])


def target_of_run(run: Path, config: Mapping[str, Any]) -> Target | None:
    """Returns the target of a run, saved beside it or read from its words; else None.

    Raises:
        XBindError: what was saved is damaged.
    """
    path = run / TARGET
    if not path.exists():
        return target_of_prompt(config["prompt"], config.get("reading", {}).get("read"))
    try:
        return Target(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise XBindError(
            f"{path} is damaged ({error}).\nRemove it; `xbind eval run` writes it again."
        ) from error


def mesh_surface(mesh: Mesh) -> Float[Tensor, "n 3"]:
    """Points of the surface that can be seen, one for each cell of a grid."""
    points = surface_points(mesh, _surface_cameras(), SIZE)
    return thinned(points.positions[points.mask], CELL)


def _world_surface(mesh: WorldMesh) -> Float[Tensor, "n 3"]:
    cameras = _surface_cameras()
    depth = torch.from_numpy(render(mesh, cameras, SIZE).depth)
    origins, directions = cameras.rays(SIZE)
    seen = depth.isfinite()
    return thinned((origins[seen] + depth[seen][:, None] * directions[seen]).float(), CELL)


def _surface_cameras() -> Cameras:
    rings = [orbit(SURFACE_AZIMUTHS, elevation_deg=e) for e in SURFACE_ELEVATIONS_DEG]
    fields = ("elevation_deg", "azimuth_deg", "distance", "fov_y_deg")
    return Cameras(*(torch.cat([getattr(ring, name) for ring in rings]) for name in fields))


def recognise(judge: ConvNet, image: Float[Tensor, "v 3 s s"]) -> tuple[Tensor, Tensor]:
    """Indices of the most likely category and colour of each view, int64 [v] each."""
    best = MiniJudge(judge).look(image).scores.argmax(1)
    return best // len(COLOUR_NAMES), best % len(COLOUR_NAMES)
