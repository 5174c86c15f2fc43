"""The records that the volume operators hand to one another."""

from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class RaySamples:
    """Samples of all rays in one packed row, ray after ray, each ray's from near to far."""

    offsets: Int64[Tensor, " _"]
    """[r + 1]: the samples of ray i are `offsets[i]` to `offsets[i + 1]`, the last one excluded."""
    t: Float[Tensor, " n"]
    """Distance from the ray's origin, in scene units."""
    dt: Float[Tensor, " n"]
    """Length of the piece of ray that the sample stands for, in scene units."""
    ray: Int64[Tensor, " n"]
    """Index of the ray."""
    positions: Float[Tensor, "n 3"]
    """origin + t · direction, in the world frame."""


@dataclass(frozen=True, slots=True, eq=False)
class Composited:
    """Results of compositing along each ray, with the weights of the samples."""

    colour: Float[Tensor, "r 3"]
    """Σ_i w_i c_i: premultiplied, over nothing."""
    opacity: Float[Tensor, " r"]
    """Σ_i w_i, in [0, 1]."""
    depth: Float[Tensor, " r"]
    """Σ_i w_i t_i, in scene units: *not* divided by the opacity."""
    z_variance: Float[Tensor, " r"]
    """σ_z² of Eq. 6, in squared scene units, 0 on an empty ray."""
    weights: Float[Tensor, " n"]
    """w_i of each sample, in [0, 1]."""
