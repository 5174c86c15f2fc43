"""The two judges: networks of different architecture, seed and data order, used for nothing else.

Each names the category and the colour of a picture, or a near miss: an object of the kinds of
`xbind.mini.world.near_misses`, or a correct one whose picture has a fault of `image_faults`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from xbind.mini.train.augment import augment
from xbind.mini.train.data import Draw, Split, World, alphas, draw, images
from xbind.mini.train.lengths import LoopConfig
from xbind.mini.train.loop import train
from xbind.mini.world.categories import CATEGORIES, COLOUR_NAMES
from xbind.mini.world.dataset import kind_of_near_miss
from xbind.mini.world.image_faults import IMAGE_FAULTS, ImageFault
from xbind.models.convnet import ConvNet
from xbind.models.patch_convnet import PatchConvNet

JudgeName = Literal["judge", "judge_2"]

WIDTHS = (24, 48, 96, 128)
"""Channels of the first judge."""
WIDTHS_2 = (64, 128)
"""Channels of the second judge."""
DILATIONS_2 = ((1, 2, 4), (1, 2))
"""Dilations of the second judge's blocks."""
OUTPUTS = len(CATEGORIES) + 1 + len(COLOUR_NAMES)
"""Logits of the categories, of "a near miss", and of the colours."""

NEAR_MISS_SHARE = 0.3
"""Share of rendered near misses in a batch."""
FAULT_SHARES: Mapping[ImageFault, float] = {"blurred": 0.05, "blotched": 0.12, "smeared": 0.14}
"""Shares of a batch: correct objects with each fault of the picture."""
VALIDATED = 408
"""Views of correct objects in a validation."""


def build_judge() -> ConvNet:
    """The first judge, untrained."""
    return ConvNet(WIDTHS, OUTPUTS)


def build_judge_2() -> PatchConvNet:
    """The second judge, untrained."""
    return PatchConvNet(WIDTHS_2, DILATIONS_2, OUTPUTS)


BUILD = {"judge": build_judge, "judge_2": build_judge_2}
"""Name of a judge's checkpoint and of its folder in the bundle → the untrained network."""


def train_judge(
    world: World, near_misses: World, work: Path, config: LoopConfig, name: JudgeName
) -> None:
    """Trains a judge; the checkpoint is `work/<name>.pt`.

    A near miss, and a correct object whose picture has a fault, has the category `len(CATEGORIES)`.
    """
    torch.manual_seed(config.seed)  # initial weights
    judge, k = BUILD[name](), len(CATEGORIES) + 1
    wrong_count = round(NEAR_MISS_SHARE * config.batch)

    def losses(_step: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        right = draw(world.train, config.batch - wrong_count, generator, normal_share=0.0)
        wrong = draw(near_misses.train, wrong_count, generator, normal_share=0.0)
        seen, faulty = with_faults(world.train, right, config.batch, generator)
        x = torch.cat([seen, images(near_misses.train, wrong)])
        x = augment(x, generator, strongest=0.7)
        labels = torch.cat([_labels(world.train, right), _labels(near_misses.train, wrong)])
        labels[:faulty, 0] = labels[-wrong_count:, 0] = len(CATEGORIES)
        with config.autocast():
            logits = judge(x)
        logits = logits.float()
        category = nn.functional.cross_entropy(logits[:, :k], labels[:, 0])
        colour = nn.functional.cross_entropy(logits[:, k:], labels[:, 1])
        return {"loss": category + colour, "category": category, "colour": colour}

    def validate(model: nn.Module) -> Mapping[str, float]:
        return acceptance(model, world.held_out, near_misses.held_out)

    train(name, judge, losses, config, work, validate=validate)


def with_faults(
    split: Split, drawn: Draw, batch: int, generator: torch.Generator
) -> tuple[Tensor, int]:
    """Pictures of the drawn views, the first ones with faults.

    Args:
        split: correct objects.
        drawn: their views.
        batch: what `FAULT_SHARES` are shares of.
        generator: source of the faults.

    Returns:
        The pictures [b, 3, h, w], and how many have a fault.
    """
    x, alpha, start = images(split, drawn), alphas(split, drawn), 0
    for kind, share in FAULT_SHARES.items():
        some = slice(start, start + round(share * batch))
        x[some] = IMAGE_FAULTS[kind](x[some], alpha[some], generator)
        start = some.stop
    return x, start


@torch.no_grad()
def acceptance(
    judge: nn.Module, right: Split, wrong: Split, views: int = VALIDATED
) -> dict[str, float]:
    """Accuracy of a judge on held-out objects, and the share of near misses that it accepts.

    Args:
        judge: the network.
        right: correct objects.
        wrong: near misses, in the order of `kind_of_near_miss`.
        views: of correct objects, for each fault of a picture too; twice as many of near misses.

    Returns:
        Shares of the views: of correct objects with the right category, colour, both, and both and
        not taken for a near miss; and for each kind of near miss, of those not recognised as one.
    """
    generator, k = torch.Generator().manual_seed(8), len(CATEGORIES)
    drawn = draw(right, views, generator, normal_share=0.0)
    x, alpha, labels = images(right, drawn), alphas(right, drawn), _labels(right, drawn)
    logits = judge(x)
    category = logits[:, :k].argmax(1) == labels[:, 0]
    unspoilt = logits[:, : k + 1].argmax(1) == labels[:, 0]
    colour = logits[:, k + 1 :].argmax(1) == labels[:, 1]
    figures = {
        "category_accuracy": category.float().mean().item(),
        "colour_accuracy": colour.float().mean().item(),
        "both": (category & colour).float().mean().item(),
        "both_and_no_near_miss": (unspoilt & colour).float().mean().item(),
    }

    def accepted(pictures: Tensor) -> Tensor:
        return (judge(pictures)[:, : k + 1].argmax(1) < k).float()

    for fault, make in IMAGE_FAULTS.items():
        figures[f"{fault}_accepted"] = accepted(make(x, alpha, generator)).mean().item()
    drawn = draw(wrong, 2 * views, generator, normal_share=0.0)
    taken = accepted(images(wrong, drawn))
    kinds = [kind_of_near_miss(index) for index in drawn.objects.tolist()]
    for kind in sorted(set(kinds)):
        of_kind = torch.tensor([other == kind for other in kinds])
        figures[f"{kind}_accepted"] = taken[of_kind].mean().item()
    return figures


def _labels(split: Split, drawn: Draw) -> Tensor:
    return torch.from_numpy(split.labels[drawn.objects.numpy()])
