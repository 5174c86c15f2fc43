"""From sampled iterations to figures: times, ratio, parity and roofline beside each other."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean, median

from torch.nn.functional import cosine_similarity

from xbind.bench.lockstep import Sampled, Turn
from xbind.bench.timing import Clock, Machine, describe_commit, describe_versions, device_name
from xbind.bench.variants import EAGER, PLAIN
from xbind.bench.work import roofline_shares
from xbind.config.options import Precision

TOLERANCE = {"float32": (0.999, 0.03), "float16": (0.99, 0.15), "bfloat16": (0.97, 0.3)}
"""Precision → least cosine and largest relative error of the parameters' gradient against the
reference variant. An engine's own gate is tighter; here a pixel at a silhouette, or a sample at
the edge of an occupied cell, may fall to the other side."""
SAME_PICTURE = 1e-3
"""Largest mean difference of two renders in [0, 1]."""


TERM_FLOOR = 1e-3
"""Terms smaller than this are compared absolutely: a regulariser near 0 is a difference of large
numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseRow:
    """Variant in a phase; a line of JSON."""

    kind: str = "phase"
    preset: str
    bundle: str
    phase: str
    form: str
    """The variant."""
    size: int
    views: int
    steps: int
    samples: int
    """Iterations that were measured."""
    mean_ms: float
    p50_ms: float
    least_ms: float
    parts_ms: dict[str, float]
    """Mean of each part; they add up to the mean."""
    iterations_per_second: float
    views_per_second: float
    against: str
    """The variant that ratio and parity are against."""
    ratio: float
    """Ratio of times to the reference: median over the sampled iterations."""
    times_eager: float | None
    """The same against `eager`, which has the same operators: what the engine alone gives."""
    term_error: float
    """Largest relative difference of a loss term."""
    gradient_cosine: float
    """Cosine of the gradient in all parameters: the least over the sampled iterations."""
    gradient_error: float
    """Relative error of the same: the largest."""
    render_difference: float
    """Mean difference of four views in [0, 1]."""
    agrees: bool
    peak_bytes: int | None
    """Most memory of an iteration beyond what was held before it."""
    roofline: dict[str, float]
    """Part → share of its roofline that it reaches."""
    precision: str
    """Precision of the engines."""
    clock: str
    threads: int
    device: str
    gigabytes_per_second: float
    gigaflops_per_second: float
    versions: str
    commit: str


@dataclass(frozen=True, slots=True)
class Parity:
    """Largest differences of a variant from another, over all sampled iterations."""

    term_error: float
    gradient_cosine: float
    gradient_error: float

    def holds(self, precision: Precision) -> bool:
        """Returns True if the two agree."""
        least, largest = TOLERANCE[precision]
        return (
            self.gradient_cosine >= least
            and self.gradient_error <= largest
            and self.term_error <= largest
        )


def rows_of(
    sampled: Sampled,
    machine: Machine,
    *,
    preset: str,
    bundle: str,
    precision: Precision,
    clock: Clock,
) -> Iterator[PhaseRow]:
    """The figures of every variant in one phase, against `plain` or else `eager`."""
    against = next((n for n in (PLAIN, EAGER) if n in sampled.turns), next(iter(sampled.turns)))
    reference = sampled.turns[against]
    for name, turns in sampled.turns.items():
        parity = parity_of(turns, reference)
        apart = float((sampled.renders[name] - sampled.renders[against]).abs().mean())
        ms = [1e3 * turn.seconds for turn in turns]
        parts = mean_parts_ms(turns)
        peaks = [turn.peak_bytes for turn in turns if turn.peak_bytes is not None]
        assert sampled.work is not None
        yield PhaseRow(
            preset=preset, bundle=bundle, phase=sampled.phase, form=name, size=sampled.size,
            views=sampled.views, steps=sampled.steps, samples=len(turns), mean_ms=fmean(ms),
            p50_ms=median(ms), least_ms=min(ms), parts_ms=parts,
            iterations_per_second=1e3 / fmean(ms),
            views_per_second=1e3 * sampled.views / fmean(ms), against=against,
            ratio=paired_ratio(turns, reference),
            times_eager=paired_ratio(turns, eager) if (eager := sampled.turns.get(EAGER)) else None,
            term_error=parity.term_error,
            gradient_cosine=parity.gradient_cosine, gradient_error=parity.gradient_error,
            render_difference=apart, agrees=parity.holds(precision) and apart <= SAME_PICTURE,
            peak_bytes=max(peaks) if peaks else None,
            roofline=roofline_shares(sampled.work, parts, machine), precision=precision,
            clock=clock, threads=machine.threads, device=device_name(machine.device),
            gigabytes_per_second=machine.bytes_per_second / 1e9,
            gigaflops_per_second=machine.flops_per_second / 1e9,
            versions=describe_versions(), commit=describe_commit(),
        )  # fmt: skip


def paired_ratio(turns: list[Turn], reference: list[Turn]) -> float:
    """Returns the median ratio to the reference's time, over iterations that both computed.

    What else the machine does meets two neighbours in time alike, so each ratio is of such two.
    """
    return median(b.seconds / a.seconds for a, b in zip(turns, reference, strict=True))


def mean_parts_ms(turns: list[Turn]) -> dict[str, float]:
    """Mean time of each part; what an iteration does not have counts as 0 there."""
    names = dict.fromkeys(name for turn in turns for name in turn.parts)
    return {name: 1e3 * fmean(turn.parts.get(name, 0.0) for turn in turns) for name in names}


def parity_of(turns: list[Turn], reference: list[Turn]) -> Parity:
    """The worst differences of the same iterations by two variants."""
    pairs = list(zip(turns, reference, strict=True))
    gradients = [(a.gradient.double(), b.gradient.double()) for a, b in pairs]
    return Parity(
        max(term_error(a.terms, b.terms) for a, b in pairs),
        min(float(cosine_similarity(a, b, dim=0)) for a, b in gradients),
        max(float((a - b).norm() / b.norm().clamp_min(1e-30)) for a, b in gradients),
    )


def term_error(terms: Mapping[str, float], reference: Mapping[str, float]) -> float:
    """Largest relative difference of a term, infinite where one of the two lacks it."""
    if terms.keys() != reference.keys():
        return float("inf")
    return max(
        abs(terms[name] - wanted) / max(abs(wanted), TERM_FLOOR)
        for name, wanted in reference.items()
    )
