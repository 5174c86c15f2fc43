"""Least work of an iteration, counted while it runs, and its roofline."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from xbind.algorithm.iteration import Phase, advance
from xbind.bench.instrument import HALF, OPTIMISER, operators_replaced
from xbind.bench.operator_work import ONE_PASS, work_of
from xbind.bench.ops import OpCounter, parameters_used
from xbind.bench.timing import Machine, Work
from xbind.bench.variants import Steps, Switch, Variant
from xbind.losses.step import GuidanceStep


@dataclass(slots=True)
class IterationWork:
    """Least work of one iteration of a phase."""

    steps: dict[str, Work] = field(default_factory=dict)
    """Guidance step → multiplications and additions of its matrix products, convolutions and
    attention; the weights that it uses, its inputs and its outputs once."""
    half: Work = field(default_factory=lambda: Work(0.0, 0.0))
    """The differentiable half: its operators' work."""
    optimiser: Work = field(default_factory=lambda: Work(0.0, 0.0))
    """Parameters, gradients and state read; parameters and state written."""


class CountedStep:
    """An eager guidance step that writes down what it does."""

    def __init__(self, step: GuidanceStep, name: str, found: dict[str, Work]) -> None:
        self.inputs, self.outputs = step.inputs, step.outputs
        self._step, self._name, self._found = step, name, found

    def __call__(self, image: Tensor, /, **feeds: Tensor) -> tuple[Tensor, ...]:
        """Return what the step returns."""
        with parameters_used() as used, OpCounter() as counter:
            outputs = self._step(image, **feeds)
        arrays = [*used, image, *feeds.values(), *outputs]
        done = Work(sum(x.nbytes for x in arrays), counter.flops)
        self._found[self._name] = add(self._found.get(self._name, Work(0.0, 0.0)), done)
        return outputs


def count_iteration(
    phase: Phase, step: int, generator: torch.Generator, switch: Switch, eager: Steps
) -> IterationWork:
    """Compute one iteration in eager torch, and count it.

    Args:
        phase: moved on by one iteration.
        step: number of the iteration.
        generator: of the phase.
        switch: hands out the phase's guidance steps.
        eager: name → the step in eager torch.
    """
    work = IterationWork()

    def counted(name: str, operator: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            result = operator(*args, **kwargs)
            done = work_of(name, args, result)
            if done is not None:
                alone = name not in ONE_PASS and not torch.is_grad_enabled()
                share = 1 / 3 if alone else 1.0  # a backward pass is about two forward ones
                work.half = add(work.half, Work(share * done.bytes, share * done.flops))
            return result

        return run

    counting = Variant("counting", lambda n: CountedStep(eager(n), n, work.steps), "")
    with operators_replaced(counted), switch.taken_by(counting):
        advance(phase, step, generator)
    numbers = sum(p.numel() for p in phase.module.parameters())
    held = (value for values in phase.optimizer.state.values() for value in values.values())
    state = sum(v.numel() for v in held if isinstance(v, Tensor) and v.ndim > 0)
    work.optimiser = Work(4.0 * (3 * numbers + 2 * state), 0.0)
    return work


def add(a: Work, b: Work) -> Work:
    """Both, one after the other."""
    return Work(a.bytes + b.bytes, a.flops + b.flops)


def roofline_shares(
    work: IterationWork, parts_ms: Mapping[str, float], machine: Machine
) -> dict[str, float]:
    """Returns the share of its roofline that each section reaches.

    The differentiable half is one: the operators' formulas have both passes.

    Args:
        work: of one iteration.
        parts_ms: time of each part of it.
        machine: bandwidth and arithmetic, measured in this run.
    """
    shares = {
        name: machine.bound_ms(done) / parts_ms[name]
        for name, done in work.steps.items()
        if parts_ms.get(name, 0.0) > 0
    }
    half = sum(parts_ms.get(name, 0.0) for name in HALF)
    if half > 0:
        shares["differentiable half"] = machine.bound_ms(work.half) / half
    if parts_ms.get(OPTIMISER, 0.0) > 0:
        shares[OPTIMISER] = machine.bound_ms(work.optimiser) / parts_ms[OPTIMISER]
    return shares
