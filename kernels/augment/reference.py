"""The augmentation warp of the modality similarity loss, in plain PyTorch: the definition."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

MAX_TAPS = 8
"""Most look-ups per pixel of a result, along each axis: as many as the strongest perspective that
is drawn needs where views of 512 pixels become images of 224."""
SLACK = 0.05
"""Slack in the spacing of look-ups, in view pixels: a scale of 1 within rounding takes one."""


def taps_per_pixel(
    homography: Float[Tensor, "b n 3 3"],
    window: Float[Tensor, "b n 4"],
    view: Sequence[int],
    size: int,
) -> Int[Tensor, "b n 2"]:
    """Look-ups per pixel of a result along x and y: as many as pixels of the view lie under it.

    The scale of a warp along an axis is how far p moves, in pixels of the view, from one pixel of
    the result to the next. With H's columns h_0, h_1, h_2 and the point q = (q_x, q_y, 1) of the
    view:

        |∂p/∂a| = |(h_a − q h_{a,2})_{xy}| · |m · q| / |m · h_2|,   m = h_0 × h_1

    It is taken at the window's corners: a perspective is least and most enlarged there.

    Args:
        homography: H, n for each view.
        window: the crops' left, top, right and bottom.
        view: rows and columns of the views.
        size: side of the result, in pixels.

    Returns:
        Whole numbers from 1 to `MAX_TAPS`: the scale less `SLACK`, rounded up; 1 for what is not
        a number.
    """
    h = homography.detach().double()
    corners = window.detach().double()[..., [0, 1, 2, 1, 2, 3, 0, 3]].unflatten(-1, (4, 2))
    q = torch.cat([corners, torch.ones_like(corners[..., :1])], -1)[..., None, :]  # [b n 4 1 3]
    columns = h.mT
    normal = torch.linalg.cross(columns[..., 0, :], columns[..., 1, :])[..., None, None, :]
    moved = columns[..., None, :2, :] - q * columns[..., None, :2, 2:]  # [b n 4 2 3]
    pixels = moved[..., :2] * h.new_tensor([view[1], view[0]]) / size
    stretch = (normal * q).sum(-1).abs() / (normal * columns[..., None, 2:, :]).sum(-1).abs()
    scale = (pixels.norm(dim=-1) * stretch).nan_to_num(1, MAX_TAPS).amax(-2)
    return (scale - SLACK).ceil().clamp(1, MAX_TAPS).int()


def ms_augment(
    image: Float[Tensor, "b 3 h w"],
    homography: Float[Tensor, "b n 3 3"],
    window: Float[Tensor, "b n 4"],
    taps: Int[Tensor, "b n 2"],
    size: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> Float[Tensor, "k 3 {size} {size}"]:
    """Warp every view n times, on white, and normalise for an image encoder.

    All coordinates run from −1 to 1 across an image. For a point (x, y) of a result:

        (u, v, w) = H (x, y, 1),   p = (u/w, v/w)
        s = Π_axis clamp(½ + distance in view pixels from p to the window's nearer side, 0, 1)
        page(x, y) = 1 − s · bilinear(1 − image, p)

    and for a pixel, the mean over the centres of t_x · t_y equal parts of it:

        result = (mean of page − mean) / std

    A look-up reads the view continued by its border. Where a pixel of the result covers several
    of the view's, one look-up would skip some and let fine patterns through as coarse ones; the
    parts are at most about a pixel of the view in size (`taps_per_pixel`), so that the result is
    the area's mean. s is how much of a view's pixel at p lies in the window: a crop's edge is as
    soft as one pixel of the view, and for the full crop this is the composition over white of an
    image that ends at its border.

    Args:
        image: views in [0, 1].
        homography: H, n for each view.
        window: the crop's left, top, right and bottom; outside of it everything is white. So is a
            part whose p is not a number, and neither depends on what the view holds.
        taps: t_x and t_y, n for each view.
        size: side of the result, in pixels.
        mean: subtracted, per channel.
        std: divided by, per channel.

    Returns:
        Images [b·n, 3, size, size], view by view. Differentiable in `image` only.
    """
    warps, window = homography.detach().to(image), window.detach().to(image)
    b, n = window.shape[:2]
    # Every number of it is overwritten below; it hangs on the image where there is no warp.
    pages = image[:, None, :, :1, :1].expand(b, n, 3, size, size).clone()
    for view in range(b):
        for t_x, t_y in taps[view].unique(dim=0).tolist():
            same = (taps[view] == taps.new_tensor([t_x, t_y])).all(-1)
            points = _view_points(warps[view, same], size * t_x, size * t_y)
            page = _page(image[view], points, window[view, same])
            pages[view, same] = avg_pool2d(page, (t_y, t_x))
    pixels = pages.flatten(0, 1)
    return (pixels - _channels(mean, pixels)) / _channels(std, pixels)


def _page(
    view: Float[Tensor, "3 h w"], points: Float[Tensor, "m y x 2"], window: Float[Tensor, "m 4"]
) -> Float[Tensor, "m 3 y x"]:
    """Returns the cropped view on white, at the given points."""
    shown = _shown(points, window, view.shape[-2:])[:, None]
    # `grid_sample` writes outside of its gradient at a point that is not a number.
    grid = points.nan_to_num(0, 0, 0).flatten(0, 1)[None]
    # Black on white is linear in 1 − x: what the crop does not show adds nothing to it.
    ink = grid_sample(1 - view[None], grid, padding_mode="border", align_corners=False)
    ink = ink[0].unflatten(1, points.shape[:2]).transpose(0, 1)
    return 1 - torch.where(shown > 0, shown * ink, 0)


def _view_points(
    warp: Float[Tensor, "m 3 3"], columns: int, rows: int
) -> Float[Tensor, "m {rows} {columns} 2"]:
    """Returns the look-up points of `rows` × `columns` parts of each result's pixels."""

    def centres(count: int) -> Tensor:
        index = torch.arange(count, device=warp.device, dtype=warp.dtype)
        return (index + 0.5) / count * 2 - 1

    y, x = torch.meshgrid(centres(rows), centres(columns), indexing="ij")
    parts = torch.stack([x, y, torch.ones_like(x)], -1)
    mapped: Tensor = torch.einsum("mij,hwj->mhwi", warp, parts)
    return mapped[..., :2] / mapped[..., 2:]


def _shown(
    points: Float[Tensor, "m y x 2"], window: Float[Tensor, "m 4"], view: torch.Size
) -> Float[Tensor, "m y x"]:
    """Returns the share of the view pixel at each point inside the window: 1 inside, 0 beyond the
    edge."""
    window = window[:, None, None]
    half_pixels = points.new_tensor([view[1], view[0]]) / 2
    inside = torch.minimum(points - window[..., :2], window[..., 2:] - points)
    return (inside * half_pixels + 0.5).nan_to_num(0).clamp(0, 1).prod(-1)


def _channels(values: tuple[float, ...], like: Tensor) -> Float[Tensor, "3 1 1"]:
    return like.new_tensor(values).view(3, 1, 1)
