"""What the three phases share: an iteration, and everything a checkpoint needs to repeat it."""

import math
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from xbind.errors import XBindError


class NotFinite(XBindError):
    """A loss term or a parameter is NaN or infinite; the message names it."""


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
    """One iteration: `θ ← θ − η ∇θ Loss` (Algorithm 1, line 20). Returns the unweighted terms.

    Raises:
        NotFinite: a term is NaN or infinite; the parameters are as before.
    """
    terms = phase.terms(step, generator)
    phase.optimizer.zero_grad(set_to_none=True)
    weighted_sum(terms, phase.weights(step)).backward()
    values = {name: float(term.detach()) for name, term in terms.items()}
    for name, value in values.items():
        if not math.isfinite(value):
            raise _not_finite(phase, step, f"the loss term {name!r} is {value}")
    phase.optimizer.step()
    return values


def check_finite(phase: Phase, step: int) -> None:
    """Refuse parameters that no iteration can repair, before they are saved.

    Raises:
        NotFinite: one is NaN or infinite, so some term's gradient was.
    """
    for name, parameter in phase.module.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            terms = ", ".join(phase.weights(step))
            raise _not_finite(
                phase, step, f"the parameter {name!r} is not finite, by a gradient of {terms}"
            )


def _not_finite(phase: Phase, step: int, what: str) -> NotFinite:
    return NotFinite(
        f"Phase {phase.name}, step {step + 1} of {phase.steps}: {what}.\n"
        f"The last checkpoint is from before this step. Start again with another --seed or with "
        f"--precision float32, in another folder with --out."
    )


def save_phase(phase: Phase) -> dict[str, Any]:
    """State to continue from, as plain data."""
    return {"module": phase.module.state_dict(), "optimizer": phase.optimizer.state_dict()}


def restore_phase(phase: Phase, state: Mapping[str, Any]) -> None:
    """Continue from what `save_phase` returned."""
    phase.module.load_state_dict(state["module"])
    phase.optimizer.load_state_dict(state["optimizer"])
