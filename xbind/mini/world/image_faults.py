"""Faults of pictures, as negatives for the judges of generated objects.

They are what an optimised texture and a bad sample of the 2D prior look like: soft patches of other
colours, smeared outlines and edges, blur. They are drawn for every picture, so that no two are
the same; faults of whole objects are in `near_misses`.
"""

import math
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d, grid_sample, interpolate, pad

from xbind.mini.world.palette import COLOURS

ImageFault = Literal["blurred", "blotched", "smeared"]
Images = Float[Tensor, "b 3 h w"]
Masks = Float[Tensor, "b 1 h w"]

BLUR_PX = (1.5, 3.5)
"""Standard deviation of the blur of blurred pictures, in pixels."""

LAYERS = (1, 3)
"""Layers of patches of a blotched picture, fewest and most; each has a colour of its own."""
PATCH_CELLS = (5, 14)
"""Grid cells along the side of a picture whose random values make patches; smallest and largest."""
PATCH_SHARE = (0.15, 0.45)
"""Share of the object that the patches of one layer cover."""
PATCH_EDGE = (0.5, 2.5)
"""Width of a patch's soft edge, in standard deviations of the field that makes it."""
PATCH_STRENGTH = (0.3, 0.9)
"""Opacity of a patch in its middle."""
PATCH_GAP = 0.4
"""Distance of a patch's colour from the object's mean colour at least, in RGB in [0, 1]."""
TONES = (0.3, 2.0)
"""Brightness of dark and light patches, as a multiple of the object's mean colour."""
GREYS = (0.1, 0.35, 0.6, 0.85)
"""Values of grey patches."""

SMEAR_SHARE = (0.4, 0.9)
"""Share of the object that is smeared."""
SMEAR_EDGE = 0.35
"""Width of the edge of the smeared region, in standard deviations of the field that makes it."""
WARP_CELLS = (5, 11)
"""Grid cells along the side of a picture whose random values make displacements."""
WARP_PX = (1.2, 3.0)
"""Root mean square displacement along each axis, in pixels."""
DRAG_PX = (4.0, 10.0)
"""Length over which a smeared region is averaged along one direction, in pixels."""
DRAG_TAPS = 7
"""Samples along that length."""
WARP_SHARE = 0.5
"""Share of smeared pictures that are warped; the others are averaged along one direction."""


def blur(x: Images, sigma: float) -> Images:
    """Gaussian blur with a standard deviation of `sigma` pixels; the border is repeated."""
    radius = math.ceil(3 * sigma)
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma).square())
    taps = (taps / taps.sum()).expand(3, 1, 1, -1)
    for kernel, border in ((taps, (radius, radius, 0, 0)), (taps.mT, (0, 0, radius, radius))):
        x = conv2d(pad(x, border, "replicate"), kernel, groups=3)
    return x


def blurred(x: Images, alpha: Masks, generator: torch.Generator) -> Images:
    """Blurs pictures beyond recognition of their parts, all by one width.

    Args:
        x: pictures on white, in [0, 1].
        alpha: coverage by the object; not used.
        generator: source of the width.
    """
    del alpha
    return blur(x, _uniform(BLUR_PX, generator))


def blotched(x: Images, alpha: Masks, generator: torch.Generator) -> Images:
    """Covers objects with soft patches of other hues, of grey, or of a darker or lighter tone.

    Args:
        x: pictures on white, in [0, 1].
        alpha: coverage by the object.
        generator: source of all randomness; each picture has patches of its own.
    """
    pairs = zip(x, alpha, strict=True)
    return torch.stack([_blotch(picture, mask, generator) for picture, mask in pairs])


def smeared(x: Images, alpha: Masks, generator: torch.Generator) -> Images:
    """Smears a part of each object and its outline: warped, or averaged along one direction.

    Args:
        x: pictures on white, in [0, 1].
        alpha: coverage by the object.
        generator: source of all randomness; each picture has a region of its own.
    """
    pairs = zip(x, alpha, strict=True)
    return torch.stack([_smear(picture, mask, generator) for picture, mask in pairs])


IMAGE_FAULTS: Mapping[ImageFault, Callable[[Tensor, Tensor, torch.Generator], Tensor]] = {
    "blurred": blurred, "blotched": blotched, "smeared": smeared
}  # fmt: skip
"""Kind → what makes it of pictures on white and the objects' coverage."""


def _blotch(
    picture: Float[Tensor, "3 h w"], mask: Float[Tensor, "1 h w"], generator: torch.Generator
) -> Float[Tensor, "3 h w"]:
    light = 1 - mask  # of the white background, in each channel
    for _ in range(int(torch.randint(LAYERS[0], LAYERS[1] + 1, (), generator=generator))):
        cells = int(torch.randint(PATCH_CELLS[0], PATCH_CELLS[1] + 1, (), generator=generator))
        share, edge = _uniform(PATCH_SHARE, generator), _uniform(PATCH_EDGE, generator)
        strength = _uniform(PATCH_STRENGTH, generator)
        weight = strength * _region(mask, cells, share, edge, generator)
        mean = (picture - light).sum((1, 2)) / mask.sum().clamp_min(1e-6)
        patch = _patch_colour(mean, generator)[:, None, None]
        picture = picture + weight * (mask * patch - (picture - light))
    return picture.clamp(0, 1)


def _patch_colour(mean: Float[Tensor, "3"], generator: torch.Generator) -> Float[Tensor, "3"]:
    """A hue of the world, a grey, or a tone of `mean`, far enough from it; else the farthest."""
    hues = torch.tensor(list(COLOURS.values()))
    greys = torch.tensor(GREYS)[:, None].expand(-1, 3)
    tones = (torch.tensor(TONES)[:, None] * mean).clamp(0, 1)
    kinds = (hues, greys, tones)
    colours = kinds[int(torch.randint(len(kinds), (), generator=generator))]
    gaps = (colours - mean).norm(dim=1)
    far = colours[gaps > PATCH_GAP]
    if not len(far):
        return colours[gaps.argmax()]
    return far[int(torch.randint(len(far), (), generator=generator))]


def _smear(
    picture: Float[Tensor, "3 h w"], mask: Float[Tensor, "1 h w"], generator: torch.Generator
) -> Float[Tensor, "3 h w"]:
    cells = int(torch.randint(WARP_CELLS[0], WARP_CELLS[1] + 1, (), generator=generator))
    region = _region(mask, cells, _uniform(SMEAR_SHARE, generator), SMEAR_EDGE, generator)
    size = mask.shape[-2:]
    if torch.rand((), generator=generator) < WARP_SHARE:
        shift = _uniform(WARP_PX, generator) * _field(2, cells, size, generator)
        return _moved(picture, region * shift)
    angle = math.pi * float(torch.rand((), generator=generator))
    way = torch.tensor([math.cos(angle), math.sin(angle)])[:, None, None] * region
    steps = torch.linspace(-0.5, 0.5, DRAG_TAPS) * _uniform(DRAG_PX, generator)
    return torch.stack([_moved(picture, step * way) for step in steps.tolist()]).mean(0)


def _moved(
    picture: Float[Tensor, "3 h w"], shift_px: Float[Tensor, "2 h w"]
) -> Float[Tensor, "3 h w"]:
    """Each pixel's value taken from where (x, y) displaced by `shift_px` is; the border repeats."""
    h, w = picture.shape[-2:]
    y, x = torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")
    grid = torch.stack([(x + shift_px[0]) * (2 / w) - 1, (y + shift_px[1]) * (2 / h) - 1], -1)
    return grid_sample(picture[None], grid[None], padding_mode="border", align_corners=False)[0]


def _region(
    mask: Float[Tensor, "1 h w"], cells: int, share: float, edge: float, generator: torch.Generator
) -> Float[Tensor, "1 h w"]:
    """A soft random region that covers `share` of the object: 0 outside of it, 1 inside."""
    field = _field(1, cells, mask.shape[-2:], generator)
    on_object = field[mask > 0.5]
    if not len(on_object):
        return torch.zeros_like(mask)
    limit = on_object.quantile(1 - share)
    return torch.sigmoid((field - limit) / (0.25 * edge))  # from 0.12 to 0.88 over one `edge`


def _field(
    channels: int, cells: int, size: tuple[int, ...], generator: torch.Generator
) -> Float[Tensor, "c h w"]:
    """Smooth random field of zero mean and unit variance, on average."""
    values = torch.randn(1, channels, cells, cells, generator=generator)
    field = interpolate(values, size, mode="bicubic", align_corners=True)[0]
    return field / field.square().mean().sqrt()


def _uniform(bounds: tuple[float, float], generator: torch.Generator) -> float:
    low, high = bounds
    return low + (high - low) * float(torch.rand((), generator=generator))
