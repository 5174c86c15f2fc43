"""The estimator of the reference's pose, a small convolutional network."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from xbind.mini.train.augment import reframe
from xbind.mini.train.data import World, draw, images
from xbind.mini.train.latents import encode_views
from xbind.mini.train.lengths import CPU, LoopConfig
from xbind.mini.train.loop import averaged, train
from xbind.models.convnet import LOG_ZOOM, ConvNet

VIEW_WIDTHS = (24, 48, 80, 112)
"""Channels of the pose estimator."""


def build_view() -> ConvNet:
    """(elevation / 45°, cos azimuth, sin azimuth, `LOG_ZOOM` · log₂ zoom) of an image."""
    return ConvNet(VIEW_WIDTHS, 4, pooled=False)


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


def load_view(checkpoint: Path) -> ConvNet:
    """The trained pose estimator."""
    net = build_view()
    net.load_state_dict(averaged(checkpoint))
    return net.eval().requires_grad_(False)


def encode_poses(world: World, work: Path, device: torch.device = CPU) -> None:
    """Writes the estimated poses of the training views to `seen_poses.npy`, float16 [o,v,3].

    Elevation / 45°, cos and sin of the azimuth.
    """
    view = load_view(work / "view.pt").to(device)
    np.save(work / "seen_poses.npy", encode_views(lambda x: view(x)[:, :3], world, device))
