"""The driver of a queue: gives jobs to an executor and writes down what becomes of them."""

from collections.abc import Collection
from typing import Protocol

from xbind.batch.executor import Died, Event, Executor, Failed, Finished, Progress, Task
from xbind.batch.queue import Queue, Record, State
from xbind.config.batch import ATTEMPTS


class Watcher(Protocol):
    """Receives what happens to jobs."""

    def progress(self, record: Record, event: Progress) -> None:
        """A job is at a step of a stage."""

    def changed(self, record: Record) -> None:
        """A job was started, ended, or is queued again after its process died."""


class Driver:
    """Runs the jobs of a queue. `step` is called by one thread, again and again."""

    def __init__(
        self,
        queue: Queue,
        executor: Executor,
        *,
        ids: Collection[str] | None = None,
        attempts: int = ATTEMPTS,
        watcher: Watcher | None = None,
    ) -> None:
        """Queue again what an earlier driver left running.

        Args:
            queue: held with `Queue.drive`.
            executor: runs the jobs; not closed here.
            ids: the jobs of this driver; by default all, also those that are submitted later.
            attempts: processes that may die on a job before it fails.
            watcher: receives what happens.
        """
        self._queue, self._executor = queue, executor
        self._ids, self._attempts, self._watcher = ids, attempts, watcher
        self._running: set[str] = set()
        queue.recover(ids)

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing is queued."""
        return not self._running and not any(
            record.state == "queued" and (self._ids is None or record.id in self._ids)
            for record in self._queue.records()
        )

    def step(self, timeout_s: float = 1.0) -> None:
        """Stop what was cancelled, start what can start, and handle what happens next.

        Args:
            timeout_s: how long to wait for something to happen.

        Raises:
            DiskError: a record cannot be written.
        """
        for id in sorted(self._running):
            if self._queue.record(id).state == "cancelled":
                self._executor.stop(id)
                self._running.discard(id)
                self._changed(self._queue.release(id))
        while self._executor.free() > 0:
            record = self._queue.take(self._ids)
            if record is None:
                break
            self._running.add(record.id)
            self._changed(record)
            self._executor.start(
                Task(
                    job=record.job,
                    work=self._queue.work_of(record.job),
                    result=self._queue.result_of(record.job),
                )
            )
        for event in self._executor.wait(timeout_s):
            self._handle(event)

    def run(self) -> None:
        """Step until nothing is left to do."""
        while not self.idle:
            self.step()

    def _handle(self, event: Event) -> None:
        record = self._queue.record(event.id)
        if isinstance(event, Progress):
            if self._watcher is not None:
                self._watcher.progress(record, event)
            return
        self._running.discard(event.id)
        match event:
            case Finished(seconds=seconds, messages=messages):
                state: State = "reference" if record.job.config.reference_only else "done"
                ended = self._queue.release(
                    event.id, state=state, error=None, messages=messages,
                    seconds=record.seconds + seconds,
                )  # fmt: skip
            case Failed(error=error, has_no_surface=empty):
                ended = self._queue.release(
                    event.id, state="failed", error=error, has_no_surface=empty
                )
            case Died(how=how):
                again = record.attempts < self._attempts
                error = how if again else f"Its process died {record.attempts} times: {how}."
                state = "queued" if again else "failed"
                ended = self._queue.release(event.id, state=state, error=error)
        self._changed(ended)

    def _changed(self, record: Record) -> None:
        if self._watcher is not None:
            self._watcher.changed(record)
