"""What the three phases share: an iteration, and everything a checkpoint needs to repeat it."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn


class Phase(Protocol):
    """One phase of Algorithm 1."""

    name: str
    """`coarse`, `geometry` or `texture`."""
    steps: int
    """Iterations in all."""

    @property
    def module(self) -> nn.Module:
        """Everything that is optimised or remembered."""

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """Steps the module's parameters."""

    def terms(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """The loss terms of one iteration, unweighted."""

    def weights(self, step: int) -> Mapping[str, float]:
        """A weight for every term that can occur."""

    def preview(self) -> Tensor:
        """A picture [3,h,w] of the state in [0, 1]."""


def weighted_sum(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Σ weight · term; KeyError for a term without a weight."""
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()


def advance(phase: Phase, step: int, generator: torch.Generator) -> dict[str, float]:
    """One iteration: `θ ← θ − η ∇θ Loss` (Algorithm 1, line 20). Returns the unweighted terms."""
    terms = phase.terms(step, generator)
    phase.optimizer.zero_grad(set_to_none=True)
    weighted_sum(terms, phase.weights(step)).backward()
    phase.optimizer.step()
    return {name: float(term.detach()) for name, term in terms.items()}


def save_phase(phase: Phase) -> dict[str, Any]:
    """State to continue from, as plain data."""
    return {"module": phase.module.state_dict(), "optimizer": phase.optimizer.state_dict()}


def restore_phase(phase: Phase, state: Mapping[str, Any]) -> None:
    """Continue from what `save_phase` returned."""
    phase.module.load_state_dict(state["module"])
    phase.optimizer.load_state_dict(state["optimizer"])
