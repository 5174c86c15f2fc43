"""Compare the 2D priors of two bundles: `python -m xbind.mini.gate --bundle NEW --against OLD`.

Each prior draws samples of the tuning list's prompts at its own resolution, and these are compared
with views of held-out objects of its own world at that resolution:

- kernel distance (KID, unbiased: views of one object are not compared with each other) between
  features of the first judge of OLD, of whole pictures, averaged down to what the judge sees:
  64 px. It sees shape, colour and arrangement.
- the same of crops of half the side, which show each prior's pixels at the judge's scale: a picture
  of 128 px is cut into its own pixels. They have the same field of view at every resolution, so
  that two priors are asked for the same parts of an object. It sees detail.
- sharpness as a share of that of the real views (`xbind.mini.sample_quality.sharpness`).
- the share of samples whose category and colour are what was asked for.

The exit status is 0 if NEW is better in both kernel distances and in sharpness, by more than one
standard error of the differences over prompts; else it is 1, and one sentence says why.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from xbind.algorithm.reference_view import condition_unclip, sample_unclip
from xbind.config.method import ReferenceConfig
from xbind.diffusion.latents import decode, encode, resize
from xbind.errors import XBindError, printable
from xbind.evaluation.figures import kernel_distance_of_groups
from xbind.mini.judging import MiniJudge, recognise
from xbind.mini.sample_quality import sharpness
from xbind.mini.sheet import save_sheet
from xbind.mini.targets import Target, list_named, read_targets
from xbind.mini.train.data import on_white, reduced
from xbind.mini.train.options import positive
from xbind.mini.world.categories import CATEGORIES, COLOUR_NAMES, DETAILS, build
from xbind.mini.world.dataset import HELD_OUT_SEED, draw_cameras
from xbind.mini.world.draw import draw_from_seed
from xbind.mini.world.render import render
from xbind.models.convnet import ConvNet
from xbind.networks.frozen import Bundle
from xbind.networks.load import load_bundle, load_convnet
from xbind.networks.manifest import BundleError, BundleManifest, load_manifest

SAMPLES = 12
"""Samples of each prompt."""
STEPS = 20
"""DDIM steps."""
REAL_OBJECTS, REAL_VIEWS = 12, 8
"""Held-out objects of a prompt's category and colour, and views of each from all sides."""
APART = 4
"""Objects of these that are measured as samples are, beside the other ones."""
JUDGED_PX = 64
"""Side of what the judge sees, in pixels."""
_STREAM = 80
"""Keeps these objects apart from all others."""

Rows = dict[str, list[float]]
"""Name of a figure → its value for each prompt."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """The figures of one prior, and two samples of each prompt."""

    rows: Rows
    sheet: Float[Tensor, "p 2 3 s s"]
    training_samples: int | None
    """Samples that the prior was trained on; None if its bundle does not count them."""

    def plain(self) -> dict[str, float | None]:
        """Means over prompts, and the training samples."""
        means = {name: sum(row) / len(row) for name, row in self.rows.items()}
        return means | {"training_samples": self.training_samples}


COMPARED = {"kernel_distance": -1.0, "kernel_distance_crops": -1.0, "sharpness": 1.0}
"""Figures that decide → 1 if larger is better, −1 if smaller is."""


def detail_of(manifest: BundleManifest) -> int:
    """Level of detail of the world that the 2D prior of a bundle was trained on.

    Raises:
        BundleError: the bundle names one that the world does not have.
    """
    table = manifest.raw.get("world_detail", {})
    detail = table.get("unclip", 1) if isinstance(table, dict) else table
    if detail not in DETAILS:
        raise BundleError(
            f"world_detail of the bundle {manifest.name!r} is {detail!r}; wanted one of "
            f"{', '.join(map(str, DETAILS))}.\nAssemble its 2D prior again."
        )
    return int(detail)


def crops(x: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b 5 3 h h"]:
    """The four quarters and the middle of each picture, at the judge's size."""
    half = x.shape[-1] // 2
    corners = ((0, 0), (0, half), (half, 0), (half, half), (half // 2, half // 2))
    cut = [x[..., top : top + half, left : left + half] for top, left in corners]
    return torch.stack([resize(part, JUDGED_PX) for part in cut], 1)


def real_views(target: Target, size: int, detail: int) -> Float[Tensor, "o v 3 s s"]:
    """Views of held-out objects of a prompt, from the cameras that samples look like."""
    rows = []
    for k in range(REAL_OBJECTS):
        category, colour = CATEGORIES.index(target.category), target.colour or COLOUR_NAMES[0]
        draw = draw_from_seed(HELD_OUT_SEED, _STREAM, category, k)
        mesh = build(target.category, colour, draw.generator, detail=detail)
        cameras = draw_cameras(draw, REAL_VIEWS, close_fraction=0.0)
        rows.append(on_white(render(mesh, cameras, size).rgba))
    return torch.stack(rows)


def measure(
    bundle: Bundle, judge: ConvNet, targets: Sequence[Target], *, samples: int, steps: int = STEPS
) -> Measured:
    """The figures of a bundle's 2D prior for each prompt.

    Beside those of its samples there are the same figures of views of other real objects (`real_…`)
    and of their copies by the VAE (`vae_…`): the best that can be expected.

    Args:
        bundle: whose 2D prior draws.
        judge: of the features; the same one for all bundles that are compared.
        targets: prompts of text.
        samples: of each prompt.
        steps: of DDIM.
    """
    size, detail = bundle.unclip.image_size, detail_of(bundle.manifest)
    rows: Rows = {}
    shown = []
    for k, target in enumerate(targets):
        drawn = draw_samples(bundle, target.words, samples, steps, seed=k)
        views = real_views(target, size, detail)
        real, others = views[APART:], views[:APART]
        with torch.inference_mode():
            z = encode(bundle.unclip.vae, others.flatten(0, 1))
            copies = decode(bundle.unclip.vae, z).clamp(0, 1).view_as(others)
        wanted = Wanted(
            target, judge, *_features(real, judge), sharpness(real.flatten(0, 1)).mean()
        )
        for prefix, pictures in (("", drawn[:, None]), ("real_", others), ("vae_", copies)):
            for name, value in _figures(pictures, wanted).items():
                rows.setdefault(prefix + name, []).append(value)
        shown.append(drawn[:2])
    counts = bundle.manifest.raw.get("training_samples", {})
    return Measured(rows, torch.stack(shown), counts.get("unclip"))


def draw_samples(
    bundle: Bundle, words: str, count: int, steps: int, *, seed: int
) -> Float[Tensor, "n 3 s s"]:
    """Samples of the 2D prior in [0, 1], under no view word, with the default guidance."""
    encoder, generator = bundle.bind, torch.Generator().manual_seed(seed)
    ids = torch.tensor([encoder.tokenizer.encode(words).ids])
    with torch.inference_mode():
        embedding = encoder.norms["text"] * encoder.model.embed("text", ids)
    labels = condition_unclip(embedding.expand(count, -1), bundle.unclip, generator)
    return sample_unclip(
        bundle.unclip, labels, count=count, steps=steps,
        cfg_scale=ReferenceConfig().cfg_scale, generator=generator,
    ).clamp(0, 1)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """What samples of a prompt are compared with."""

    target: Target
    judge: ConvNet
    whole: Float[Tensor, "o v f"]
    """Features of real views."""
    crops: Float[Tensor, "o n f"]
    """Features of their crops."""
    sharpness: Float[Tensor, ""]
    """Mean of real views."""


def _figures(pictures: Float[Tensor, "g m 3 s s"], wanted: Wanted) -> dict[str, float]:
    """The figures of groups of pictures, each of one object."""
    flat, target = pictures.flatten(0, 1), wanted.target
    category, colour = recognise(wanted.judge, reduced(flat, JUDGED_PX))
    right = (category == CATEGORIES.index(target.category)) & (
        colour == COLOUR_NAMES.index(target.colour or COLOUR_NAMES[0])
    )
    whole, parts = _features(pictures, wanted.judge)
    return {
        "kernel_distance": kernel_distance_of_groups(whole, wanted.whole),
        "kernel_distance_crops": kernel_distance_of_groups(parts, wanted.crops),
        "sharpness": float(sharpness(flat).mean() / wanted.sharpness),
        "right": float(right.float().mean()),
    }


def _features(
    pictures: Float[Tensor, "g m 3 s s"], judge: ConvNet
) -> tuple[Float[Tensor, "g m f"], Float[Tensor, "g n f"]]:
    """Features of whole pictures, and of all crops of each group."""
    look, flat = MiniJudge(judge).look, pictures.flatten(0, 1)
    whole = look(reduced(flat, JUDGED_PX)).features
    cut = look(crops(flat).flatten(0, 1)).features
    groups = len(pictures)
    return whole.view(groups, -1, whole.shape[-1]), cut.view(groups, -1, cut.shape[-1])


def differences(new: Rows, old: Rows) -> dict[str, tuple[float, float]]:
    """Mean of new − old over prompts, and its standard error, of each figure that decides."""
    found = {}
    for name in COMPARED:
        change = torch.tensor(new[name], dtype=torch.float64) - torch.tensor(old[name])
        error = change.std() / len(change) ** 0.5 if len(change) > 1 else torch.tensor(0.0)
        found[name] = float(change.mean()), float(error)
    return found


def objection(changes: Mapping[str, tuple[float, float]]) -> str | None:
    """What keeps the new prior from passing, as a sentence; None if nothing does."""
    worse = [
        f"{name} by {change:+.4f} ± {error:.4f}"
        for name, (change, error) in changes.items()
        if COMPARED[name] * change <= error
    ]
    if not worse:
        return None
    return f"The new prior is not better in {', '.join(worse)} (new − old, standard error)."


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both priors, print the figures, and exit with 0 if the new one is better."""
    parser = argparse.ArgumentParser(
        prog="python -m xbind.mini.gate", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--bundle", required=True, help="the new one: a name or a folder")
    parser.add_argument("--against", default="mini", help="the old one; default: mini")
    parser.add_argument("--samples", type=positive, default=SAMPLES, help="of each prompt")
    parser.add_argument("--prompts", default="tuning", help="list of prompts; default: tuning")
    parser.add_argument("--out", type=Path, help="folder for gate.json and sheets of samples")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        found = _measured(given)
    except XBindError as error:
        sys.exit(f"xbind.mini.gate: {error}")
    changes = differences(found["new"].rows, found["old"].rows)
    figures = {name: measured.plain() for name, measured in found.items()}
    table = json.dumps(figures | {"differences": changes}, indent=2) + "\n"
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "gate.json").write_text(table)
        for name, measured in found.items():
            save_sheet(given.out / f"{name}.png", measured.sheet, columns=4)
    sys.stdout.write(printable(table))
    if (reason := objection(changes)) is not None:
        sys.exit(reason)


def _measured(given: argparse.Namespace) -> dict[str, Measured]:
    """The figures of both, with the judge of the old one.

    Raises:
        XBindError: there is no such bundle or list, or the list has other prompts than texts that
            name a colour.
    """
    if given.samples < 2:
        raise XBindError("A kernel distance needs two samples of each prompt.\nGive --samples 2.")
    targets = read_targets(list_named(given.prompts))
    for target in targets:
        if target.kind != "text" or target.colour is None:
            raise XBindError(
                f"The prompt {target.name!r} is no text that names a colour.\n"
                "Give a list of such texts to --prompts, as `tuning` is."
            )
    manifests = {"new": load_manifest(given.bundle), "old": load_manifest(given.against)}
    judge = load_convnet(manifests["old"].part("judge"))
    return {
        name: measure(load_bundle(manifest), judge, targets, samples=given.samples)
        for name, manifest in manifests.items()
    }


if __name__ == "__main__":
    main()
