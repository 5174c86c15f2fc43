"""A worker on a node of a cluster: computes in a local folder, and mirrors what can be resumed.

The run is written to the node's temporary folder. After each checkpoint, what is needed to resume
it is copied into the shared folder; a finished run is copied there under another name and renamed.
So a node that is cut off and still computes damages nothing that another attempt writes.
"""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import IO

from xbind.batch.executor import Failed, Finished, Progress, Task
from xbind.batch.worker import Worker, publish
from xbind.errors import XBindError
from xbind.files import atomic_write, disk_errors, lock
from xbind.run.checks import CHECKPOINTS, LOCK, holds_run
from xbind.scene.mesh.dmtet import EmptySurface

_PREFIX = "xbind-batch-"
_OWNER = ".owner"


class RemoteWorker:
    """The actor: runs tasks one after another, with networks that stay loaded."""

    def __init__(self) -> None:
        remove_scratch()
        self._scratch = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._owner = _owned(self._scratch)
        self._worker = Worker()

    def run(self, task: Task) -> Finished | Failed:
        """Runs a task to its end; its run is resumed from what an earlier attempt has mirrored.

        Raises:
            Exception: a bug, or a failed allocation.
        """
        local = replace(
            task, work=self._scratch / "work", result=self._scratch / task.result.name
        )  # fmt: skip
        if task.result.exists():
            return Finished(task.job.id, 0.0)
        mirror = Mirror(local.work, task.work)
        try:
            mirror.fetch()

            def send(progress: Progress) -> None:
                del progress
                mirror.push()

            event = self._worker.run(local, send)
            if task.job.config.reference_only:
                mirror.push()
            else:
                self._deliver(local.result, task)
        except XBindError as error:
            return Failed(task.job.id, str(error), isinstance(error, EmptySurface))
        finally:
            shutil.rmtree(local.work, ignore_errors=True)
            shutil.rmtree(local.result, ignore_errors=True)
        return event

    def _deliver(self, run: Path, task: Task) -> None:
        """Copy a finished run into the shared folder, whole or not at all."""
        with disk_errors(task.result):
            task.work.parent.mkdir(parents=True, exist_ok=True)
            for left in task.work.parent.glob(f".{task.result.name}.*"):  # by a killed attempt
                shutil.rmtree(left, ignore_errors=True)
            stage = Path(tempfile.mkdtemp(prefix=f".{task.result.name}.", dir=task.work.parent))
            try:
                shutil.copytree(run, stage / "run", ignore=shutil.ignore_patterns(LOCK))
                publish(stage / "run", task.result)
            finally:
                shutil.rmtree(stage, ignore_errors=True)
            shutil.rmtree(task.work, ignore_errors=True)


class Mirror:
    """A copy of a run that can be resumed from."""

    def __init__(self, run: Path, copy: Path) -> None:
        """Nothing is copied yet.

        Args:
            run: folder of the run.
            copy: where the copy is, or will be.
        """
        self._run, self._copy = run, copy
        self._newest = ""

    def fetch(self) -> None:
        """Takes the run from its copy, if there is one.

        Raises:
            DiskError: it cannot be copied.
        """
        with disk_errors(self._run):
            shutil.rmtree(self._run, ignore_errors=True)
            if holds_run(self._copy):
                shutil.copytree(self._copy, self._run, ignore=shutil.ignore_patterns(".*"))
        self._newest = _newest(self._run)

    def push(self) -> None:
        """Brings the copy up to date if there is a new checkpoint.

        The checkpoint comes last, so that whatever it refers to is there; those that the run has
        removed go after it.

        Raises:
            DiskError: the copy cannot be written.
        """
        newest = _newest(self._run)
        if newest == self._newest:
            return
        files = [p for p in self._run.rglob("*") if p.is_file() and not p.name.startswith(".")]
        checkpoints = self._run / CHECKPOINTS
        for path in sorted(files, key=lambda path: path.parent == checkpoints):
            copy = self._copy / path.relative_to(self._run)
            if path.parent == checkpoints and copy.exists():
                continue
            with disk_errors(copy):
                copy.parent.mkdir(parents=True, exist_ok=True)
                content = path.read_bytes()
            atomic_write(copy, content)
        kept = {path.name for path in checkpoints.iterdir()}
        with disk_errors(self._copy):
            for path in (self._copy / CHECKPOINTS).glob("*.pt"):
                if path.name not in kept:
                    path.unlink(missing_ok=True)
        self._newest = newest


def remove_scratch() -> None:
    """Removes folders of workers that were killed on this machine."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            with (folder / _OWNER).open("a") as file:
                if lock(file):
                    shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # somebody else's, or in use
            continue


def _owned(folder: Path) -> IO[str]:
    """Mark a folder as in use until this process ends."""
    file = (folder / _OWNER).open("a")
    lock(file)
    return file


def _newest(run: Path) -> str:
    """Name of the newest checkpoint; names begin with the number of steps."""
    return max((path.name for path in (run / CHECKPOINTS).glob("*.pt")), default="")
