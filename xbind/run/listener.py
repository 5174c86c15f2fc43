"""A reporter for callers of the library."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from xbind.run.progress import Reporter, StepRecord

OnStep = Callable[[StepRecord], object]
"""Called after every optimisation step, with the stage, the step and its loss terms."""


class Listener:
    """A reporter that keeps messages, calls `on_step`, and shows progress on another reporter."""

    def __init__(self, shown: Reporter | None, on_step: OnStep | None) -> None:
        self.messages: list[str] = []
        self._shown = shown
        self._on_step = on_step

    def __enter__(self) -> Self:
        if self._shown is not None:
            self._shown.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self._shown is not None:
            self._shown.__exit__(*error)

    def phase_started(self, name: str, steps: int, done: int = 0) -> None:
        if self._shown is not None:
            self._shown.phase_started(name, steps, done)

    def step(self, record: StepRecord) -> None:
        if self._shown is not None:
            self._shown.step(record)
        if self._on_step is not None:
            self._on_step(record)

    def preview(self, path: Path) -> None:
        if self._shown is not None:
            self._shown.preview(path)

    def message(self, text: str) -> None:
        self.messages.append(text)
        if self._shown is not None:
            self._shown.message(text)

    def finished(self, outputs: Sequence[Path], seconds: float) -> None:
        if self._shown is not None:
            self._shown.finished(outputs, seconds)
