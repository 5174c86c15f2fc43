"""Reporters of a run: a live display, and plain lines.

A phase yields records and prints nothing; whoever consumes them hands them to a `Reporter`.
"""

import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TextIO, runtime_checkable

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from xbind.errors import printable

LINES_PER_PHASE = 20
"""Approximate number of lines of the plain reporter per phase."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRecord:
    """Record of one optimisation step; a line of `events.jsonl`."""

    phase: str
    """Name of the phase, such as `coarse`."""
    step: int
    """Steps of this phase that are done, this one included: the first record says 1."""
    terms: Mapping[str, float]
    """Each loss term before its weight, and anything else worth a number."""


@runtime_checkable
class Reporter(Protocol):
    """Protocol of a reporter; a context manager, so that a live display is always removed."""

    def __enter__(self) -> "Reporter": ...

    def __exit__(self, *error: object) -> None: ...

    def phase_started(self, name: str, steps: int, done: int = 0) -> None:
        """A phase of `steps` steps begins; `done` of them were made before an interruption."""

    def step(self, record: StepRecord) -> None:
        """Reports a finished step of the current phase."""

    def preview(self, path: Path) -> None:
        """A picture of the work in hand was written."""

    def message(self, text: str) -> None:
        """Something the user should know: a choice made, a warning."""

    def finished(self, outputs: Sequence[Path], seconds: float) -> None:
        """All is done: what came out, and how long the run took in all."""


def choose_reporter(stream: TextIO | None = None) -> Reporter:
    """A live display when `stream` (standard output by default) is a terminal, else plain lines."""
    stream = sys.stdout if stream is None else stream
    console = Console(file=stream)
    if console.is_terminal and not console.is_dumb_terminal:
        return RichReporter(console)
    return PlainReporter(stream)


class PlainReporter:
    """Lines of text, some twenty for each phase: for files, pipes and dumb terminals."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._steps, self._first, self._started = 1, 0, time.monotonic()

    def __enter__(self) -> "PlainReporter":
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.flush()

    def phase_started(self, name: str, steps: int, done: int = 0) -> None:
        self._steps, self._first, self._started = steps, done, time.monotonic()
        again = f", {done} done before" if done else ""
        self.message(f"{name}: {steps} steps{again}")

    def step(self, record: StepRecord) -> None:
        every = max(1, self._steps // LINES_PER_PHASE)
        if record.step % every and record.step != self._steps:
            return
        pace = (time.monotonic() - self._started) / max(1, record.step - self._first)
        self.message(
            f"{record.phase} {record.step}/{self._steps}  {format_terms(record.terms)}  "
            f"left {format_seconds(pace * (self._steps - record.step))}  "
            f"peak {format_bytes(peak_memory_bytes())}"
        )

    def preview(self, path: Path) -> None:
        self.message(f"preview {path}")

    def message(self, text: str) -> None:
        self._stream.write(f"{printable(text)}\n")
        self._stream.flush()

    def finished(self, outputs: Sequence[Path], seconds: float) -> None:
        self.message(format_result(outputs, seconds))


class RichReporter:
    """Live display: a bar per phase, the latest loss terms, the peak memory."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task: TaskID | None = None
        self._terms: Mapping[str, float] = {}
        self._preview: Path | None = None
        self._live = Live(get_renderable=self._render, console=console, refresh_per_second=4)

    def __enter__(self) -> "RichReporter":
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def phase_started(self, name: str, steps: int, done: int = 0) -> None:
        self._terms = {}
        self._task = self._progress.add_task(name, total=steps, completed=done)

    def step(self, record: StepRecord) -> None:
        assert self._task is not None, "step() before phase_started()"
        self._terms = record.terms
        self._progress.update(self._task, completed=record.step)

    def preview(self, path: Path) -> None:
        self._preview = path

    def message(self, text: str) -> None:
        self._live.console.print(printable(text), markup=False, highlight=False, emoji=False)

    def finished(self, outputs: Sequence[Path], seconds: float) -> None:
        self._terms, self._preview = {}, None
        self.message(format_result(outputs, seconds))

    def _render(self) -> RenderableType:
        lines = [format_terms(self._terms)] if self._terms else []
        if self._preview is not None:
            lines.append(f"preview  {printable(str(self._preview))}")
        lines.append(f"peak memory  {format_bytes(peak_memory_bytes())}")
        return Group(self._progress, Text("\n".join(lines), style="dim"))


def peak_memory_bytes() -> int:
    """The most main memory this process has held so far (peak resident set), in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def format_terms(terms: Mapping[str, float]) -> str:
    """Terms on one line, four digits each."""
    return "  ".join(f"{name} {value:.4g}" for name, value in terms.items())


def format_seconds(seconds: float) -> str:
    """Returns whole seconds as `45 s`, `2 min 05 s` or `1 h 02 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def format_bytes(count: float) -> str:
    """A size as `512 B`, `3.4 KiB`, `1.2 GiB`."""
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    power = 0
    while count >= 1024 and power < len(units) - 1:
        count, power = count / 1024, power + 1
    return f"{count:.0f} B" if power == 0 else f"{count:.1f} {units[power]}"


def format_result(outputs: Sequence[Path], seconds: float) -> str:
    """The closing lines of a run."""
    head = f"Done in {format_seconds(seconds)}, peak memory {format_bytes(peak_memory_bytes())}."
    return "\n".join([head, *(f"  {path}" for path in outputs)])
