"""Write an operator of your own: a reference in torch, and numba code with its gradient.

    python examples/own_kernel.py

The operator is the distortion loss of mip-NeRF 360 (Barron et al. 2022, Eq. 15), which pulls the
weights w of the samples on a ray together, at distances t and with intervals δ:

    L = Σ_ij w_i w_j |t_i − t_j| + ⅓ Σ_i w_i² δ_i

The reference is this formula, with a table of all pairs for each ray. The kernel needs one pass
over a ray with ascending t. It is compared with the reference, value and gradient, before it is
timed. The kernels of the package follow the same pattern, one folder for each in `kernels/`.
"""

import time
from collections.abc import Callable
from typing import Any, no_type_check

import numpy as np
import torch
import tyro
from torch import Tensor
from torch.autograd.function import once_differentiable

from xbind.system.jit import cached_njit

_ZERO, _TWO, _THIRD = np.float32(0), np.float32(2), np.float32(1 / 3)


def distortion_reference(weights: Tensor, t: Tensor, intervals: Tensor) -> Tensor:
    """Returns L [r] of rays with n samples, from w, t and δ [r, n]; differentiable."""
    pairs = weights[:, :, None] * weights[:, None, :] * (t[:, :, None] - t[:, None, :]).abs()
    return pairs.sum((1, 2)) + (weights.square() * intervals).sum(1) / 3


@cached_njit(error_model="numpy")
@no_type_check
def _forward(weights, t, intervals, loss):
    # With ascending t the double sum is 2 Σ_i w_i (t_i W_i − T_i), where W_i = Σ_{j<i} w_j and
    # T_i = Σ_{j<i} w_j t_j are running sums.
    for ray in range(weights.shape[0]):
        mass, moment, total = _ZERO, _ZERO, _ZERO
        for i in range(weights.shape[1]):
            w = weights[ray, i]
            total += _TWO * w * (t[ray, i] * mass - moment) + _THIRD * w * w * intervals[ray, i]
            mass += w
            moment += w * t[ray, i]
        loss[ray] = total


@cached_njit(error_model="numpy")
@no_type_check
def _backward(loss_bar, weights, t, intervals, weights_bar):
    # ∂L/∂w_i = 2 Σ_j w_j |t_i − t_j| + ⅔ w_i δ_i
    #         = 2 (t_i (W_i − W'_i) − (T_i − T'_i)) + ⅔ w_i δ_i,   W', T' over j > i
    for ray in range(weights.shape[0]):
        after, moment_after = _ZERO, _ZERO
        for i in range(weights.shape[1]):
            after += weights[ray, i]
            moment_after += weights[ray, i] * t[ray, i]
        mass, moment = _ZERO, _ZERO
        for i in range(weights.shape[1]):
            w, at = weights[ray, i], t[ray, i]
            after -= w
            moment_after -= w * at
            pull = at * (mass - after) - (moment - moment_after)
            weights_bar[ray, i] = (
                loss_bar[ray] * _TWO * (pull + _THIRD * w * intervals[ray, i])
            )  # fmt: skip
            mass += w
            moment += w * at


class _Distortion(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, t: Tensor, intervals: Tensor) -> Tensor:  # noqa: ANN401
        loss = weights.new_empty(len(weights))
        _forward(weights.numpy(), t.numpy(), intervals.numpy(), loss.numpy())
        ctx.save_for_backward(weights, t, intervals)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, loss_bar: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        weights, t, intervals = ctx.saved_tensors
        weights_bar = torch.empty_like(weights)
        _backward(
            loss_bar.contiguous().numpy(), weights.numpy(), t.numpy(), intervals.numpy(),
            weights_bar.numpy(),
        )  # fmt: skip
        return weights_bar, None, None


def distortion(weights: Tensor, t: Tensor, intervals: Tensor) -> Tensor:
    """Returns L [r], as `distortion_reference`, for float32 on the CPU and ascending t.

    Differentiable in `weights` only: distances are not learned.
    """
    loss: Tensor = _Distortion.apply(weights.contiguous(), t.contiguous(), intervals.contiguous())
    return loss


def rays(count: int, samples: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Returns w, t and δ of random rays: weights that sum to less than 1, ascending distances."""
    generator = torch.Generator().manual_seed(seed)
    intervals = torch.rand((count, samples), generator=generator) / samples
    t = intervals.cumsum(1)
    weights = torch.rand((count, samples), generator=generator) / samples
    return weights, t, intervals


def compare(count: int, samples: int) -> dict[str, float]:
    """Returns the largest errors of value and gradient against the reference in float64.

    Errors are relative to the largest value.
    """
    weights, t, intervals = rays(count, samples)
    loss_bar = torch.randn(count, generator=torch.Generator().manual_seed(1))
    found = []
    for operator, dtype in ((distortion_reference, torch.float64), (distortion, torch.float32)):
        w = weights.to(dtype).requires_grad_()
        loss = operator(w, t.to(dtype), intervals.to(dtype))
        (w_bar,) = torch.autograd.grad(loss, w, loss_bar.to(dtype))
        found.append((loss.detach().double(), w_bar.double()))
    return {
        name: float((ours - wanted).abs().max() / wanted.abs().max())
        for name, wanted, ours in zip(("loss", "weights_bar"), *found, strict=True)
    }


def milliseconds(
    operator: Callable[[Tensor, Tensor, Tensor], Tensor], count: int, samples: int
) -> float:
    """Returns the best wall time of a forward and a backward pass, in milliseconds."""
    weights, t, intervals = rays(count, samples)
    weights.requires_grad_()
    times = []
    for _ in range(5):
        started = time.perf_counter()
        operator(weights, t, intervals).sum().backward()
        times.append(time.perf_counter() - started)
    return 1000 * min(times)


def main(*, count: int = 4096, samples: int = 48) -> dict[str, float]:
    """Compare the kernel with its reference, then time both.

    Args:
        count: rays.
        samples: samples on each of them.

    Returns:
        The errors, as of `compare`.
    """
    errors = compare(count, samples)
    print("largest errors:", ", ".join(f"{name} {error:.1e}" for name, error in errors.items()))
    slow = milliseconds(distortion_reference, count, samples)
    fast = milliseconds(distortion, count, samples)
    print(f"{count} rays of {samples} samples: torch {slow:.1f} ms, numba {fast:.1f} ms")
    return errors


if __name__ == "__main__":
    tyro.cli(main)
