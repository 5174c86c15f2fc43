"""Generate from a list of prompts and judge what came out: `python -m xbind.mini.evaluate`.

Killed and started again, it goes on where it was. Several processes can share the work with
`--part 1/2` and `--part 2/2`; the one that is started without `--part` judges.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np
import soundfile
import torch
from PIL import Image
from torch import Tensor

from xbind.cameras import Cameras
from xbind.config import GenerateConfig, PromptConfig
from xbind.errors import XBindError
from xbind.frozen import load_convnet
from xbind.mini.judging import Figures, figures_of, judged_views, read_glb
from xbind.mini.sheet import save_sheet
from xbind.mini.world.categories import CATEGORIES, COLOUR_NAMES, build
from xbind.mini.world.dataset import HELD_OUT_SEED
from xbind.mini.world.draw import draw_from_seed
from xbind.mini.world.render import render
from xbind.mini.world.sounds import SAMPLE_RATE, synthesise
from xbind.models.bundle import load_manifest
from xbind.pipeline import generate
from xbind.progress import PlainReporter

PROMPTS = Path(__file__).with_name("prompts_24.txt")
"""The fixed list for words; `prompts_other.txt` beside it is that of pictures, sounds and mixes."""
PICTURE_PX = 256
"""Side of the pictures that are given as prompts."""
_PROMPT_STREAM = 78
"""Keeps the objects of picture and sound prompts apart from all others."""

Kind = Literal["text", "image", "audio", "mix"]


@dataclass(frozen=True, slots=True)
class Target:
    """A prompt and what it should make."""

    kind: Kind
    """What is given: words, a picture, a sound, or words and a sound."""
    words: str
    """Of `text` and `mix`; empty otherwise."""
    category: str
    colour: str | None
    """None where the prompt names no colour."""

    @property
    def name(self) -> str:
        """Of its folder."""
        what = self.words if self.kind == "text" else f"{self.kind} {self.colour} {self.category}"
        return what.replace(" ", "_")


def read_targets(path: Path) -> list[Target]:
    """Lines of `kind | words | category | colour`; words or colour may be empty.

    Raises:
        XBindError: a line that is not of that form.
    """
    targets = []
    for line in path.read_text().splitlines():
        parts = [part.strip() for part in line.split("|")]
        well_formed = (
            len(parts) == 4
            and parts[0] in get_args(Kind)
            and bool(parts[1]) == (parts[0] in ("text", "mix"))
            and parts[2] in CATEGORIES
            and parts[3] in (*COLOUR_NAMES, "")
        )
        if not well_formed:
            raise XBindError(
                f"{path}: cannot read {line!r}; wanted 'kind | words | category | colour', such "
                f"as 'text | a red mug | mug | red' or 'audio | | bell |'."
            )
        targets.append(Target(cast(Kind, parts[0]), parts[1], parts[2], parts[3] or None))
    return targets


def prompt_of(target: Target, inputs: Path) -> PromptConfig:
    """The prompt, with its picture or sound of a held-out object written to `inputs`."""
    words = target.words or None
    match target.kind:
        case "text":
            return PromptConfig(text=words)
        case "image":
            return PromptConfig(image=_picture(target, inputs / f"{target.name}.png"))
        case "audio" | "mix":
            return PromptConfig(text=words, audio=_sound(target, inputs / f"{target.name}.wav"))


def _picture(target: Target, path: Path) -> Path:
    """A view from the front right, a little from above, with alpha."""
    draw = draw_from_seed(HELD_OUT_SEED, _PROMPT_STREAM, CATEGORIES.index(target.category))
    mesh = build(target.category, target.colour or COLOUR_NAMES[0], draw.generator)
    camera = Cameras(*torch.tensor([[20.0], [40.0], [2.5], [40.0]]))
    premultiplied = render(mesh, camera, PICTURE_PX).rgba[0].astype(np.float32)
    alpha = premultiplied[..., 3:] / 255
    straight = premultiplied[..., :3] / np.maximum(alpha, 1e-3)
    rgba = np.concatenate([straight.clip(0, 255), 255 * alpha], -1).round().astype(np.uint8)
    Image.fromarray(rgba).save(path)
    return path


def _sound(target: Target, path: Path) -> Path:
    draw = draw_from_seed(HELD_OUT_SEED, _PROMPT_STREAM, CATEGORIES.index(target.category))
    soundfile.write(path, synthesise(target.category, draw.generator), SAMPLE_RATE)
    return path


def generate_all(targets: list[Target], out: Path, preset: str, seed: int) -> None:
    """Make every object that is not there yet."""
    inputs = out / "inputs"
    inputs.mkdir(parents=True, exist_ok=True)
    for target in targets:
        folder = out / target.name
        if (folder / "report.html").exists():
            continue
        resume = (folder / "config.json").exists()
        config = GenerateConfig(
            prompt=prompt_of(target, inputs), out=folder, preset=preset, seed=seed, resume=resume
        )
        with PlainReporter(sys.stderr) as reporter:
            generate(config, reporter)


def judge_all(targets: list[Target], out: Path) -> str:
    """Write `scores.jsonl`, `means.json` and `sheet.png`; returns the means as JSON."""
    judge = load_convnet(load_manifest("mini").part("judge"))
    scores: list[Figures] = []
    rows: list[Tensor] = []
    lines = []
    for target in targets:
        mesh = read_glb(out / target.name / "mesh.glb")
        scores.append(figures_of(mesh, target.category, target.colour, judge))
        lines.append(json.dumps(asdict(target) | asdict(scores[-1])) + "\n")
        rows.append(judged_views(mesh).image[::3])
    means = json.dumps({"objects": len(scores)} | dict(means_of(scores)), indent=2) + "\n"
    (out / "scores.jsonl").write_text("".join(lines))
    (out / "means.json").write_text(means)
    save_sheet(out / "sheet.png", torch.stack(rows))
    return means


def means_of(scores: list[Figures]) -> Mapping[str, float]:
    """Mean of every figure over the objects."""
    table = [asdict(score) for score in scores]
    return {name: float(np.mean([row[name] for row in table])) for name in table[0]}


def _part(text: str) -> tuple[int, int]:
    """`2/3` as (2, 3)."""
    k, _, n = text.partition("/")
    if not (k.isdigit() and n.isdigit() and 1 <= int(k) <= int(n)):
        raise argparse.ArgumentTypeError(f"wanted K/N with 1 <= K <= N, such as 1/2; got {text!r}")
    return int(k), int(n)


def main(arguments: list[str] | None = None) -> None:
    """Read the options, generate, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of runs and figures")
    parser.add_argument("--prompts", type=Path, default=PROMPTS, help="the list of prompts")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", type=_part, help="K/N: only generate every N-th, from the K-th")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        targets = read_targets(given.prompts)
        if given.part is None:
            generate_all(targets, given.out, given.preset, given.seed)
            sys.stdout.write(judge_all(targets, given.out))
        else:
            k, n = given.part
            generate_all(targets[k - 1 :: n], given.out, given.preset, given.seed)
    except XBindError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
