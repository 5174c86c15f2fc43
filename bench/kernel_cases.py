"""Cases of bench_kernels.py: inputs, variants, and the least work of each operator."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xbind.bench.operator_work import (
    antialias_work,
    augment_looks,
    augment_work,
    composite_work,
    group_norm_work,
    hash_encode_work,
    interpolate_work,
    march_work,
    rasterize_work,
)
from xbind.bench.timing import Work
from xbind.config.method import AugmentConfig
from xbind.kernels import (
    RaySamples,
    antialias,
    composite,
    edge_table,
    group_norm,
    hash_encode,
    interpolate,
    march,
    ms_augment,
    rasterize,
)
from xbind.kernels.common.choice import Impl
from xbind.losses.augment import draw_warps
from xbind.models.preprocess import CLIP_MEAN, CLIP_STD

LEVELS, FEATURES, ENTRIES = 8, 2, 2**15
RESOLUTIONS = tuple(round(16 * 16 ** (k / (LEVELS - 1))) for k in range(LEVELS))
"""From 16 to 256, in geometric progression."""
SAMPLES_PER_RAY = 64
AUGMENTATIONS, SIDE = 8, 64
RASTER_SIDE = 256
CHANNELS, GROUPS = 128, 32
"""Of an autoencoder's outermost blocks, which take most of its time."""


@dataclass(frozen=True, slots=True)
class Case:
    """Operator at one size."""

    operator: str
    size: int
    unit: str
    forward: Callable[[Impl], tuple[Tensor, ...]]
    """Form → outputs."""
    both: Callable[[Impl], tuple[Tensor, ...]]
    """Form → outputs and gradients."""
    work: Work
    """Least work of both passes."""
    tolerance: float
    """Largest difference of a form from the definition, relative to the largest value."""


def hash_encode_case(points: int, device: torch.device) -> Case:
    """8 levels × 2 features from 16 to 256 cells, tables of 2¹⁵ entries."""
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(points, 3, generator=rng).to(device)
    table = torch.randn(LEVELS, ENTRIES, FEATURES, generator=rng).mul(0.1).to(device)
    table.requires_grad_()
    bar = torch.randn(points, LEVELS * FEATURES, generator=rng).to(device)

    def forward(form: Impl) -> tuple[Tensor, ...]:
        return (hash_encode(x, table, RESOLUTIONS, impl=form),)

    return Case(
        "hash_encode", points, "points", forward, _with_gradient(forward, (table,), (bar,)),
        hash_encode_work(points, *table.shape), 1e-4,
    )  # fmt: skip


def ms_augment_case(views: int, device: torch.device) -> Case:
    """8 warps of each view, 64² to 64²."""
    return _augment_case(views, device, antialias=True)


def ms_augment_once_case(views: int, device: torch.device) -> Case:
    """The same warps with one look-up per pixel, which is what other libraries compute."""
    return _augment_case(views, device, antialias=False)


def _augment_case(views: int, device: torch.device, *, antialias: bool) -> Case:
    image, homography, window, bar = (x.to(device) for x in augment_inputs(views))
    image.requires_grad_()

    def forward(form: Impl) -> tuple[Tensor, ...]:
        result = ms_augment(
            image, homography, window, SIDE,
            mean=CLIP_MEAN, std=CLIP_STD, antialias=antialias, impl=form,
        )  # fmt: skip
        return (result,)

    pixels = views * AUGMENTATIONS * SIDE**2
    looks = augment_looks(homography, window, image.shape[-2:], SIDE) if antialias else pixels
    return Case(
        "ms_augment" if antialias else "ms_augment_once", views, "views",
        forward, _with_gradient(forward, (image,), (bar,)),
        augment_work(image.numel(), pixels, looks), 1e-3,
    )  # fmt: skip


def augment_inputs(views: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Smooth views, global warps of them, and a cotangent."""
    rng = torch.Generator().manual_seed(0)
    coarse = torch.rand(views, 3, 8, 8, generator=rng)
    image = torch.nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bilinear")
    drawn = draw_warps(
        views, AUGMENTATIONS, crop_scale=1.0, generator=rng,
        probability=AugmentConfig().probability, distortion=AugmentConfig().distortion,
    )  # fmt: skip
    bar = torch.randn(views * AUGMENTATIONS, 3, SIDE, SIDE, generator=rng)
    return image, drawn.homography, drawn.window, bar


def composite_case(rays: int, device: torch.device) -> Case:
    """64 samples on each ray; colour, opacity, depth and z-variance with cotangents."""
    rng = torch.Generator().manual_seed(0)
    n = rays * SAMPLES_PER_RAY
    samples = march_samples(rays, device)
    density = (20 * torch.rand(n, generator=rng)).to(device).requires_grad_()
    colour = torch.rand(n, 3, generator=rng).to(device).requires_grad_()
    bars = [torch.randn(rays, 3, generator=rng)]
    bars += [torch.randn(rays, generator=rng) for _ in range(3)]

    def forward(form: Impl) -> tuple[Tensor, ...]:
        seen = composite(density, colour, samples, impl=form)
        return seen.colour, seen.opacity, seen.depth, seen.z_variance

    both = _with_gradient(forward, (density, colour), tuple(bar.to(device) for bar in bars))
    return Case("composite", rays, "rays", forward, both, composite_work(n, rays), 1e-4)


def march_samples(rays: int, device: torch.device) -> RaySamples:
    """Samples in a full ball: 64 on each of `rays` rays through its centre."""
    directions = torch.nn.functional.normalize(
        torch.randn(rays, 3, generator=torch.Generator().manual_seed(1)), dim=-1
    ).to(device)
    half = torch.full((rays,), 0.5, device=device)
    return march(
        -2 * directions, directions, None,
        radius=0.85, step=1.7 / SAMPLES_PER_RAY, jitter=half,
    )  # fmt: skip


def march_case(rays: int, device: torch.device) -> Case:
    """Rays through a ball of which a random half is occupied; no gradient."""
    rng = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(rays, 3, generator=rng), dim=-1)
    origins = 0.3 * torch.randn(rays, 3, generator=rng) - 2 * directions
    jitter = torch.rand(rays, generator=rng)
    origins, directions, jitter = (x.to(device) for x in (origins, directions, jitter))
    cells = (torch.rand(32, 32, 32, generator=rng) < 0.5).to(device)

    def forward(form: Impl) -> tuple[Tensor, ...]:
        found = march(origins, directions, cells, radius=0.85, step=0.03, jitter=jitter, impl=form)
        return found.t, found.positions

    n = len(forward("auto")[0])
    work = march_work(n, rays, cells.numel())
    return Case("march", rays, "rays", forward, forward, work, 1e-4)


def group_norm_case(pixels: int, device: torch.device) -> Case:
    """128 channels in 32 groups, channels last, with SiLU."""
    rng = torch.Generator().manual_seed(0)
    x, bar = (
        torch.randn(1, pixels, CHANNELS, generator=rng).to(device).movedim(-1, 1) for _ in range(2)
    )
    weight, bias = torch.randn(2, CHANNELS, generator=rng).to(device)
    x.requires_grad_()

    def forward(form: Impl) -> tuple[Tensor, ...]:
        impl: Any = form
        return (group_norm(x, weight, bias, groups=GROUPS, eps=1e-6, silu=True, impl=impl),)

    both = _with_gradient(forward, (x,), (bar,))
    return Case("group_norm", pixels, "pixels", forward, both, group_norm_work(x.numel()), 1e-4)


def rasterize_case(triangles: int, device: torch.device) -> Case:
    """A bumpy closed surface of about so many triangles, one view of 256²."""
    clip, faces = bumpy_ball(triangles, device)
    bar = torch.randn(1, RASTER_SIDE, RASTER_SIDE, 4, generator=torch.Generator().manual_seed(1))
    size = (RASTER_SIDE, RASTER_SIDE)

    def forward(form: Impl) -> tuple[Tensor, ...]:
        return (rasterize(clip, faces, size, impl=form),)

    pixels = RASTER_SIDE**2
    return Case(
        "rasterize", len(faces), "triangles", forward,
        _with_gradient(forward, (clip,), (bar.to(device),)),
        rasterize_work(len(faces), clip.shape[1], pixels), 1e-3,
    )  # fmt: skip


def interpolate_case(triangles: int, device: torch.device) -> Case:
    """Three numbers per vertex to 256² pixels."""
    clip, faces = bumpy_ball(triangles, device)
    rast = rasterize(clip.detach(), faces, (RASTER_SIDE, RASTER_SIDE)).requires_grad_()
    attributes = clip.detach()[0, :, :3].clone().requires_grad_()
    bar = torch.randn(*rast.shape[:3], 3, generator=torch.Generator().manual_seed(1)).to(device)

    def forward(form: Impl) -> tuple[Tensor, ...]:
        return (interpolate(attributes, rast, faces, impl=form),)

    pixels = RASTER_SIDE**2
    return Case(
        "interpolate", len(faces), "triangles", forward,
        _with_gradient(forward, (attributes, rast), (bar,)),
        interpolate_work(len(faces), len(attributes), pixels), 1e-4,
    )  # fmt: skip


def antialias_case(triangles: int, device: torch.device) -> Case:
    """Silhouettes of the surface in three channels of 256² pixels; the edge table is kept."""
    clip, faces = bumpy_ball(triangles, device)
    rast = rasterize(clip.detach(), faces, (RASTER_SIDE, RASTER_SIDE))
    image = (rast[..., 3:] > 0).float().expand(-1, -1, -1, 3).contiguous().requires_grad_()
    bar = torch.randn(image.shape, generator=torch.Generator().manual_seed(1)).to(device)
    table = edge_table(faces)

    def forward(form: Impl) -> tuple[Tensor, ...]:
        return (antialias(image, rast, clip, faces, table=table, impl=form),)

    pixels = RASTER_SIDE**2
    return Case(
        "antialias", len(faces), "triangles", forward,
        _with_gradient(forward, (image, clip), (bar,)),
        antialias_work(clip.shape[1], pixels), 1e-3,
    )  # fmt: skip


def bumpy_ball(triangles: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """A ball in longitude and latitude with waves on it, in clip space: [1, v, 4] and faces."""
    rows = max(round(math.sqrt(triangles / 4)), 2)
    columns = 2 * rows
    row, column = torch.meshgrid(torch.arange(rows + 1), torch.arange(columns), indexing="ij")
    polar, azimuth = row * torch.pi / rows, column * 2 * torch.pi / columns
    radius = 0.8 + 0.1 * torch.cos(7 * azimuth) * torch.sin(5 * polar)
    z = radius * polar.cos()
    x, y = radius * polar.sin() * azimuth.cos(), radius * polar.sin() * azimuth.sin()
    w = 3 - z
    clip = torch.stack([2.4 * x, 2.4 * y, w - 1 / w, w], -1).view(1, -1, 4)
    a = row[:-1] * columns + column[:-1]
    b = row[:-1] * columns + (column[:-1] + 1) % columns
    lower = torch.stack([a, a + columns, b], -1)
    upper = torch.stack([b, a + columns, b + columns], -1)
    faces = torch.cat([lower.view(-1, 3), upper.view(-1, 3)])
    return clip.to(device).requires_grad_(), faces.to(device)


def _with_gradient(
    forward: Callable[[Impl], tuple[Tensor, ...]],
    inputs: tuple[Tensor, ...],
    bars: tuple[Tensor, ...],
) -> Callable[[Impl], tuple[Tensor, ...]]:
    def both(form: Impl) -> tuple[Tensor, ...]:
        outputs = forward(form)
        return (*outputs, *torch.autograd.grad(outputs, inputs, bars))

    return both


CASES = {
    "hash_encode": (hash_encode_case, 131_072, (1_311, 13_107)),
    "ms_augment": (ms_augment_case, 4, (40, 400)),
    "ms_augment_once": (ms_augment_once_case, 4, (40, 400)),
    "composite": (composite_case, 4096, (41, 410)),
    "march": (march_case, 4096, (41, 410)),
    "group_norm": (group_norm_case, 65_536, (655, 6_554)),
    "rasterize": (rasterize_case, 20_000, (200, 2_000)),
    "interpolate": (interpolate_case, 20_000, (200, 2_000)),
    "antialias": (antialias_case, 20_000, (200, 2_000)),
}
"""Operator → how to make a case of a size, the size that figures are quoted for, and the other
sizes of the two decades over which the cost is told."""
GPU_ONLY = {"group_norm"}
"""Operators without a numba form."""
TARGETS = {"hash_encode": 25, "ms_augment": 8, "composite": 5, "rasterize": 20}
"""Operator → how many times faster than the definition its CPU form shall be."""
