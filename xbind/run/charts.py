"""Loss curves of a run as points of small charts."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CHART = (240, 90)
"""Width and height of one chart, in pixels."""
MARGIN = 4
"""Free pixels above and below a curve."""
SMOOTHING = 0.1
"""Share of the new value in the smoothed curve of a term."""
MAX_POINTS = 480
"""Points of a drawn curve, two per pixel of its width; more cannot be seen."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Curve of one loss term over the steps of a phase."""

    phase: str
    term: str
    raw: str
    """Points of an SVG polyline in a chart of size `CHART`."""
    smooth: str
    """Likewise, of the running mean."""
    low: float
    high: float
    last: float
    """Least, greatest and last value, before the term's weight."""


def read_curves(events: Iterable[Mapping[str, Any]]) -> list[Curve]:
    """Returns a curve for every term of every phase, in the order in which they appear.

    Args:
        events: records of `events.jsonl`. Values that are not finite numbers are left out.
    """
    found: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
    for event in events:
        phase, step = event.get("phase"), event.get("step")
        if not isinstance(phase, str) or not isinstance(step, int):
            continue
        for term, value in event.items():
            if term != "step" and _is_number(value):
                found[phase, term].append((step, float(value)))
    return [_curve(phase, term, points) for (phase, term), points in found.items()]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _curve(phase: str, term: str, points: Sequence[tuple[int, float]]) -> Curve:
    smooth, running = [], points[0][1]
    for step, value in points:
        running += SMOOTHING * (value - running)
        smooth.append((step, running))
    values = [value for _, value in points]
    low, high = min(values), max(values)
    first, last = points[0][0], points[-1][0]
    width, height = CHART
    across = width / max(1, last - first)
    up = (height - 2 * MARGIN) / max(high - low, 1e-12)

    def polyline(curve: Sequence[tuple[int, float]]) -> str:
        stride = max(1, math.ceil(len(curve) / MAX_POINTS))
        shown = [*curve[:-1:stride], curve[-1]] if stride > 1 else curve
        return " ".join(
            f"{across * (step - first):.1f},{height - MARGIN - up * (value - low):.1f}"
            for step, value in shown
        )

    return Curve(phase, term, polyline(points), polyline(smooth), low, high, values[-1])
