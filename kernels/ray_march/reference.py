"""Sampling rays inside the occupied part of a ball, in plain PyTorch: the definition."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from xbind.kernels.common.samples import RaySamples


def march(
    origins: Float[Tensor, "r 3"],
    directions: Float[Tensor, "r 3"],
    occupancy: Bool[Tensor, "g g g"] | None,
    *,
    radius: float,
    step: float,
    jitter: Float[Tensor, " r"],
) -> RaySamples:
    """Walk each ray through the ball in equal steps and keep the samples in occupied cells.

    With [t₀, t₁] the part of the ray inside the ball and ahead of the origin, the candidates are
    t_k = t₀ + (k + jitter) · step < t₁, each standing for one `step` of ray. With the jitter drawn
    uniformly Σ_k f(t_k) · step is an unbiased estimate of ∫ f. A ray has at most ⌈2 radius / step⌉.

    Args:
        origins: where the rays start, in the world frame. A ray with a number missing, in its
            origin, direction or jitter, has no samples.
        directions: unit vectors.
        occupancy: cells of the cube [−radius, radius]³, indexed [x, y, z]; None keeps every sample.
        radius: of the ball around the origin, in scene units.
        step: distance of neighbouring samples, in scene units.
        jitter: place of the samples inside their steps, in [0, 1).

    Returns:
        The packed samples. Not differentiable.
    """
    along = (origins * directions).sum(-1)
    closest = origins - along[:, None] * directions
    squared_half = radius**2 - closest.square().sum(-1)
    half = squared_half.clamp_min(0).sqrt()
    near, far = (-along - half).clamp_min(0), -along + half
    count = math.ceil(2 * radius / step)
    t = near[:, None] + (torch.arange(count, device=near.device) + jitter[:, None]) * step
    positions = origins[:, None] + t[..., None] * directions[:, None]
    keep = (squared_half > 0)[:, None] & (t < far[:, None])
    if occupancy is not None:
        side = len(occupancy)
        cell = ((positions + radius) * (side / (2 * radius))).long().clamp(0, side - 1)
        keep &= occupancy[tuple(cell.unbind(-1))]
    ray = keep.nonzero()[:, 0]
    offsets = ray.new_zeros(len(origins) + 1)
    offsets[1:] = keep.sum(-1).cumsum(0)
    return RaySamples(offsets, t[keep], torch.full_like(t[keep], step), ray, positions[keep])
