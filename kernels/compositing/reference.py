"""Volume rendering of packed samples, in plain PyTorch: the definition."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from xbind.kernels.common.samples import Composited, RaySamples

EMPTY = 1e-6
"""Opacity at or below which a ray counts as empty and its z-variance as zero."""


def composite(
    density: Float[Tensor, " n"], colour: Float[Tensor, "n 3"], samples: RaySamples
) -> Composited:
    """Blend the samples of each ray from near to far.

    α_i = 1 − exp(−density_i dt_i),   w_i = α_i Π_{j<i} (1 − α_j)
    Eq. 6:  d_z = Σ_i t_i w_i / Σ_i w_i,   σ_z² = Σ_i (t_i − d_z)² w_i / Σ_i w_i

    Args:
        density: extinction per scene unit, not negative; infinity is a wall. One that is not a
            number makes its ray's colour, opacity and depth, and the weights from it on, none
            either (the z-variance 0, as for an empty ray), and leaves the other rays alone.
        colour: of each sample.
        samples: where they lie; only `offsets`, `ray`, `t` and `dt` are used.

    Returns:
        Every field is differentiable in `density` and `colour`.
    """
    rays = len(samples.offsets) - 1
    place = torch.arange(len(density), device=density.device) - samples.offsets[samples.ray]
    longest = int(samples.offsets.diff().max()) if rays else 0

    def spread(values: Tensor) -> Tensor:  # [n, …] → [r, longest, …], zero where a ray has ended
        dense = values.new_zeros(rays, longest, *values.shape[1:])
        return dense.index_put((samples.ray, place), values)

    thickness = spread(density * samples.dt)
    in_front = pad(thickness.cumsum(-1), (1, 0))[:, :longest]  # a thickness may be infinite
    w = torch.exp(-in_front) * -torch.expm1(-thickness)
    t = spread(samples.t)
    opacity = w.sum(-1)
    mass = opacity[:, None]
    p = torch.where(mass > EMPTY, w / mass.clamp_min(EMPTY), 0.0)
    d_z = (p * t).sum(-1, keepdim=True)
    return Composited(
        colour=(w[..., None] * spread(colour)).sum(1),
        opacity=opacity,
        depth=(w * t).sum(-1),
        z_variance=(p * (t - d_z) ** 2).sum(-1),
        weights=w[samples.ray, place],
    )
