"""Parity of a compiled graph with torch: the gate that every engine passes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xbind.engine.errors import ParityError

Run = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]
SCALAR_FLOOR = 0.01
"""Below this a scalar's error counts as it is: a sum of signed terms may be 0."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Tolerances of an output against float32 torch."""

    cosine: float
    """At least this, for what has a direction."""
    relative: float
    """‖difference‖ / ‖reference‖, at most."""


TOLERANCES = {
    "float32": Tolerance(cosine=0.9999, relative=1e-3),
    "float16": Tolerance(cosine=0.999, relative=0.03),
    "bfloat16": Tolerance(cosine=0.995, relative=0.1),
    "mixed": Tolerance(cosine=0.999, relative=0.03),
}
"""By precision; float32 as strict as the sums of a gradient allow, where their order differs."""


@dataclass(frozen=True, slots=True)
class Figure:
    """Worst case of one output over all trials."""

    output: str
    cosine: float
    relative: float
    is_finite: bool

    def __str__(self) -> str:
        finite = "" if self.is_finite else ", not finite"
        return f"{self.output}: cosine {self.cosine:.6f}, relative {self.relative:.1e}{finite}"

    def passes(self, tolerance: Tolerance) -> bool:
        """Returns True if the output is within its tolerances."""
        close = self.cosine >= tolerance.cosine and self.relative <= tolerance.relative
        return self.is_finite and close


def measure(reference: Run, candidate: Run, trials: Sequence[Mapping[str, Tensor]]) -> list[Figure]:
    """Run both on every trial and keep each output's worst figures.

    Args:
        reference: float32 torch.
        candidate: what is to be used in its place.
        trials: feeds that were *not* those of the recording, at several noise levels: what has
            been baked into a graph shows only on others.
    """
    worst: dict[str, Figure] = {}
    for feeds in trials:
        wanted, found = reference(feeds), candidate(feeds)
        for name, value in wanted.items():
            figure = compare(name, value, found[name])
            worst[name] = _worse(worst.get(name, figure), figure)
    return list(worst.values())


def compare(name: str, wanted: Tensor, found: Tensor) -> Figure:
    """Figures of one output."""
    a, b = wanted.double().flatten(), found.double().flatten()
    floor = SCALAR_FLOOR if a.numel() == 1 else torch.finfo(torch.float32).tiny
    relative = float((b - a).norm() / a.norm().clamp_min(floor))
    cosine = 1.0
    if a.numel() > 1 and float(a.norm()) > 0:
        cosine = float(a @ b / (a.norm() * b.norm()).clamp_min(1e-300))
    return Figure(name, cosine, relative, bool(torch.isfinite(found).all()))


def _worse(a: Figure, b: Figure) -> Figure:
    cosine, relative = min(a.cosine, b.cosine), max(a.relative, b.relative)
    return Figure(a.output, cosine, relative, a.is_finite and b.is_finite)


def gate(graph: str, backend: str, figures: Sequence[Figure], tolerance: Tolerance) -> None:
    """Refuse a graph that is not what torch computes.

    Raises:
        ParityError: names the first output that is too far away.
    """
    for figure in figures:
        if not figure.passes(tolerance):
            raise ParityError(
                f"{graph!r} on {backend} is not what float32 torch computes: {figure}\n"
                f"  wanted: cosine ≥ {tolerance.cosine}, relative ≤ {tolerance.relative}\n"
                "The engine is not kept. Choose another --engine or --precision."
            )
