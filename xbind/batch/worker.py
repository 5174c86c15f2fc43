"""What a worker process does with a task: start or resume its run, then put it in its place."""

import errno
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from xbind.api import run_config
from xbind.batch.executor import Finished, Progress, Task
from xbind.config.options import GenerateConfig
from xbind.config.variants import method_of, priors_of
from xbind.files import disk_errors, sync_folder
from xbind.networks.loaded import LoadedNetworks
from xbind.networks.manifest import load_manifest
from xbind.run.checks import RunError, holds_run, open_lock, take_lock
from xbind.run.progress import StepRecord
from xbind.run.resuming import started_config
from xbind.system.device import choose_device

PROGRESS_EVERY_S = 0.5
"""Time between two reports of progress (no value in the paper): a step may take a millisecond."""
LOCK_TIMEOUT_S = 60.0
"""How long to wait for a process of an earlier driver to leave the run's folder; it ends itself
when it next reports progress, or its pipe closes."""

Send = Callable[[Progress], None]


class Worker:
    """Runs tasks, one after another, with networks that stay loaded between them."""

    def __init__(self) -> None:
        self._networks: LoadedNetworks | None = None
        self._loaded: object = None

    def run(self, task: Task, send: Send) -> Finished:
        """Runs a task to its end. What an earlier attempt has done is not done again.

        Args:
            task: the job and its folders.
            send: receives progress; what it raises ends the run.

        Raises:
            XBindError: anything the user can act on. The run stays and can be resumed.
        """
        started = time.monotonic()
        reporter = _Reporter(task.job.id, send)
        if not task.result.exists():
            self._make(task, reporter)
        return Finished(task.job.id, time.monotonic() - started, tuple(reporter.messages))

    def _make(self, task: Task, reporter: "_Reporter") -> None:
        if task.job.config.reference_only and (task.work / "reference.png").is_file():
            return
        wait_for_lock(task.work)
        config = _config_of(task, reporter)
        with reporter:
            run_config(config, reporter, self._networks_for(config))
        if not task.job.config.reference_only:
            publish(task.work, task.result)

    def _networks_for(self, config: GenerateConfig) -> LoadedNetworks:
        """The networks of a run: those that are loaded, if they are the same."""
        method = method_of(config)
        manifest = load_manifest(config.bundle).with_priors(*priors_of(config, method))
        device, keep = choose_device(config.device), config.vram is None
        priors = manifest.component_2d, manifest.component_3d
        wanted = (manifest.digest, manifest.deciding, priors, device, keep)
        if self._networks is None or wanted != self._loaded:
            if self._networks is not None:
                self._networks.close()
                self._networks = None  # before the next are loaded, to save memory
            self._networks = LoadedNetworks(manifest, device, keep_engines=keep)
            self._loaded = wanted
        return self._networks


def publish(work: Path, result: Path) -> None:
    """Moves a finished run to its place, which has the whole run or nothing.

    Where another attempt was first, its run stays and this one is removed.

    Raises:
        DiskError: the folder cannot be moved.
    """
    with disk_errors(result):
        try:
            work.rename(result)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            shutil.rmtree(work)
        sync_folder(result.parent)


def wait_for_lock(work: Path, timeout_s: float = LOCK_TIMEOUT_S) -> None:
    """Waits until no process writes into a run's folder.

    Raises:
        RunError: one still does after `timeout_s` seconds.
    """
    if not work.is_dir():
        return
    end = time.monotonic() + timeout_s
    while True:
        with open_lock(work) as file:
            try:
                take_lock(work, file)
                return
            except RunError:
                if time.monotonic() > end:
                    raise
        time.sleep(0.1)


def _config_of(task: Task, reporter: "_Reporter") -> GenerateConfig:
    """Settings that resume the run in the task's folder, or start it."""
    if holds_run(task.work) and not task.job.config.reference_only:
        try:
            return started_config(task.work)
        except RunError as error:
            reporter.message(f"The run starts from its beginning: {error}")
    return replace(task.job.config, out=task.work, overwrite=True)


class _Reporter:
    """Keeps messages and sends progress."""

    def __init__(self, id: str, send: Send) -> None:
        self.messages: list[str] = []
        self._id, self._send = id, send
        self._steps, self._last = 0, 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def phase_started(self, name: str, steps: int, done: int = 0) -> None:
        self._steps, self._last = steps, time.monotonic()
        self._send(Progress(self._id, name, done, steps))

    def step(self, record: StepRecord) -> None:
        now = time.monotonic()
        if now - self._last >= PROGRESS_EVERY_S or record.step == self._steps:
            self._last = now
            self._send(Progress(self._id, record.phase, record.step, self._steps))

    def preview(self, path: Path) -> None:
        pass

    def message(self, text: str) -> None:
        self.messages.append(text)

    def finished(self, outputs: Sequence[Path], seconds: float) -> None:
        pass
