"""Splits of the world as arrays: `python -m xbind.mini.world.dataset --out FOLDER`.

Object i of a seed has category i mod 17 and depends on (seed, i) only, so splits can be made in
pieces. A split can also be of near misses: objects that are wrong. Seeds from `HELD_OUT_SEED` on
are for evaluation and are never trained on.
"""

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from xbind.mini.world.categories import ADJECTIVES, CATEGORIES, COLOUR_NAMES, DETAILS, build
from xbind.mini.world.draw import Draw, draw_from_seed
from xbind.mini.world.near_misses import NearMissKind, build_near_miss, near_miss_kinds
from xbind.mini.world.render import render
from xbind.mini.world.world_mesh import WorldMesh
from xbind.scene.cameras import Cameras

HELD_OUT_SEED = 1_000_000
"""Training uses smaller seeds; held-out objects use this seed and larger ones."""
CHUNK = 64
"""Objects that one worker renders at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitConfig:
    """Content of a rendered split."""

    views: int = 10
    """Views of each object."""
    seed: int = 0
    """Seed of the split; at least `HELD_OUT_SEED` for evaluation."""
    size: int = 64
    """Side of the images, in pixels."""
    normals: bool = True
    """True if normal maps are kept."""
    depth: bool = True
    """True if depth maps are kept."""
    close_fraction: float = 0.2
    """Share of views from the closer, cropping cameras of the paper's Phase II."""
    near_misses: bool = False
    """True if the objects are near misses; these have detail 1 only."""
    detail: int = 1
    """Level of detail of the objects, one of `DETAILS`."""


def make_near_miss(index: int, seed: int) -> WorldMesh:
    """Near miss `index` of a seed: category index mod 17, its kinds in turn, else random."""
    draw = draw_from_seed(seed, index, 2)
    colour = COLOUR_NAMES[draw.integer(0, len(COLOUR_NAMES))]
    category = CATEGORIES[index % len(CATEGORIES)]
    return build_near_miss(category, colour, kind_of_near_miss(index), draw.generator)


def kind_of_near_miss(index: int) -> NearMissKind:
    """The kind of near miss `index`, whatever the seed."""
    kinds = near_miss_kinds(CATEGORIES[index % len(CATEGORIES)])
    return kinds[index // len(CATEGORIES) % len(kinds)]


def make_object(index: int, seed: int, detail: int = 1) -> WorldMesh:
    """Object `index` of a seed: category index mod 17, everything else random."""
    draw = draw_from_seed(seed, index, 0)
    colour = COLOUR_NAMES[draw.integer(0, len(COLOUR_NAMES))]
    return build(CATEGORIES[index % len(CATEGORIES)], colour, draw.generator, detail=detail)


def draw_cameras(draw: Draw, views: int, close_fraction: float) -> Cameras:
    """Far views (2.5, 40°, elevation ±45°) and close ones (1.5–2, 30–45°, elevation −10…45°)."""
    rows = []
    for _ in range(views):
        azimuth = draw.uniform(-180, 180)
        if draw.bernoulli(close_fraction):
            row = (draw.uniform(-10, 45), azimuth, draw.uniform(1.5, 2.0), draw.uniform(30, 45))
        else:
            row = (draw.uniform(-45, 45), azimuth, 2.5, 40.0)
        rows.append(row)
    return Cameras(*torch.tensor(rows).T.contiguous())


def write_split(folder: Path, count: int, config: SplitConfig, *, workers: int = 1) -> None:
    """Render objects 0 … count − 1 into .npy files that can be memory-mapped, and manifest.json.

    Each worker writes its objects into the files itself; memory does not grow with `count`. The
    manifest comes last: a split without one is not whole.

    Args:
        folder: made where it does not exist; a former split in it is replaced.
        count: number of objects.
        config: what to render of each, and the seed.
        workers: processes that render.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").unlink(missing_ok=True)
    arrays = {}
    for name, first in _render_range((0, 1), config).items():
        array = open_memmap(folder / f"{name}.npy", "w+", first.dtype, (count, *first.shape[1:]))
        arrays[name] = {"shape": array.shape, "dtype": str(array.dtype)}
    ranges = _ranges(count)
    jobs = (ranges, [config] * len(ranges), [folder] * len(ranges))
    if workers == 1:
        for job in zip(*jobs, strict=True):
            _write_range(*job)
    else:
        # Forking a process that has used torch's threads can hang; spawning cannot.
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            list(pool.map(_write_range, *jobs))
    manifest = {
        "seed": config.seed,
        "held_out": config.seed >= HELD_OUT_SEED,
        "detail": config.detail,
        "categories": CATEGORIES,
        "colours": COLOUR_NAMES,
        "adjectives": ADJECTIVES,
        "arrays": arrays,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


def _ranges(count: int) -> list[tuple[int, int]]:
    return [(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]


def _write_range(bounds: tuple[int, int], config: SplitConfig, folder: Path) -> None:
    for name, rows in _render_range(bounds, config).items():
        np.load(folder / f"{name}.npy", mmap_mode="r+", allow_pickle=False)[slice(*bounds)] = rows


def _render_range(bounds: tuple[int, int], config: SplitConfig) -> dict[str, NDArray[np.generic]]:
    """The arrays of objects bounds[0] … bounds[1] − 1."""
    torch.set_num_threads(1)
    rows = [_render_object(index, config) for index in range(*bounds)]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _render_object(index: int, config: SplitConfig) -> dict[str, NDArray[np.generic]]:
    if config.near_misses:
        mesh = make_near_miss(index, config.seed)
    else:
        mesh = make_object(index, config.seed, config.detail)
    # Cameras have their own stream, so that they do not change with the look of the objects.
    draw = draw_from_seed(config.seed, index, 1)
    cameras = draw_cameras(draw, config.views, config.close_fraction)
    seen = render(mesh, cameras, config.size)
    pose = (cameras.elevation_deg, cameras.azimuth_deg, cameras.distance, cameras.fov_y_deg)
    labels = CATEGORIES.index(mesh.category), COLOUR_NAMES.index(mesh.colour)
    row: dict[str, NDArray[np.generic]] = {
        "rgba": seen.rgba,
        "pose": torch.stack(pose, -1).numpy(),
        "labels": np.array(labels, np.int64),
        "adjective": np.array(ADJECTIVES.index(mesh.adjective), np.int8),
    }
    if config.normals:
        row["normals"] = seen.normals
    if config.depth:
        row["depth"] = seen.depth.astype(np.float16)
    return row


def load_split(folder: Path) -> dict[str, NDArray[np.generic]]:
    """Memory-map what `write_split` wrote."""
    names = json.loads((folder / "manifest.json").read_text())["arrays"]
    return {
        name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names
    }


def main() -> None:
    """Render one split into a folder."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the arrays")
    parser.add_argument("--objects", type=int, default=3000)
    parser.add_argument("--views", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help=f">= {HELD_OUT_SEED}: held out")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--detail", type=int, choices=DETAILS, default=1)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    config = SplitConfig(views=given.views, seed=given.seed, size=given.size, detail=given.detail)
    write_split(given.out, given.objects, config, workers=given.workers)


if __name__ == "__main__":
    main()
