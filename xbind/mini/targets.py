"""Lists of prompts whose right answer is known, and their pictures and sounds."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import soundfile
import torch
from PIL import Image

from xbind.config.options import MODALITIES, PromptConfig
from xbind.errors import XBindError
from xbind.mini.world.categories import CATEGORIES, COLOUR_NAMES, build
from xbind.mini.world.dataset import HELD_OUT_SEED
from xbind.mini.world.draw import draw_from_seed
from xbind.mini.world.render import render
from xbind.mini.world.sounds import SAMPLE_RATE, synthesise
from xbind.scene.cameras import Cameras

LISTS = Path(__file__).parent
"""Folder of the shipped lists, `prompts_<name>.txt`."""
PICTURE_PX = 256
"""Side of the pictures that are given as prompts."""
PICTURE_POSE = (20.0, 40.0)
"""Their elevation and azimuth, in degrees."""
_PROMPT_STREAM = 78
"""Keeps the objects of picture and sound prompts apart from all others."""

Kind = Literal["text", "image", "audio", "mix"]


@dataclass(frozen=True, slots=True)
class Target:
    """A prompt and what it should make."""

    kind: Kind
    """Kind of the prompt: text, image, audio, or text and audio."""
    words: str
    """Words of `text` and `mix`; empty otherwise."""
    category: str
    colour: str | None
    """None where the prompt names no colour."""
    variant: int = 0
    """Index of the world's object (or sound) that is shown (or heard)."""

    @property
    def name(self) -> str:
        """Name of its folder."""
        known = [self.words] if self.kind == "text" else [self.kind, self.colour, self.category]
        variant = str(self.variant) if self.variant else None
        return "_".join(word for word in (*known, variant) if word).replace(" ", "_")

    def plain(self) -> dict[str, Any]:
        """Returns the target as JSON data."""
        return asdict(self)


def list_named(name: str) -> Path:
    """The file of a list: a shipped one by its name, or any file by its path.

    Raises:
        XBindError: there is neither.
    """
    shipped = LISTS / f"prompts_{name}.txt"
    if shipped.is_file():
        return shipped
    if Path(name).is_file():
        return Path(name)
    known = sorted(p.stem.removeprefix("prompts_") for p in LISTS.glob("prompts_*.txt"))
    raise XBindError(
        f"There is no list of prompts {name!r}: neither a file nor one of the shipped ones "
        f"({', '.join(known)}).\nGive one of them to --prompts."
    )


def read_targets(path: Path) -> list[Target]:
    """Lines of `kind | words | category | colour [| variant]`; words or colour may be empty.

    Empty lines, and those that start with #, are passed over.

    Raises:
        XBindError: a line that is not of that form, or twice there, or no line at all.
    """
    targets: list[Target] = []
    try:
        text = path.read_text()
    except (OSError, ValueError) as error:
        raise XBindError(f"{path} cannot be read ({error}).\nGive a list of prompts.") from error
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        target = _target_of([part.strip() for part in line.split("|")])
        if target is None:
            raise XBindError(
                f"{path}: cannot read {line!r}; wanted 'kind | words | category | colour', such "
                f"as 'text | a red mug | mug | red' or 'audio | | bell |'."
            )
        if target.name in {other.name for other in targets}:
            raise XBindError(f"{path}: {line!r} is there twice.\nLeave one of them out.")
        targets.append(target)
    if not targets:
        raise XBindError(
            f"{path} holds no prompt.\nWrite one on each line, such as 'text | a red mug | mug | "
            f"red'."
        )
    return targets


def _target_of(parts: list[str]) -> Target | None:
    variant = parts.pop() if len(parts) == 5 else "0"
    if not (
        len(parts) == 4
        and variant.isdecimal()
        and parts[0] in get_args(Kind)
        and bool(parts[1]) == (parts[0] in ("text", "mix"))
        and parts[2] in CATEGORIES
        and parts[3] in (*COLOUR_NAMES, "")
    ):
        return None
    return Target(cast(Kind, parts[0]), parts[1], parts[2], parts[3] or None, int(variant))


def target_of_prompt(prompt: Mapping[str, Any], read: str | None = None) -> Target | None:
    """Returns the target of a text that names one category and at most one colour, else None.

    Args:
        prompt: as `config.json` holds it.
        read: the words that the encoder saw; by default the prompt's own.
    """
    if any(prompt.get(modality) for modality in MODALITIES if modality != "text"):
        return None
    words = str(prompt["text"] if read is None else read).lower().split()
    category = [name for name in CATEGORIES if name in words]
    colour = [name for name in COLOUR_NAMES if name in words]
    if len(category) != 1 or len(colour) > 1:
        return None
    return Target("text", prompt["text"], category[0], colour[0] if colour else None)


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


def _seeded(target: Target) -> torch.Generator:
    index, seed = CATEGORIES.index(target.category), HELD_OUT_SEED + target.variant
    return draw_from_seed(seed, _PROMPT_STREAM, index).generator


def _picture(target: Target, path: Path) -> Path:
    """A view from the front right, a little from above, with alpha."""
    mesh = build(target.category, target.colour or COLOUR_NAMES[0], _seeded(target))
    elevation, azimuth = PICTURE_POSE
    camera = Cameras(*torch.tensor([[elevation], [azimuth], [2.5], [40.0]]))
    premultiplied = render(mesh, camera, PICTURE_PX).rgba[0].astype(np.float32)
    alpha = premultiplied[..., 3:] / 255
    straight = premultiplied[..., :3] / np.maximum(alpha, 1e-3)
    rgba = np.concatenate([straight.clip(0, 255), 255 * alpha], -1).round().astype(np.uint8)
    Image.fromarray(rgba).save(path)
    return path


def _sound(target: Target, path: Path) -> Path:
    soundfile.write(path, synthesise(target.category, _seeded(target)), SAMPLE_RATE)
    return path
