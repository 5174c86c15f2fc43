"""Loss terms of a stage as data: each is a name, a weight over the iterations, and a function.

A stage builds a tuple of them from its configuration. A term whose weight is always 0 is not in it,
so it costs nothing. The terms of frozen networks are in `xbind.algorithm.supervision.TERMS`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor

from xbind.config.terms import Ramp

Seen = TypeVar("Seen")
"""What an iteration has rendered or extracted."""


@dataclass(frozen=True, slots=True)
class Term(Generic[Seen]):
    """A term of the Loss that no frozen network computes."""

    name: str
    """Name in the records of a run."""
    weight: Callable[[int], float]
    """Returns its weight in an iteration, counted from 0."""
    value: Callable[[Seen], Tensor]
    """Returns the term of an iteration, without its weight."""


def constant(name: str, weight: float, value: Callable[[Seen], Tensor]) -> tuple[Term[Seen], ...]:
    """Returns a term of constant weight; nothing where the weight is 0."""
    return (Term(name, lambda _: weight, value),) if weight > 0 else ()


def ramped(
    name: str, ramp: Ramp, steps: int, value: Callable[[Seen], Tensor]
) -> tuple[Term[Seen], ...]:
    """Returns a term whose weight follows a ramp over `steps` iterations; nothing for weight 0."""
    if not ramp.is_used:
        return ()
    return (Term(name, lambda step: ramp.at(step / steps), value),)


def values_of(terms: Sequence[Term[Seen]], seen: Seen) -> dict[str, Tensor]:
    """Name → value of every term, in their order."""
    return {term.name: term.value(seen) for term in terms}


def weights_of(terms: Sequence[Term[Seen]], step: int) -> dict[str, float]:
    """Name → weight of every term in an iteration."""
    return {term.name: term.weight(step) for term in terms}
