"""Generate from a list of prompts and judge what came out: `python -m xbind.mini.evaluate`.

The judge is a network that took no part in training or guidance. R-precision does not see a
two-faced object, so two figures of shape stand beside it: how much silhouette and colour change
over a quarter turn, next to real objects of the category, and the silhouette overlap with the
nearest real object after the best turn about z.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from xbind.cameras import Cameras, orbit
from xbind.config import GenerateConfig, PromptConfig
from xbind.errors import XBindError
from xbind.frozen import load_convnet
from xbind.mini.train.data import on_white
from xbind.mini.world.categories import CATEGORIES, COLOUR_NAMES, build
from xbind.mini.world.dataset import HELD_OUT_SEED
from xbind.mini.world.render import render
from xbind.models.bundle import load_manifest
from xbind.models.convnet import ConvNet

VIEWS = 24
"""Distinct azimuths at which an object is judged."""
ELEVATION_DEG = 15.0
"""Elevation of those views."""
REAL_OBJECTS = 12
"""Ground-truth objects per category that shapes are compared with."""
SIZE = 64
"""Side of the judged views, in pixels."""
PROMPTS = Path(__file__).with_name("prompts_24.txt")
"""The fixed list: one prompt, then its category and colour."""


@dataclass(frozen=True, slots=True)
class Target:
    """A prompt and what it should make."""

    prompt: str
    category: str
    colour: str


@dataclass(frozen=True, slots=True)
class Score:
    """Figures of one object, one line of `scores.jsonl`."""

    prompt: str
    seed: int
    r_precision: float
    """Share of views whose category and colour the judge names right, among all 136 pairs."""
    category_precision: float
    """Share of views whose category it names right."""
    silhouette_change: float
    """1 − IoU of silhouettes a quarter turn apart, mean over views."""
    silhouette_change_real: float
    """The same of real objects of the category."""
    colour_change: float
    """Mean absolute colour difference a quarter turn apart, times 100."""
    colour_change_real: float
    """The same of real objects."""
    iou_nearest: float
    """Mean silhouette IoU with the nearest real object after the best turn about z."""
    faces: int
    components: int


def read_targets(path: Path) -> list[Target]:
    """Lines of `prompt | category | colour`.

    Raises:
        XBindError: a line that is not of that form.
    """
    targets = []
    for line in path.read_text().splitlines():
        parts = [part.strip() for part in line.split("|")]
        if len(parts) != 3 or parts[1] not in CATEGORIES or parts[2] not in COLOUR_NAMES:
            raise XBindError(
                f"{path}: cannot read {line!r}; wanted 'prompt | category | colour', such as "
                f"'a red mug | mug | red'."
            )
        targets.append(Target(*parts))
    return targets


def views_of_glb(path: Path) -> tuple[Float[Tensor, "n 3 s s"], Float[Tensor, "n s s"], int, int]:
    """Textured views and silhouettes of a mesh as any viewer would show it, face and part counts.

    The GLB is read back with trimesh: what is judged is the file, not the state that made it.
    """
    from xbind.kernels import interpolate
    from xbind.mesh.components import component_report
    from xbind.mesh.mesh import Mesh
    from xbind.mesh.render import render_mask, surface_points

    loaded = trimesh.load(path, force="mesh", process=False)
    y_up = np.asarray(loaded.vertices, np.float32)
    vertices = torch.from_numpy(np.ascontiguousarray(y_up[:, [2, 0, 1]]))
    mesh = Mesh(vertices, torch.from_numpy(np.asarray(loaded.faces, np.int64)))
    uv = torch.from_numpy(np.asarray(loaded.visual.uv, np.float32))
    texture = np.asarray(loaded.visual.material.baseColorTexture.convert("RGB"), np.float32) / 255
    texels = torch.from_numpy(texture).permute(2, 0, 1)[None]
    cameras = _orbit()
    points = surface_points(mesh, cameras, SIZE)
    at = interpolate(uv, points.rast, mesh.faces)
    grid = torch.stack([2 * at[..., 0] - 1, 1 - 2 * at[..., 1]], -1)
    colour = torch.nn.functional.grid_sample(
        texels.expand(len(cameras), -1, -1, -1), grid, align_corners=False
    )
    mask = points.mask[:, None].float()
    image = mask * colour + 1 - mask
    coverage = render_mask(mesh, cameras, SIZE)[:, 0]
    welded = trimesh.Trimesh(loaded.vertices, loaded.faces, process=True)
    faces = torch.from_numpy(np.asarray(welded.faces, np.int64))
    parts = component_report(Mesh(torch.from_numpy(np.asarray(welded.vertices, np.float32)), faces))
    return image, coverage > 0.5, len(loaded.faces), len(parts)


def _orbit() -> Cameras:
    return orbit(VIEWS, elevation_deg=ELEVATION_DEG)


def views_of_real(category: str, colour: str) -> list[tuple[Tensor, Tensor]]:
    """(views on white, silhouettes) of held-out objects."""
    out = []
    for i in range(REAL_OBJECTS):
        generator = torch.Generator().manual_seed(HELD_OUT_SEED * 7 + 1000 * i)
        seen = render(build(category, colour, generator), _orbit(), SIZE)
        out.append((on_white(seen.rgba), torch.from_numpy(seen.rgba[..., 3] > 127)))
    return out


def quarter_turn(image: Tensor, mask: Tensor) -> tuple[float, float]:
    """(1 − IoU, 100 · mean |Δcolour|) between views a quarter turn apart."""
    turned, other = image.roll(VIEWS // 4, 0), mask.roll(VIEWS // 4, 0)
    iou = (mask & other).sum((1, 2)) / (mask | other).sum((1, 2)).clamp_min(1)
    return 1 - iou.float().mean().item(), 100 * (image - turned).abs().mean().item()


def best_iou(mask: Tensor, real: list[tuple[Tensor, Tensor]]) -> float:
    """Highest mean IoU over real objects and turns about z."""
    best = 0.0
    for _, other in real:
        for turn in range(VIEWS):
            rolled = other.roll(turn, 0)
            both = (mask & rolled).sum((1, 2)) / (mask | rolled).sum((1, 2)).clamp_min(1)
            best = max(best, both.float().mean().item())
    return best


def judge_run(folder: Path, target: Target, seed: int, judge: ConvNet) -> tuple[Score, Tensor]:
    """Score one finished run; also eight of its views in a row, for the contact sheet."""
    image, mask, faces, parts = views_of_glb(folder / "mesh.glb")
    with torch.inference_mode():
        logits = judge(image)
    k = len(CATEGORIES)
    category = logits[:, :k].argmax(1) == CATEGORIES.index(target.category)
    colour = logits[:, k:].argmax(1) == COLOUR_NAMES.index(target.colour)
    real = views_of_real(target.category, target.colour)
    change, difference = quarter_turn(image, mask)
    changes = [quarter_turn(*one) for one in real]
    score = Score(
        prompt=target.prompt,
        seed=seed,
        r_precision=(category & colour).float().mean().item(),
        category_precision=category.float().mean().item(),
        silhouette_change=change,
        silhouette_change_real=float(np.mean([c for c, _ in changes])),
        colour_change=difference,
        colour_change_real=float(np.mean([d for _, d in changes])),
        iou_nearest=best_iou(mask, real),
        faces=faces,
        components=parts,
    )
    return score, torch.cat(list(image[:: VIEWS // 8]), -1)


def generate_all(targets: list[Target], out: Path, preset: str, seed: int) -> None:
    """Make every object that is not there yet."""
    from xbind.pipeline import generate
    from xbind.progress import PlainReporter

    for target in targets:
        folder = out / target.prompt.replace(" ", "_")
        if (folder / "mesh.glb").exists():
            continue
        config = GenerateConfig(
            prompt=PromptConfig(text=target.prompt), out=folder, preset=preset, seed=seed,
            resume=(folder / "config.json").exists(),
        )  # fmt: skip
        with PlainReporter(sys.stderr) as reporter:
            generate(config, reporter)


def means(scores: list[Score]) -> Mapping[str, float]:
    """Mean of every figure over the objects."""
    names = [name for name, value in asdict(scores[0]).items() if isinstance(value, float)]
    return {n: float(np.mean([getattr(s, n) for s in scores])) for n in names}


def main() -> None:
    """Generate, judge, and write `scores.jsonl`, `means.json` and `sheet.png`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--prompts", type=Path, default=PROMPTS)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    targets = read_targets(given.prompts)
    generate_all(targets, given.out, given.preset, given.seed)
    judge = load_convnet(load_manifest("mini").part("judge"))
    scores, rows = [], []
    for target in targets:
        folder = given.out / target.prompt.replace(" ", "_")
        score, row = judge_run(folder, target, given.seed, judge)
        scores.append(score)
        rows.append(row)
    lines = "".join(json.dumps(asdict(score)) + "\n" for score in scores)
    (given.out / "scores.jsonl").write_text(lines)
    (given.out / "means.json").write_text(json.dumps(means(scores), indent=2) + "\n")
    sheet = (torch.cat(rows, 1).permute(1, 2, 0) * 255).round().to(torch.uint8)
    Image.fromarray(sheet.numpy()).save(given.out / "sheet.png")
    sys.stdout.write((given.out / "means.json").read_text())


if __name__ == "__main__":
    main()
