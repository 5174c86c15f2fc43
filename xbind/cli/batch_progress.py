"""Progress of a batch: a live display in a terminal, else a line for each change."""

import sys
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from xbind.batch.driver import Watcher
from xbind.batch.executor import Progress as JobProgress
from xbind.batch.queue import Record
from xbind.errors import printable
from xbind.run.progress import format_seconds

_WIDTH = 36
"""Characters of a prompt in the live display."""


class BatchWatcher(Watcher, Protocol):
    """A watcher that is a context manager, so that a live display is always closed."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


def choose_watcher(total: int, stream: TextIO | None = None) -> BatchWatcher:
    """Returns a live display if `stream` (standard output by default) is a terminal, else lines.

    Args:
        total: number of jobs to come.
        stream: where it is shown.
    """
    stream = sys.stdout if stream is None else stream
    console = Console(file=stream)
    if console.is_terminal and not console.is_dumb_terminal:
        return RichWatcher(total, console)
    return PlainWatcher(total, stream)


def describe(record: Record) -> str:
    """Returns a line about the new state of a job."""
    job = record.job
    head = f"{job.label}, seed {job.config.seed}"
    match record.state:
        case "done":
            return f"{head}: done in {format_seconds(record.seconds)}"
        case "running":
            return f"{head}: started" + (
                f" (attempt {record.attempts})" if record.attempts > 1 else ""
            )
        case "queued":
            return f"{head}: its worker died ({record.error}); the run is resumed"
        case state:
            why = (record.error or "").partition("\n")[0]
            return f"{head}: {state}" + (f": {why}" if why else "")


class PlainWatcher:
    """A line for each job that starts or ends."""

    def __init__(self, total: int, stream: TextIO) -> None:
        self._total, self._stream, self._ended = total, stream, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.flush()

    def progress(self, record: Record, event: JobProgress) -> None:
        pass

    def changed(self, record: Record) -> None:
        self._ended += record.ended
        self._stream.write(f"[{self._ended}/{self._total}] {printable(describe(record))}\n")
        self._stream.flush()


class RichWatcher:
    """A bar for the batch and one for each job that runs; what ended is printed above them."""

    def __init__(self, total: int, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(), console=console,
        )  # fmt: skip
        self._all = self._progress.add_task("objects", total=total)
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def progress(self, record: Record, event: JobProgress) -> None:
        label = printable(record.job.label)[:_WIDTH]
        self._progress.update(
            self._bar(record), completed=event.step, total=event.steps,
            description=f"{label} s{record.job.config.seed} {event.stage}",
        )  # fmt: skip

    def changed(self, record: Record) -> None:
        if record.state == "running":
            self._bar(record)
            return
        if (bar := self._bars.pop(record.id, None)) is not None:
            self._progress.remove_task(bar)
        self._progress.console.print(
            printable(describe(record)), markup=False, highlight=False, emoji=False
        )
        if record.ended:
            self._progress.advance(self._all)

    def _bar(self, record: Record) -> TaskID:
        if record.id not in self._bars:
            self._bars[record.id] = self._progress.add_task(
                f"{printable(record.job.label)[:_WIDTH]} s{record.job.config.seed}", total=None
            )
        return self._bars[record.id]
