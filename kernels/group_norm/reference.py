"""Group norm and SiLU: the definition, in plain PyTorch.

Letters: x̂ is x with mean 0 and variance 1 over each group of channels of each sample,
z = w x̂ + b its affine map per channel, and y = z or SiLU(z) = z / (1 + exp(−z)).
"""

import torch
from jaxtyping import Float
from torch import Tensor


def group_norm(
    x: Float[Tensor, "n c *size"],
    weight: Float[Tensor, " c"],
    bias: Float[Tensor, " c"],
    groups: int,
    eps: float,
    silu: bool,
) -> Float[Tensor, "n c *size"]:
    """See `xbind.kernels.group_norm`. Computed in float32, or in float64 for such an x."""
    wide = torch.promote_types(x.dtype, torch.float32)
    grouped = x.to(wide).reshape(len(x), groups, -1)
    centred = grouped - grouped.mean(-1, keepdim=True)
    variance = centred.square().mean(-1, keepdim=True)
    normalised = (centred * (variance + eps).rsqrt()).view(x.shape)
    per_channel = (-1, *[1] * (x.ndim - 2))
    z = normalised * weight.to(wide).view(per_channel) + bias.to(wide).view(per_channel)
    return (z * z.sigmoid() if silu else z).to(x.dtype)
