"""Adan, the optimiser of Phase II."""

from collections.abc import Callable
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT


class Adan(Optimizer):
    """Adaptive Nesterov momentum (Xie et al., arXiv 2208.06677), with decoupled decay.

    With g the gradient, δ = g − g of the step before (0 at the first), and β = (β₁, β₂, β₃):

        m ← β₁ m + (1−β₁) g        v ← β₂ v + (1−β₂) δ        n ← β₃ n + (1−β₃) (g + β₂ δ)²
        θ ← [ θ − η (m̂ + β₂ v̂) / (√n̂ + ε) ] / (1 + η λ)

    where a hat divides by 1 − βᵢ^step. The state is complete: a run that is saved and loaded
    takes the same steps.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        *,
        betas: tuple[float, float, float] = (0.98, 0.92, 0.99),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        max_grad_norm: float | None = None,
    ) -> None:
        """Set up the optimiser.

        Args:
            params: what to optimise.
            lr: η.
            betas: β₁, β₂, β₃, each in [0, 1).
            eps: ε.
            weight_decay: λ.
            max_grad_norm: bound on the norm of all gradients together; None for no bound.

        Raises:
            ValueError: an argument is out of its range.
        """
        if lr < 0 or eps < 0 or weight_decay < 0 or not all(0 <= b < 1 for b in betas):
            raise ValueError(
                "Adan wants lr, eps and weight_decay of at least 0 and betas in [0, 1), got "
                f"lr={lr}, eps={eps}, weight_decay={weight_decay}, betas={betas}"
            )
        self.max_grad_norm = max_grad_norm
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update every parameter that has a gradient, in place; gradients are left alone."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        shrink = self._shrink()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    _update(p, p.grad * shrink, self.state[p], group)
        return loss

    def _shrink(self) -> Tensor | float:
        """The factor that brings the norm of all gradients down to `max_grad_norm`."""
        if self.max_grad_norm is None:
            return 1.0
        grads = [p.grad for g in self.param_groups for p in g["params"] if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(grads)
        return (self.max_grad_norm / (norm + 1e-12)).clamp_max(1.0)


def _update(p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    """Updates one parameter; `state` and `p` change in place."""
    if not state:
        state.update({name: torch.zeros_like(p) for name in ("m", "v", "n")}, g=g, step=0)
    b1, b2, b3 = group["betas"]
    m, v, n = state["m"], state["v"], state["n"]
    state["step"] += 1
    delta = g - state["g"]
    state["g"] = g
    m.lerp_(g, 1 - b1)
    v.lerp_(delta, 1 - b2)
    n.mul_(b3).add_((g + b2 * delta).square_(), alpha=1 - b3)

    c1, c2, c3 = (1 - b ** state["step"] for b in (b1, b2, b3))
    p.sub_((m / c1 + b2 * v / c2) / ((n / c3).sqrt_() + group["eps"]), alpha=group["lr"])
    p.div_(1 + group["lr"] * group["weight_decay"])
