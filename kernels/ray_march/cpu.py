"""Ray marching on the CPU: the samples of each ray are counted, then written in place."""

import math
from typing import no_type_check

import numba
import numpy as np
import torch
from torch import Tensor

from xbind.kernels.common.samples import RaySamples
from xbind.kernels.common.threads import in_pieces
from xbind.system.jit import cached_njit

# No fast-math in this file: both passes must take the same decisions to the last bit. A kernel is
# marked `no_type_check` because numba cannot compile what a run-time type checker has wrapped.

_ZERO = np.float32(0)


@numba.njit(inline="always", error_model="numpy")
@no_type_check
def _span(origin, direction, radius):
    """Entry into the ball (not behind the origin) and exit; entry > exit when the ray misses."""
    along = origin[0] * direction[0] + origin[1] * direction[1] + origin[2] * direction[2]
    squared_half = radius * radius
    for axis in range(3):
        closest = origin[axis] - along * direction[axis]
        squared_half -= closest * closest
    if not squared_half > _ZERO:
        return np.float32(1), _ZERO
    half = np.float32(math.sqrt(squared_half))
    return max(-along - half, _ZERO), -along + half


@numba.njit(inline="always", error_model="numpy")
@no_type_check
def _cell(position, radius, scale, side):
    return min(max(int((position + radius) * scale), 0), side - 1)


@numba.njit(inline="always", error_model="numpy")
@no_type_check
def _is_occupied(origin, direction, t, occupancy, radius, scale):
    i = _cell(origin[0] + t * direction[0], radius, scale, occupancy.shape[0])
    j = _cell(origin[1] + t * direction[1], radius, scale, occupancy.shape[1])
    k = _cell(origin[2] + t * direction[2], radius, scale, occupancy.shape[2])
    return occupancy[i, j, k]


@cached_njit(nogil=True, error_model="numpy")
@no_type_check
def _count(
    first, end,                               # rays
    origins, directions, jitter, occupancy,   # in:  [r, 3] [r, 3] [r] [g, g, g]
    radius, step, scale, most,
    counts,                                   # out: [r]
):  # fmt: skip
    for ray in range(first, end):
        near, far = _span(origins[ray], directions[ray], radius)
        kept = 0
        for k in range(most):
            t = near + (np.float32(k) + jitter[ray]) * step
            if not t < far:
                break
            kept += _is_occupied(origins[ray], directions[ray], t, occupancy, radius, scale)
        counts[ray] = kept


@cached_njit(nogil=True, error_model="numpy")
@no_type_check
def _write(
    first, end,                                # rays
    origins, directions, jitter, occupancy,    # in:  [r, 3] [r, 3] [r] [g, g, g]
    radius, step, scale, most, offsets,        # in:  … [r + 1]
    t_out, ray_out, positions,                 # out: [n] [n] [n, 3]
):  # fmt: skip
    for ray in range(first, end):
        near, far = _span(origins[ray], directions[ray], radius)
        i = offsets[ray]
        for k in range(most):
            t = near + (np.float32(k) + jitter[ray]) * step
            if not t < far:
                break
            if _is_occupied(origins[ray], directions[ray], t, occupancy, radius, scale):
                t_out[i] = t
                ray_out[i] = ray
                for axis in range(3):
                    positions[i, axis] = origins[ray, axis] + t * directions[ray, axis]
                i += 1


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
    if occupancy is None:
        occupancy = torch.ones(1, 1, 1, dtype=torch.bool)
    scale = np.float32(len(occupancy) / (2 * radius))
    rays = [x.detach().contiguous().numpy() for x in (origins, directions, jitter, occupancy)]
    most = math.ceil(2 * radius / step)
    walk = (*rays, np.float32(radius), np.float32(step), scale, most)
    counts = torch.empty(len(origins), dtype=torch.int64)
    in_pieces(_count, len(origins), *walk, counts.numpy())
    offsets = torch.zeros(len(origins) + 1, dtype=torch.int64)
    torch.cumsum(counts, 0, out=offsets[1:])
    n = int(offsets[-1])
    t, ray, positions = torch.empty(n), torch.empty(n, dtype=torch.int64), torch.empty(n, 3)
    outputs = (t.numpy(), ray.numpy(), positions.numpy())
    in_pieces(_write, len(origins), *walk, offsets.numpy(), *outputs)
    return RaySamples(offsets, t, torch.full((n,), step), ray, positions)
