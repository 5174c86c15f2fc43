"""The augmentation warp of the modality similarity loss, in plain PyTorch: the definition."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample


def ms_augment(
    image: Float[Tensor, "b 3 h w"],
    homography: Float[Tensor, "b n 3 3"],
    window: Float[Tensor, "b n 4"],
    size: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> Float[Tensor, "k 3 {size} {size}"]:
    """Warp every view n times, on white, and normalise for an image encoder.

    All coordinates run from −1 to 1 across an image. For a result's pixel centred at (x, y):

        (u, v, w) = H (x, y, 1),   p = (u/w, v/w)
        s = Π_axis clamp(½ + distance in view pixels from p to the window's nearer side, 0, 1)
        result = (1 − s · bilinear(1 − image, p) − mean) / std

    One bilinear look-up per pixel, of the view continued by its border. s is how much of a view's
    pixel at p lies in the window: a crop's edge is as soft as one pixel of the view, and for the
    full crop this is the composition over white of an image that ends at its border.

    Args:
        image: views in [0, 1].
        homography: H, n for each view.
        window: the crop's left, top, right and bottom; outside of it everything is white. So is a
            pixel whose p is not a number, and neither depends on what the view holds.
        size: side of the result, in pixels.
        mean: subtracted, per channel.
        std: divided by, per channel.

    Returns:
        Images [b·n, 3, size, size], view by view. Differentiable in `image` only.
    """
    b, n = window.shape[:2]
    points = _view_points(homography.detach().to(image), size)
    shown = _shown(points, window.detach().to(image), image.shape[-2:])[:, :, None]
    # `grid_sample` writes outside of its gradient at a point that is not a number.
    grid = points.nan_to_num(0, 0, 0).reshape(b, n * size, size, 2)
    # Black on white is linear in 1 − x: what the crop does not show adds nothing to it.
    ink = grid_sample(1 - image, grid, padding_mode="border", align_corners=False)
    ink = ink.view(b, 3, n, size, size).transpose(1, 2)
    pixels = (1 - torch.where(shown > 0, shown * ink, 0)).reshape(b * n, 3, size, size)
    return (pixels - _channels(mean, pixels)) / _channels(std, pixels)


def _view_points(warp: Float[Tensor, "b n 3 3"], size: int) -> Float[Tensor, "b n h w 2"]:
    """Where in its view each pixel of a result looks."""
    index = torch.arange(size, device=warp.device, dtype=warp.dtype)
    centres = (index + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    pixels = torch.stack([x, y, torch.ones_like(x)], -1)
    mapped: Tensor = torch.einsum("bnij,hwj->bnhwi", warp, pixels)
    return mapped[..., :2] / mapped[..., 2:]


def _shown(
    points: Float[Tensor, "b n h w 2"], window: Float[Tensor, "b n 4"], view: torch.Size
) -> Float[Tensor, "b n h w"]:
    """How much of a view's pixel at each point lies in the window: 1 inside, 0 beyond its edge."""
    window = window[:, :, None, None]
    half_pixels = points.new_tensor([view[1], view[0]]) / 2
    inside = torch.minimum(points - window[..., :2], window[..., 2:] - points)
    return (inside * half_pixels + 0.5).nan_to_num(0).clamp(0, 1).prod(-1)


def _channels(values: tuple[float, ...], like: Tensor) -> Float[Tensor, "3 1 1"]:
    return like.new_tensor(values).view(3, 1, 1)
