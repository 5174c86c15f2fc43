"""`group_norm`: group normalisation, with SiLU after it, of tensors with channels last."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from xbind.kernels.common.choice import check, choose
from xbind.kernels.group_norm import reference as reference_group_norm

GroupNormImpl = Literal["auto", "reference", "triton"]


def group_norm(
    x: Float[Tensor, "n c *size"],
    weight: Float[Tensor, " c"],
    bias: Float[Tensor, " c"],
    *,
    groups: int,
    eps: float,
    silu: bool,
    impl: GroupNormImpl = "auto",
) -> Float[Tensor, "n c *size"]:
    """Normalise groups of channels, scale and shift channels, and apply SiLU if wanted.

        y = f(w_c (x − mean_g) / √(variance_g + eps) + b_c),   f(z) = z or z / (1 + exp(−z))

    with the mean and the (biased) variance of each sample over the pixels and channels of a group.

    Args:
        x: any number of pixel axes, at least one. Channels may lie first or last in memory
            (`torch.channels_last`); `triton` reads x with channels last, and copies another one.
        weight: w, per channel; frozen.
        bias: b, per channel; frozen.
        groups: a divisor of c. Group g holds channels g c/groups to (g + 1) c/groups − 1.
        eps: added to the variance.
        silu: whether f is SiLU.
        impl: `auto` is `triton` on CUDA and `reference` elsewhere; there is none in numba.

    Returns:
        y, of the type of x; from `triton` with channels last. Sums are in float32. Differentiable
        in x, once in `triton`.

    Raises:
        KernelError: the shapes do not fit, weight or bias require a gradient, or `impl` cannot run
            there.
    """
    check(x.ndim >= 3, "x as [n, c, …] with a pixel axis", str(list(x.shape)))
    channels = x.shape[1]
    check(
        groups > 0 and channels > 0 and channels % groups == 0,
        f"a number of groups that divides the {channels} channels",
        str(groups),
    )
    shapes = [list(weight.shape), list(bias.shape)]
    check(
        shapes == [[channels]] * 2, f"weight and bias as [{channels}]", f"{shapes[0]}, {shapes[1]}"
    )
    is_frozen = not (torch.is_grad_enabled() and (weight.requires_grad or bias.requires_grad))
    check(is_frozen, "a frozen weight and bias", "one that requires a gradient")
    on_cpu = impl == "auto" and x.device.type == "cpu"
    if choose("group_norm", "reference" if on_cpu else impl, x, weight, bias) == "triton":
        from xbind.kernels.group_norm import gpu as gpu_group_norm

        return gpu_group_norm.group_norm(x, weight, bias, groups, eps, silu)
    return reference_group_norm.group_norm(x, weight, bias, groups, eps, silu)
