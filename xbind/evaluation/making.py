"""The objects of an evaluation as jobs of a batch queue; each is handed on when its run has ended.

<folder>/<object>/        a run that has ended: finished, or without a surface
<folder>/.queue/          records, copies of the prompts' files, unfinished runs, logs of workers
"""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from xbind.batch.jobs import Job
from xbind.batch.queue import Queue, Record
from xbind.batch.worker import publish
from xbind.files import disk_errors
from xbind.run.checks import holds_run

QUEUE = ".queue"
"""Folder of the queue in that of the evaluation."""
FINISHED = "report.html"
"""File that a run writes last."""

Ended = Callable[[Path, str | None], None]
"""Receives the folder of a run that has ended, and why nothing came out of it, or None."""


class Making:
    """Makes the objects of an evaluation. What was made before, by whatever version, is kept."""

    def __init__(self, folder: Path, ended: Ended, known_failures: Collection[str] = ()) -> None:
        """Read the queue of an evaluation; nothing is started.

        Args:
            folder: of the evaluation.
            ended: called for each run that has ended.
            known_failures: names of objects that are judged as having no surface.

        Raises:
            BatchError: a record of the queue is damaged.
            DiskError: the folder cannot be written.
        """
        self.queue = Queue(folder / QUEUE, folder)
        self._ended, self._known_failures = ended, known_failures

    def submit(self, jobs: Sequence[tuple[int, Job]]) -> list[str]:
        """Queue what is not made yet, and hand on what is; only while `queue.drive` is held.

        Args:
            jobs: with their places in the list. Their titles name the folders of their runs.

        Returns:
            The ids of the jobs that are to be run.
        """
        records = {record.id: record for record in self.queue.records()}
        submitted: list[str] = []
        for order, job in jobs:
            record = records.get(job.id)
            if job.title in self._known_failures:
                continue
            if record is not None and record.state == "failed" and record.has_no_surface:
                self.settle(record)
                continue
            self._adopt(job)
            submitted.append(self.queue.add(job, order).id)
        self.queue.recover(submitted)
        for id in submitted:
            self.settle(self.queue.record(id))
        return [id for id in submitted if not self.queue.record(id).ended]

    def settle(self, record: Record) -> None:
        """Hand on the run of a job if it has ended; one without a surface is moved first.

        Raises:
            XBindError: it cannot be moved, or whatever `ended` raises.
        """
        result = self.queue.result_of(record.job)
        if record.state == "done":
            self._ended(result, None)
        elif record.state == "failed" and record.has_no_surface:
            work = self.queue.work_of(record.job)
            if holds_run(work):
                publish(work, result)
            assert record.error is not None
            self._ended(result, record.error.partition("\n")[0])

    def _adopt(self, job: Job) -> None:
        """Move an unfinished run to where the queue resumes it: earlier versions left it here.

        Raises:
            DiskError: it cannot be moved.
        """
        run, work = self.queue.result_of(job), self.queue.work_of(job)
        if run.is_dir() and not (run / FINISHED).exists():
            with disk_errors(work):
                run.rename(work)
