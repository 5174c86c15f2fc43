"""Iteration of the three phases, and the state that a checkpoint needs to repeat it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from xbind.errors import XBindError


class NotFinite(XBindError):
    """A loss term or a parameter is NaN or infinite; the message names it."""


class NoTerms(XBindError):
    """A stage with iterations has no loss term; the message names it."""


class Phase(Protocol):
    """Protocol of a phase of Algorithm 1."""

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
    """UPDATE of Algorithm 1 (lines 18-21), which renders x, sums the Loss and steps θ once.

    Returns:
        The terms of the Loss, unweighted.

    Raises:
        NotFinite: a term is NaN or infinite; θ is as before.
        NoTerms: all weights of the iteration are 0.
    """
    terms = phase.terms(step, generator)  # line 19, and those of the phase's Loss
    if not terms:
        raise NoTerms(
            f"Stage {phase.name} has no loss term in iteration {step + 1} of {phase.steps}: its "
            f"weights are all 0, but for terms of other iterations.\nGive one of them a value, or "
            f"leave the stage out with --method.{phase.name}.steps 0."
        )
    phase.optimizer.zero_grad(set_to_none=True)
    weighted_sum(terms, phase.weights(step)).backward()
    values = {name: float(term.detach()) for name, term in terms.items()}
    for name, value in values.items():
        if not math.isfinite(value):
            raise _not_finite(phase, step + 1, f"the loss term {name!r} is {value}")
    phase.optimizer.step()  # line 20: θ ← θ − η ∇θ Loss
    return values


def check_finite(phase: Phase, step: int) -> None:
    """Refuse to go on with parameters that no iteration can repair, before they are saved.

    Args:
        phase: after `step` iterations.
        step: counted from 1.

    Raises:
        NotFinite: a parameter is NaN or infinite, so the gradient of some term was.
    """
    for name, parameter in phase.module.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            terms = ", ".join(phase.weights(step - 1))
            raise _not_finite(
                phase, step, f"the parameter {name!r} is not finite, by a gradient of {terms}"
            )


def _not_finite(phase: Phase, step: int, what: str) -> NotFinite:
    return NotFinite(
        f"Phase {phase.name}, step {step} of {phase.steps}: {what}.\n"
        f"The last checkpoint is from before this step. Start again with another --seed or with "
        f"--precision float32, in another folder with --out."
    )


@dataclass(frozen=True, slots=True, eq=False)
class PhaseState:
    """Plain data from which a phase goes on exactly where it was saved."""

    step: int
    """Iterations of the phase that are done."""
    module: dict[str, Any]
    """State of what is optimised."""
    optimizer: dict[str, Any]
    """State of the optimiser."""
    generator: Tensor
    """State of the generator that the iterations draw from."""


def save_phase(phase: Phase, step: int, generator: torch.Generator) -> PhaseState:
    """The state after `step` iterations; its tensors are shared with the phase, not copied."""
    return PhaseState(
        step, phase.module.state_dict(), phase.optimizer.state_dict(), generator.get_state()
    )


def restore_phase(phase: Phase, state: PhaseState) -> None:
    """Set a phase's module and optimiser to a saved state."""
    phase.module.load_state_dict(state.module)
    phase.optimizer.load_state_dict(state.optimizer)


def resume(phase: Phase, saved: Mapping[str, PhaseState]) -> int:
    """Set a phase to its saved state, if it has one; returns its iterations that are done."""
    if phase.name not in saved:
        return 0
    restore_phase(phase, saved[phase.name])
    return saved[phase.name].step


@dataclass(frozen=True, slots=True, eq=False)
class PhaseStarted:
    """A phase is about to iterate."""

    phase: Phase
    step: int
    """Iterations that were done before, in an interrupted run."""


@dataclass(frozen=True, slots=True, eq=False)
class Iteration:
    """An iteration of a phase is done."""

    phase: Phase
    step: int
    """Iterations of the phase that are done, this one included."""
    terms: Mapping[str, float]
    """The loss terms, unweighted."""
