"""Variants in step: the same iteration of a real run, from the same state, by each in turn.

A run goes on as `xbind generate` has it. At the iterations that are sampled, every variant
computes that iteration, in an order that is drawn each time, from the same parameters, optimiser
state and random numbers; then the run goes on from the state it had. So what is timed is the work
of a run, ratios are of equal work, and what the variants return can be compared.
"""

import copy
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from xbind.algorithm.iteration import Phase, advance, restore_phase, save_phase
from xbind.bench.instrument import PartClock, now_on, parts_timed
from xbind.bench.memory import peak_bytes_of
from xbind.bench.timing import Clock
from xbind.bench.variants import Steps, Switch, Variant
from xbind.bench.work import IterationWork, count_iteration


@dataclass(frozen=True, slots=True)
class Turn:
    """Iteration of one variant."""

    seconds: float
    """The whole iteration."""
    parts: Mapping[str, float]
    """Seconds of each part; their sum is the whole but for what the clock itself takes."""
    peak_bytes: int | None
    terms: Mapping[str, float]
    """Unweighted."""
    gradient: Tensor
    """Gradient of the loss in all parameters, flat."""


@dataclass(slots=True)
class Sampled:
    """Measurements of a phase."""

    phase: str
    views: int
    size: int
    steps: int
    """Iterations that the phase has in this run."""
    renders: dict[str, Tensor] = field(default_factory=dict)
    """Variant → the phase's preview from its first sampled state: four views in [0, 1]."""
    turns: dict[str, list[Turn]] = field(default_factory=dict)
    """Variant → its turns; the k-th of each is the same iteration."""
    work: IterationWork | None = None
    """Least work of an iteration."""


class Lockstep:
    """Stands in for `algorithm.iteration.advance` in a run that is measured."""

    def __init__(
        self,
        variants: list[Variant],
        switch: Switch,
        eager: Steps,
        *,
        samples: int,
        clock: Clock,
        seed: int,
        report: Callable[[str], None],
    ) -> None:
        """Measure `samples` iterations of every phase, or all where it has fewer."""
        self.variants, self.samples = variants, samples
        self._switch, self._eager = switch, eager
        self.phases: dict[str, Sampled] = {}
        self._seconds = time.perf_counter if clock == "wall" else time.process_time
        self._chosen: dict[str, set[int]] = {}
        self._random = random.Random(seed)
        self._report = report

    def advance(self, phase: Phase, step: int, generator: torch.Generator) -> dict[str, float]:
        """Runs one iteration; if it is sampled, every variant computes it first."""
        if phase.name not in self._chosen:
            self._chosen[phase.name] = set(draw_steps(phase.steps, self.samples, self._random))
        if step in self._chosen[phase.name]:
            self._take_turns(phase, step, generator)
        return advance(phase, step, generator)

    def _take_turns(self, phase: Phase, step: int, generator: torch.Generator) -> None:
        state = copy.deepcopy(save_phase(phase, step, generator))
        drawn = generator.get_state()

        def from_here() -> None:
            restore_phase(phase, copy.deepcopy(state))
            generator.set_state(drawn)

        if phase.name not in self.phases:
            self.phases[phase.name] = self._prepare(phase, step, generator, from_here)
        turns = self.phases[phase.name].turns
        for variant in self._random.sample(self.variants, len(self.variants)):
            from_here()
            turns[variant.name].append(self._turn(variant, phase, step, generator))
        from_here()

    def _prepare(
        self,
        phase: Phase,
        step: int,
        generator: torch.Generator,
        from_here: Callable[[], None],
    ) -> Sampled:
        """A first round that is not timed: what compiles on first use compiles now."""
        config = phase.config  # type: ignore[attr-defined]
        sampled = Sampled(phase.name, config.views, config.size, phase.steps)
        sampled.turns = {variant.name: [] for variant in self.variants}
        for variant in self.variants:
            self._report(f"{phase.name}: {variant.name} for the first time")
            from_here()
            self._turn(variant, phase, step, generator)
            from_here()
            with self._switch.taken_by(variant):
                sampled.renders[variant.name] = phase.preview()
        from_here()
        sampled.work = count_iteration(phase, step, generator, self._switch, self._eager)
        return sampled

    def _turn(self, variant: Variant, phase: Phase, step: int, generator: torch.Generator) -> Turn:
        device = next(phase.module.parameters()).device
        now = now_on(device, self._seconds)
        clock = PartClock(now)
        spent: list[float] = []

        def iteration() -> dict[str, float]:
            start = now()
            with parts_timed(clock, phase):
                terms = advance(phase, step, generator)
            spent.append(now() - start)
            return terms

        with self._switch.taken_by(variant, clock):
            terms, peak = peak_bytes_of(iteration, device)
        return Turn(spent[0], clock.seconds, peak, terms, gradient_of(phase))


def gradient_of(phase: Phase) -> Tensor:
    """Returns the gradient of the weighted sum in the parameters, as `advance` left it, flat."""
    parameters = list(phase.module.parameters())
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    return torch.cat([grad.detach().flatten() for grad in grads])


def draw_steps(steps: int, samples: int, draw: random.Random) -> list[int]:
    """Returns one iteration of each of `samples` equal parts of a phase, or all of a short one."""
    if samples >= steps:
        return list(range(steps))
    edges = [round(k * steps / samples) for k in range(samples + 1)]
    return [draw.randrange(a, b) for a, b in pairwise(edges)]
