"""Ray marching in Triton: the samples of each ray are counted, then written in place.

Both passes must take the same decisions to the last bit. So they share one function for where a
sample lies, and nothing is contracted into fused multiply-adds, which a compiler may place
differently in the two.
"""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from xbind.kernels.common.gpu import on_device_of
from xbind.kernels.common.samples import RaySamples

BLOCK = 64
"""Rays per program."""
OPTIONS = {"num_warps": 2, "enable_fp_fusion": False}
"""Compile options of both kernels."""


@triton.jit
def _load_ray(origin_ptr, direction_ptr, ray, inside):
    """Origin and direction of each ray; zero beyond the last."""
    o, d = origin_ptr + 3 * ray, direction_ptr + 3 * ray
    return (
        tl.load(o, mask=inside, other=0.0), tl.load(o + 1, mask=inside, other=0.0),
        tl.load(o + 2, mask=inside, other=0.0), tl.load(d, mask=inside, other=0.0),
        tl.load(d + 1, mask=inside, other=0.0), tl.load(d + 2, mask=inside, other=0.0),
    )  # fmt: skip


@triton.jit
def _span(ox, oy, oz, dx, dy, dz, radius):
    """Entry into the ball (not behind the origin) and exit; entry > exit when the ray misses."""
    along = ox * dx + oy * dy + oz * dz
    x, y, z = ox - along * dx, oy - along * dy, oz - along * dz
    squared_half = radius * radius - (x * x + y * y + z * z)
    hits = squared_half > 0  # and no for what is not a number
    half = tl.sqrt_rn(tl.where(hits, squared_half, 0.0))
    near = tl.where(-along - half > 0, -along - half, 0.0)
    return tl.where(hits, near, 1.0), tl.where(hits, half - along, 0.0)


@triton.jit
def _cell(position, radius, scale, side):
    return tl.minimum(tl.maximum(((position + radius) * scale).to(tl.int32), 0), side - 1)


@triton.jit
def _is_kept(x, y, z, is_ahead, occupancy_ptr, radius, scale, side):
    """Returns True for positions in occupied cells."""
    i, j, k = (
        _cell(x, radius, scale, side),
        _cell(y, radius, scale, side),
        _cell(z, radius, scale, side),
    )
    cell = (i.to(tl.int64) * side + j) * side + k
    return is_ahead & (tl.load(occupancy_ptr + cell, mask=is_ahead, other=0) != 0)


@triton.jit
def _count_kernel(
    origin_ptr, direction_ptr, jitter_ptr, occupancy_ptr,  # in:  [r, 3] [r, 3] [r] [g, g, g]
    count_ptr,                                             # out: [r]
    rays, most, side, radius, step, scale,
    BLOCK: tl.constexpr,
):  # fmt: skip
    ray = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = ray < rays
    ox, oy, oz, dx, dy, dz = _load_ray(origin_ptr, direction_ptr, ray, inside)
    near, far = _span(ox, oy, oz, dx, dy, dz, radius)
    jitter = tl.load(jitter_ptr + ray, mask=inside, other=0.0)
    kept = tl.zeros((BLOCK,), tl.int64)
    for k in range(most):
        t = near + (k + jitter) * step
        x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
        kept += _is_kept(x, y, z, inside & (t < far), occupancy_ptr, radius, scale, side)
    tl.store(count_ptr + ray, kept, mask=inside)


@triton.jit
def _write_kernel(
    origin_ptr, direction_ptr, jitter_ptr, occupancy_ptr,  # in:  [r, 3] [r, 3] [r] [g, g, g]
    offset_ptr,                                            # in:  [r + 1]
    t_ptr, ray_ptr, position_ptr,                          # out: [n] [n] [n, 3]
    rays, most, side, radius, step, scale,
    BLOCK: tl.constexpr,
):  # fmt: skip
    ray = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = ray < rays
    ox, oy, oz, dx, dy, dz = _load_ray(origin_ptr, direction_ptr, ray, inside)
    near, far = _span(ox, oy, oz, dx, dy, dz, radius)
    jitter = tl.load(jitter_ptr + ray, mask=inside, other=0.0)
    i = tl.load(offset_ptr + ray, mask=inside, other=0)
    for k in range(most):
        t = near + (k + jitter) * step
        x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
        is_kept = _is_kept(x, y, z, inside & (t < far), occupancy_ptr, radius, scale, side)
        tl.store(t_ptr + i, t, mask=is_kept)
        tl.store(ray_ptr + i, ray, mask=is_kept)
        tl.store(position_ptr + 3 * i, x, mask=is_kept)
        tl.store(position_ptr + 3 * i + 1, y, mask=is_kept)
        tl.store(position_ptr + 3 * i + 2, z, mask=is_kept)
        i += is_kept


def march(
    origins: Tensor,
    directions: Tensor,
    occupancy: Tensor | None,
    *,
    radius: float,
    step: float,
    jitter: Tensor,
) -> RaySamples:
    """See `ray_march.reference.march`."""
    rays, device = len(origins), origins.device
    if occupancy is None:
        occupancy = torch.ones(1, 1, 1, dtype=torch.bool, device=device)
    side = len(occupancy)
    feeds = [x.detach().float().contiguous() for x in (origins, directions, jitter)]
    feeds.append(occupancy.contiguous().view(torch.uint8))
    sizes = (rays, math.ceil(2 * radius / step), side, radius, step, side / (2 * radius))
    grid = (triton.cdiv(rays, BLOCK),)
    offsets = torch.zeros(rays + 1, dtype=torch.int64, device=device)
    with on_device_of(origins):
        if rays:
            counts = torch.empty(rays, dtype=torch.int64, device=device)
            _count_kernel[grid](*feeds, counts, *sizes, BLOCK=BLOCK, **OPTIONS)
            torch.cumsum(counts, 0, out=offsets[1:])
        n = int(offsets[-1])
        t = torch.empty(n, device=device)
        ray = torch.empty(n, dtype=torch.int64, device=device)
        positions = torch.empty(n, 3, device=device)
        if n:
            _write_kernel[grid](*feeds, offsets, t, ray, positions, *sizes, BLOCK=BLOCK, **OPTIONS)
    return RaySamples(offsets, t, torch.full_like(t, step), ray, positions)
