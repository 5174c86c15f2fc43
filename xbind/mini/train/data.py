"""The rendered world as the training sees it: memory-mapped arrays and batches of tensors."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from xbind.errors import XBindError
from xbind.mini.train.lengths import CPU
from xbind.mini.train.resolutions import SMALL, resolution_of
from xbind.mini.world.dataset import load_split


@dataclass(frozen=True, slots=True)
class Split:
    """Rendered split: `o` objects with `v` views each."""

    rgba: np.ndarray
    """uint8 [o,v,h,w,4], premultiplied."""
    normals: np.ndarray
    """uint8 [o,v,h,w,3], world space, (n+1)/2, black background."""
    depth: np.ndarray
    """float16 [o,v,h,w], distance along the ray, infinite on the background."""
    pose: np.ndarray
    """float32 [o,v,4]: elevation, azimuth (degrees), distance, vertical field of view (degrees)."""
    labels: np.ndarray
    """int64 [o,2]: category, colour."""
    adjective: np.ndarray
    """int8 [o]: 0 none, 1 tall, 2 short."""

    @property
    def objects(self) -> int:
        """Number of objects o."""
        return len(self.labels)

    @property
    def size(self) -> int:
        """Side of the images, in pixels."""
        return int(self.rgba.shape[2])

    @property
    def views(self) -> int:
        """Views per object v."""
        return int(self.rgba.shape[1])


@dataclass(frozen=True, slots=True)
class World:
    """Training and validation splits."""

    train: Split
    held_out: Split


def load_world(work: Path, *, any_size: bool = False) -> World:
    """Open the two splits that `python -m xbind.mini.train world` wrote.

    Args:
        work: folder of data and checkpoints.
        any_size: True for all of `RESOLUTIONS`, not the shipped bundle's alone.

    Raises:
        XBindError: they are not there, or were rendered at another size.
    """
    world = World(_open(work, "train", "world"), _open(work, "held_out", "world"))
    size = world.train.size
    if any_size:
        resolution_of(size)
    elif size != SMALL.image_size:
        raise XBindError(
            f"The world in {work} was rendered at {size} px; this network sees pictures of "
            f"{SMALL.image_size} px.\nTrain it in a folder with a world of that size: "
            f"world --size {SMALL.image_size}."
        )
    return world


def size_of_world(work: Path) -> int | None:
    """Side of the pictures of the world in a folder, in pixels; None if none is rendered there."""
    if not (work / "train" / "manifest.json").exists():
        return None
    return _open(work, "train", "world").size


def detail_of_world(work: Path) -> int:
    """Level of detail of the world in a folder; 1 if none is rendered there, as if unpacked."""
    path = work / "train" / "manifest.json"
    return int(json.loads(path.read_text()).get("detail", 1)) if path.exists() else 1


def load_near_misses(work: Path) -> World:
    """Open the two splits that `python -m xbind.mini.train near_misses` wrote.

    Raises:
        XBindError: they are not there.
    """
    return World(
        _open(work, "near_misses", "near_misses"),
        _open(work, "held_out_near_misses", "near_misses"),
    )


def _open(work: Path, name: str, part: str) -> Split:
    if not (work / name / "manifest.json").exists():
        raise XBindError(
            f"No rendered world in {work / name} (manifest.json is missing).\n"
            f"Render it with:  python -m xbind.mini.train {part} --work {work}"
        )
    return Split(**load_split(work / name))


def on_white(rgba: np.ndarray, device: torch.device = CPU) -> Float[Tensor, "b 3 h w"]:
    """Premultiplied uint8 [b,h,w,4] → images in [0,1] on a white background."""
    x = torch.from_numpy(np.array(rgba, order="C")).to(device).float() / 255  # files are read-only
    return (x[..., :3] + 1 - x[..., 3:]).clamp(0, 1).permute(0, 3, 1, 2).contiguous()


def as_image(normals: np.ndarray, device: torch.device = CPU) -> Float[Tensor, "b 3 h w"]:
    """uint8 [b,h,w,3] → [0,1]."""
    x = torch.from_numpy(np.array(normals, order="C")).to(device).float() / 255
    return x.permute(0, 3, 1, 2).contiguous()


def reduced(x: Float[Tensor, "b c h w"], size: int) -> Float[Tensor, "b c s s"]:
    """Pictures of a multiple of `size` px, averaged down to it; others as they are."""
    factor = x.shape[-1] // size
    return x if factor == 1 else torch.nn.functional.avg_pool2d(x, factor)


@dataclass(frozen=True, slots=True)
class Draw:
    """Indices of a batch's views."""

    objects: Int[Tensor, " b"]
    views: Int[Tensor, " b"]
    is_normal: Tensor
    """bool [b]: shown as a normal map instead of in colour."""


def draw(split: Split, count: int, generator: torch.Generator, *, normal_share: float) -> Draw:
    """Draw `count` views uniformly; a share of them as normal maps."""
    return Draw(
        torch.randint(split.objects, (count,), generator=generator),
        torch.randint(split.views, (count,), generator=generator),
        torch.rand(count, generator=generator) < normal_share,
    )


def images(split: Split, drawn: Draw) -> Float[Tensor, "b 3 h w"]:
    """The drawn views: colour on white, normal maps on black."""
    o, v = drawn.objects.numpy(), drawn.views.numpy()
    colour = on_white(split.rgba[o, v])
    if not drawn.is_normal.any():
        return colour
    return torch.where(drawn.is_normal.view(-1, 1, 1, 1), as_image(split.normals[o, v]), colour)


def alphas(split: Split, drawn: Draw) -> Float[Tensor, "b 1 h w"]:
    """Coverage of the drawn views, in [0,1]."""
    alpha = split.rgba[drawn.objects.numpy(), drawn.views.numpy(), ..., 3]
    return torch.from_numpy(alpha).float()[:, None] / 255


def psnr(mse: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of a mean squared error of values in [0,1]."""
    return -10 * torch.log10(mse.clamp_min(1e-10))
