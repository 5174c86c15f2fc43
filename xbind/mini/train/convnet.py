"""The two small convolutional networks: the judge, and the estimator of the reference's pose."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from xbind.mini.train.augment import augment, reframe
from xbind.mini.train.data import Draw, Split, World, draw, images
from xbind.mini.train.latents import encode_views
from xbind.mini.train.lengths import CPU, LoopConfig
from xbind.mini.train.loop import averaged, train
from xbind.mini.world.categories import CATEGORIES, COLOUR_NAMES
from xbind.models.convnet import LOG_ZOOM, ConvNet

JUDGE_WIDTHS = (24, 48, 96, 128)
"""Channels of the judge."""
VIEW_WIDTHS = (24, 48, 80, 112)
"""Channels of the pose estimator."""


NEAR_MISS_SHARE = 0.3
"""Share of near misses in the judge's batches."""
BLURRED_SHARE = 0.1
"""Likewise, of correct objects that are blurred beyond recognition of their parts."""
BLUR_PX = (1.5, 3.5)
"""Standard deviation of that blur, in pixels."""


def build_judge() -> ConvNet:
    """Logits of the categories, of "a near miss", and of the colours of an image."""
    return ConvNet(JUDGE_WIDTHS, len(CATEGORIES) + 1 + len(COLOUR_NAMES))


def build_view() -> ConvNet:
    """(elevation / 45°, cos azimuth, sin azimuth, `LOG_ZOOM` · log₂ zoom) of an image."""
    return ConvNet(VIEW_WIDTHS, 4, pooled=False)


def blur(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of images [b, 3, h, w] with `sigma` pixels; the border is repeated."""
    radius = math.ceil(3 * sigma)
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma).square())
    taps = (taps / taps.sum()).expand(3, 1, 1, -1)
    for kernel, pad in ((taps, (radius, radius, 0, 0)), (taps.mT, (0, 0, radius, radius))):
        x = nn.functional.conv2d(nn.functional.pad(x, pad, "replicate"), kernel, groups=3)
    return x


def train_judge(world: World, near_misses: World, work: Path, config: LoopConfig) -> None:
    """The judge, to `work/judge.pt`; never used in training or guidance of anything else.

    A near miss, and a correct object that is blurred, has the category `len(CATEGORIES)`.
    """
    torch.manual_seed(config.seed)  # initial weights
    judge, k = build_judge(), len(CATEGORIES) + 1
    wrong_count = round(NEAR_MISS_SHARE * config.batch)
    blurred_count = round(BLURRED_SHARE * config.batch)

    def losses(_step: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        right = draw(world.train, config.batch - wrong_count, generator, normal_share=0.0)
        wrong = draw(near_misses.train, wrong_count, generator, normal_share=0.0)
        x = torch.cat([images(world.train, right), images(near_misses.train, wrong)])
        low, high = BLUR_PX
        sigma = low + (high - low) * float(torch.rand((), generator=generator))
        x[:blurred_count] = blur(x[:blurred_count], sigma)
        x = augment(x, generator, strongest=0.7)
        labels = torch.cat([_labels(world.train, right), _labels(near_misses.train, wrong)])
        labels[:blurred_count, 0] = labels[-wrong_count:, 0] = len(CATEGORIES)
        logits = judge(x)
        category = nn.functional.cross_entropy(logits[:, :k], labels[:, 0])
        colour = nn.functional.cross_entropy(logits[:, k:], labels[:, 1])
        return {"loss": category + colour, "category": category, "colour": colour}

    def validate(model: nn.Module) -> Mapping[str, float]:
        generator = torch.Generator().manual_seed(8)
        drawn = draw(world.held_out, 1020, generator, normal_share=0.0)
        wrong = draw(near_misses.held_out, 510, generator, normal_share=0.0)
        labels, x = _labels(world.held_out, drawn), images(world.held_out, drawn)
        logits = model(x)
        category = logits[:, : k - 1].argmax(1) == labels[:, 0]
        accepted = logits[:, :k].argmax(1) == labels[:, 0]
        colour = logits[:, k:].argmax(1) == labels[:, 1]
        taken = model(images(near_misses.held_out, wrong))[:, :k].argmax(1) < k - 1
        blurred = model(blur(x[:255], sum(BLUR_PX) / 2))[:, :k].argmax(1) < k - 1
        return {
            "category_accuracy": category.float().mean().item(),
            "colour_accuracy": colour.float().mean().item(),
            "both": (category & colour).float().mean().item(),
            "both_and_no_near_miss": (accepted & colour).float().mean().item(),
            "near_misses_accepted": taken.float().mean().item(),
            "blurred_accepted": blurred.float().mean().item(),
        }

    train("judge", judge, losses, config, work, validate=validate)


def _labels(split: Split, drawn: Draw) -> Tensor:
    return torch.from_numpy(split.labels[drawn.objects.numpy()])


def train_view(world: World, work: Path, config: LoopConfig) -> None:
    """Trains the pose estimator; the checkpoint is `work/view.pt`."""
    torch.manual_seed(config.seed)  # initial weights
    view, split = build_view(), world.train
    far = torch.from_numpy((split.pose[..., 2] > 2.4).copy())

    def target(pose: Tensor, zoom: Tensor) -> Tensor:
        azimuth = torch.deg2rad(pose[:, 1])
        return torch.stack(
            [pose[:, 0] / 45, azimuth.cos(), azimuth.sin(), LOG_ZOOM * zoom.log2()], 1
        )

    def losses(_step: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        drawn = draw(split, config.batch, generator, normal_share=0.0)
        x, zoom = reframe(images(split, drawn), generator)
        if torch.rand((), generator=generator) < 0.5:
            x = nn.functional.avg_pool2d(nn.functional.pad(x, (1, 1, 1, 1), "replicate"), 3, 1)
        x = x + 0.04 * torch.rand((), generator=generator) * torch.randn(
            x.shape, generator=generator
        )
        pose = torch.from_numpy(split.pose[drawn.objects.numpy(), drawn.views.numpy()])
        error = (view(x) - target(pose, zoom)).square()
        seen = far[drawn.objects, drawn.views].float()[:, None]
        return {"loss": (seen * error).sum() / seen.sum() / error.shape[1]}

    def validate(model: nn.Module) -> Mapping[str, float]:
        held_out = world.held_out
        drawn = draw(held_out, 1020, torch.Generator().manual_seed(9), normal_share=0.0)
        pose = torch.from_numpy(held_out.pose[drawn.objects.numpy(), drawn.views.numpy()])
        seen = pose[:, 2] > 2.4
        x, zoom = reframe(images(held_out, drawn), torch.Generator().manual_seed(10))
        out, pose = model(x)[seen], pose[seen]
        azimuth = torch.rad2deg(torch.atan2(out[:, 2], out[:, 1]))
        turn = ((azimuth - pose[:, 1] + 180) % 360 - 180).abs()
        return {
            "elevation_mae_deg": (45 * out[:, 0] - pose[:, 0]).abs().mean().item(),
            "azimuth_median_deg": turn.median().item(),
            "zoom_mae": ((out[:, 3] / LOG_ZOOM).exp2() - zoom[seen]).abs().mean().item(),
        }

    train("view", view, losses, config, work, validate=validate)


def load_convnet(net: ConvNet, checkpoint: Path) -> ConvNet:
    """A trained judge or pose estimator."""
    net.load_state_dict(averaged(checkpoint))
    return net.eval().requires_grad_(False)


def encode_poses(world: World, work: Path, device: torch.device = CPU) -> None:
    """Writes the estimated poses of the training views to `seen_poses.npy`, float16 [o,v,3].

    Elevation / 45°, cos and sin of the azimuth.
    """
    view = load_convnet(build_view(), work / "view.pt").to(device)
    np.save(work / "seen_poses.npy", encode_views(lambda x: view(x)[:, :3], world, device))
