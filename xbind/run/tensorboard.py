"""A reporter that also writes losses and previews for TensorBoard."""

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from xbind.errors import XBindError
from xbind.files import disk_errors
from xbind.run.checks import TENSORBOARD
from xbind.run.progress import Reporter, StepRecord

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoardMissing(XBindError):
    """TensorBoard is asked for and not installed."""


def check_tensorboard() -> None:
    """Refuses to log where TensorBoard is missing; it is not imported.

    Raises:
        TensorBoardMissing: says what to type.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise TensorBoardMissing(
            "--tensorboard needs TensorBoard, which is not installed.\n"
            "Type pip install 'xbind[tensorboard]', or leave out --tensorboard."
        )


@contextmanager
def with_tensorboard(shown: Reporter, out: Path) -> Iterator[Reporter]:
    """Yields a reporter that passes all to `shown` and logs to the folder of the run `out`.

    `shown` is entered already; the files of TensorBoard are closed at the end.
    """
    reporter = TensorBoardReporter(shown, out)
    try:
        yield reporter
    finally:
        reporter.close()


class TensorBoardReporter:
    """Writes each term as the scalar `loss/TERM` and previews as the image `preview`.

    Every stage is a run of TensorBoard, in OUT/tensorboard/STAGE, with its own steps from 1.
    Nothing is written before the first stage: only then does the folder belong to this run.
    """

    def __init__(self, shown: Reporter, out: Path) -> None:
        self._shown = shown
        self._folder = out / TENSORBOARD
        self._writer: SummaryWriter | None = None
        self._step = 0

    def __enter__(self) -> Self:
        self._shown.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
        self._shown.__exit__(*error)

    def phase_started(self, name: str, steps: int, done: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.close()
        self._step = done
        folder = self._folder / name
        with disk_errors(folder):
            # what an interrupted run logged after its last checkpoint is computed again: hide it
            self._writer = SummaryWriter(str(folder), purge_step=done + 1)
        self._shown.phase_started(name, steps, done)

    def step(self, record: StepRecord) -> None:
        assert self._writer is not None, "step() before phase_started()"
        self._step = record.step
        with disk_errors(self._folder):
            for name, value in record.terms.items():
                self._writer.add_scalar(f"loss/{name}", value, record.step)
        self._shown.step(record)

    def preview(self, path: Path) -> None:
        import numpy as np
        from PIL import Image

        if self._writer is not None:
            with disk_errors(path), Image.open(path) as picture:
                pixels = np.asarray(picture.convert("RGB"))
            self._writer.add_image("preview", pixels, self._step, dataformats="HWC")
        self._shown.preview(path)

    def message(self, text: str) -> None:
        self._shown.message(text)

    def finished(self, outputs: Sequence[Path], seconds: float) -> None:
        self._shown.finished(outputs, seconds)

    def close(self) -> None:
        """Writes what is buffered. The next stage opens files of its own."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            with disk_errors(self._folder):
                writer.close()
