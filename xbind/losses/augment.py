"""The augmentations G, L and Z of Eq. 2: drawn here, applied by one operator."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from xbind.config.method import AugmentConfig
from xbind.kernels import ms_augment
from xbind.kernels.common.choice import Impl
from xbind.models.preprocess import CLIP_MEAN, CLIP_STD


@dataclass(frozen=True, slots=True, eq=False)
class Augmentations:
    """`n` warps for each of `b` views, in coordinates that run from −1 to 1 across an image."""

    homography: Float[Tensor, "b n 3 3"]
    """From the augmented image to the view, as (x, y, 1) ↦ (u, v, w) with the point at u/w, v/w."""
    window: Float[Tensor, "b n 4"]
    """The crop's left, top, right and bottom in the view; outside of it everything is white."""


def draw_augmentations(
    views: int, n: int, config: AugmentConfig, generator: torch.Generator
) -> Augmentations:
    """n times G, n times L and once Z for every view, each drawn on its own."""
    random_views = (
        draw_warps(
            views, n, crop_scale=crop, generator=generator,
            probability=config.probability, distortion=config.distortion,
        )
        for crop in (config.crop_global, config.crop_local)
    )  # fmt: skip
    parts = (*random_views, identity(views, generator.device))
    return Augmentations(
        torch.cat([part.homography for part in parts], 1),
        torch.cat([part.window for part in parts], 1),
    )


def draw_warps(
    views: int,
    n: int,
    *,
    crop_scale: float,
    generator: torch.Generator,
    probability: float,
    distortion: float,
) -> Augmentations:
    """Random square crops, each then put in a random perspective with the chance `probability`.

    Two accidents of text2mesh, the paper's source, are left out: a crop keeps its aspect ratio, and
    no two views share a draw.

    Args:
        views: b.
        n: warps per view.
        crop_scale: share of the view's area that a crop shows, in (0, 1]: 1 for G, 0.1 for L.
        generator: source of every draw; the result lives on its device.
        probability: chance of a perspective, in [0, 1].
        distortion: how far towards the centre a corner may move along each axis, in [0, 0.5]:
            0.5 is a quarter of the image.
    """

    def uniform(*axes: int) -> Tensor:
        return torch.rand(
            views, n, *axes, generator=generator, device=generator.device, dtype=torch.float64
        )

    half = crop_scale**0.5
    centre = (1 - half) * (2 * uniform(2) - 1)
    window = torch.cat([centre - half, centre + half], -1)
    moves = (uniform(1, 1) < probability) * distortion * uniform(4, 2)
    corners = _corners(window.new_tensor([-1.0, -1.0, 1.0, 1.0]))
    warp = homography(corners * (1 - moves), _corners(window))
    return Augmentations(warp.float(), window.float())


def identity(views: int, device: torch.device | str = "cpu") -> Augmentations:
    """Z: the whole view, only resized and normalised."""
    window = torch.tensor([-1.0, -1.0, 1.0, 1.0], device=device)
    whole = torch.eye(3, device=device)
    return Augmentations(whole.expand(views, 1, 3, 3), window.expand(views, 1, 4))


def augment(
    image: Float[Tensor, "b 3 h w"],
    augmentations: Augmentations,
    size: int,
    *,
    mean: tuple[float, float, float] = CLIP_MEAN,
    std: tuple[float, float, float] = CLIP_STD,
    antialias: bool = True,
    impl: Impl = "auto",
) -> Float[Tensor, "k 3 {size} {size}"]:
    """Warp every view n times, on white, and normalise for an image encoder.

    Args:
        image: views in [0, 1].
        augmentations: what to do with each of them.
        size: side of the result, in pixels.
        mean: subtracted, per channel.
        std: divided by, per channel.
        antialias: take the mean over a pixel's area where the view shrinks; False looks once.
        impl: form of the operator `xbind.kernels.ms_augment`, which has the formula.

    Returns:
        Images [b·n, 3, size, size], view by view. Differentiable in `image` only.

    Raises:
        KernelError: the views are not as many as the augmentations are for, or not of a type that
            the form of the operator takes.
    """
    return ms_augment(
        image, augmentations.homography, augmentations.window, size,
        mean=mean, std=std, antialias=antialias, impl=impl,
    )  # fmt: skip


def homography(
    source: Float[Tensor, "*k 4 2"], target: Float[Tensor, "*k 4 2"]
) -> Float[Tensor, "*k 3 3"]:
    """The projective map that takes four points to four points, 1 in its last entry.

    Four points, no three on a line, are a projective basis: scaled so that the fourth is the sum
    of the other three, their columns are the map from the standard basis.
    """
    warp: Tensor = _basis(target) @ torch.linalg.inv(_basis(source))
    return warp / warp[..., 2:, 2:]


def _basis(points: Float[Tensor, "*k 4 2"]) -> Float[Tensor, "*k 3 3"]:
    columns = torch.cat([points, torch.ones_like(points[..., :1])], -1).mT
    scale = torch.linalg.solve(columns[..., :3], columns[..., 3])
    basis: Tensor = columns[..., :3] * scale[..., None, :]
    return basis


def _corners(box: Float[Tensor, "*k 4"]) -> Float[Tensor, "*k 4 2"]:
    return torch.stack([box[..., [0, 1]], box[..., [2, 1]], box[..., [2, 3]], box[..., [0, 3]]], -2)
