"""The jobs of a server: a queue on disk, and a thread that drives its executor."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from xbind.batch.driver import Driver
from xbind.batch.executor import Executor, Progress
from xbind.batch.jobs import BatchError
from xbind.batch.queue import Queue, Record, State
from xbind.config.serve import ServeConfig
from xbind.config.variants import method_of
from xbind.errors import XBindError
from xbind.run.checks import CONFIG, SAMPLES, read_run_config
from xbind.run.preflight import check_candidate
from xbind.server.errors import BadPrompt, NoSuchJob, Stopped, TooMany

STEP_S = 0.25
"""Seconds for which the driver waits for its executor, before it looks at the queue again."""


class Moment(NamedTuple):
    """A job as it is now; two of them are equal if nothing has changed."""

    record: Record
    progress: Progress | None
    """Stage and step, while it runs."""
    config_ns: int
    """When the run's `config.json` was written, in ns; 0 if it is not there."""


class Service:
    """A queue with its executor. Methods may be called by several threads."""

    def __init__(self, settings: ServeConfig, executor: Executor) -> None:
        """Take the folder; jobs that an earlier server left unfinished wait again.

        Args:
            settings: of the server.
            executor: runs the jobs; closed by `close`.

        Raises:
            BatchError: another process drives the folder, or a record in it is damaged.
            DiskError: the folder cannot be written.
        """
        self.settings = settings
        self.queue = Queue(settings.out.absolute())
        self._executor = executor
        self._progress: dict[str, Progress] = {}
        self._understood: dict[str, tuple[int, dict[str, Any]]] = {}
        self._stop = threading.Event()
        self.failure: BaseException | None = None
        """What ended the driver, if anything has."""
        self.stopping: Callable[[], bool] = self._stop.is_set
        """Whether the server is about to end, so that streams should; set by `serve`."""
        self._held = ExitStack()
        try:
            self._held.enter_context(self.queue.drive())
            self._driver = Driver(self.queue, executor, watcher=self)
        except BaseException:
            self._held.close()
            raise
        self._thread = threading.Thread(target=self._drive, name="driver", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def close(self) -> None:
        """End the workers; what is unfinished waits for the next server."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._executor.close()
        self._held.close()

    def progress(self, record: Record, event: Progress) -> None:
        """Called by the driver: a job is at a step of a stage."""
        self._progress[record.id] = event

    def changed(self, record: Record) -> None:
        """Called by the driver: a job was started or ended."""
        self._progress.pop(record.id, None)

    def find(self, id: str) -> Record | None:
        """Returns the record of a job, or None."""
        try:
            return self.queue.record(id)
        except BatchError:
            return None

    def get(self, id: str) -> Record:
        """Returns the record of a job.

        Raises:
            NoSuchJob: there is none with this id.
        """
        record = self.find(id)
        if record is None:
            raise NoSuchJob(f"There is no job {id[:32]!r}.\nGET /api/jobs lists them.")
        return record

    def folder(self, record: Record) -> Path:
        """The folder of a job's run, which may not be there yet."""
        return self.queue.folder_of(record)

    def moment(self, record: Record) -> Moment:
        """A job as it is now."""
        try:
            written = (self.folder(record) / CONFIG).stat().st_mtime_ns
        except OSError:
            written = 0
        return Moment(record, self._progress.get(record.id), written)

    def understood(self, moment: Moment) -> dict[str, Any]:
        """What a prompt was understood as, as in `config.json`; empty if it is not known yet."""
        id = moment.record.id
        known = self._understood.get(id)
        if known is None or known[0] != moment.config_ns:
            known = (moment.config_ns, _understood(self.folder(moment.record)))
            self._understood[id] = known
        return known[1]

    def check_room(self) -> None:
        """Refuse a further job while too many wait, or where nothing is made any more.

        Raises:
            TooMany: as many wait as may.
            Stopped: the driver has ended.
        """
        if self.failure is not None:
            raise Stopped(f"The server makes no more objects ({self.failure}).\nStart it again.")
        waiting = self.count("queued")
        if waiting >= self.settings.max_queued:
            raise TooMany(f"{waiting} jobs wait, and no more may.\nTry again later.")

    def count(self, *states: State) -> int:
        """Number of jobs in these states."""
        return sum(record.state in states for record in self.queue.records())

    def resume(self, id: str) -> Record:
        """Accept a reference view, or go on with a job that failed or was cancelled.

        Raises:
            NoSuchJob, BatchError: it is not there, or in another state.
            TooMany, Stopped: as of `check_room`.
        """
        self.get(id)
        self.check_room()
        return self.queue.retry(id)

    def cancel(self, id: str) -> Record:
        """End a job; what is there of its run stays.

        Raises:
            NoSuchJob, BatchError: it is not there, or has ended.
        """
        self.get(id)
        return self.queue.cancel(id)

    def delete(self, id: str) -> None:
        """Remove a job with its files.

        Raises:
            NoSuchJob, BatchError: it is not there, or has not ended.
        """
        self.get(id)
        self.queue.remove(id)
        self._understood.pop(id, None)

    def candidates(self, record: Record) -> int:
        """Number of the sampled reference views that the run's folder shows; 0 without any."""
        if not (self.folder(record) / SAMPLES).is_file():
            return 0
        return method_of(record.job.config).reference.candidates

    def again(
        self, id: str, *, seed: int, preset: str | None, review: bool, candidate: int | None
    ) -> Record:
        """Enter a job for the prompt of another one, with another seed, preset or reference view.

        Raises:
            NoSuchJob: it is not there.
            BadPrompt: the candidate is not one of those that are drawn.
            TooMany, Stopped: as of `check_room`.
            XBindError: as of `Queue.submit`.
        """
        config = self.get(id).job.config
        self.check_room()
        try:
            changed = replace(
                config, seed=seed, preset=preset or config.preset, reference_only=review,
                candidate=candidate,
            )  # fmt: skip
            check_candidate(changed, method_of(changed))
        except (ValueError, XBindError) as error:
            raise BadPrompt(str(error)) from error
        return self.queue.submit(changed)

    def _drive(self) -> None:
        try:
            while not self._stop.is_set():
                self._driver.step(STEP_S)
        except BaseException as error:
            self.failure = error
            raise


def _understood(run: Path) -> dict[str, Any]:
    if not (run / CONFIG).is_file():
        return {}
    try:
        return dict(read_run_config(run).get("understood", {}))
    except XBindError:  # damaged: the run says so when it is resumed
        return {}
