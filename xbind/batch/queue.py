"""The queue of a batch: a folder with one record per job. No torch here.

jobs/<id>.json            the record of a job: settings, state, attempts, error
inputs/<digest>/<name>    files of the prompts, copied when a job is submitted
work/<name>/              a run that is not finished; it can be resumed
runs/<name>/              a finished run, put there by one rename: nothing is made twice; an
                          evaluation has them in a folder of its own

One process, the driver, writes the records and assigns the jobs, so that no lock of a network file
system decides who runs what.
"""

import hashlib
import shutil
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from xbind.batch.jobs import (
    BatchError,
    Job,
    config_from_plain,
    config_to_plain,
    make_job,
    prompt_files,
)
from xbind.config.options import GenerateConfig
from xbind.files import (
    atomic_write,
    disk_errors,
    lock,
    lock_shared,
    remove_temporaries,
)
from xbind.run.json_files import Damaged, from_json, to_json

State = Literal["queued", "running", "reference", "done", "failed", "cancelled"]
"""Of a job. `reference`: its reference view is there, and `retry` makes the object."""

JOBS, INPUTS, WORK, RUNS = "jobs", "inputs", "work", "runs"
_LOCK = ".lock"


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """What is known of a job."""

    job: Job
    state: State = "queued"
    submitted: float = 0.0
    """Time of submission, in seconds since 1970."""
    order: int = 0
    """Place among the jobs of this folder; earlier ones run first."""
    attempts: int = 0
    """How often a process has started on the job since it was submitted or retried."""
    seconds: float = 0.0
    """Wall time of the attempts that ended, without those that were killed."""
    error: str | None = None
    """Why it failed, or how the process of the last attempt ended."""
    messages: tuple[str, ...] = ()
    """What the run reported."""
    has_no_surface: bool = False
    """Whether it failed because its object has no surface."""

    @property
    def id(self) -> str:
        """The job's id."""
        return self.job.id

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to the job by itself."""
        return self.state not in ("queued", "running")


class Queue:
    """The jobs of a folder. Methods may be called by several threads of one process."""

    def __init__(self, folder: Path, results: Path | None = None) -> None:
        """Read the records of a folder, which is made if it is not there.

        Args:
            folder: of the queue.
            results: folder of the finished runs, on the same disk; by default `runs` in `folder`.

        Raises:
            BatchError: a record is damaged.
            DiskError: the folder cannot be written.
        """
        self.folder = folder
        self.results = folder / RUNS if results is None else results
        self._mutex = threading.RLock()
        self._active: set[str] = set()
        with disk_errors(folder):
            for path in (*(folder / name for name in (JOBS, INPUTS, WORK)), self.results):
                path.mkdir(parents=True, exist_ok=True)
        self._records = {record.id: record for record in read_records(folder)}

    @contextmanager
    def drive(self, share: tuple[int, int] = (1, 1)) -> Iterator[bool]:
        """Hold the folder as its driver, or as that of one of N parts of the work.

        Args:
            share: K and N.

        Yields:
            Whether it is held: False where the file system has no locks.

        Raises:
            BatchError: another process drives the folder or this part of it.
        """
        k, n = share
        whole = self.folder / _LOCK
        own = self.folder / (_LOCK if n == 1 else f"{_LOCK}-{k}-of-{n}")
        with ExitStack() as stack:
            try:
                with disk_errors(own):
                    file = stack.enter_context(whole.open("a"))
                    part = stack.enter_context(own.open("a"))
                locked = lock(file) if n == 1 else lock_shared(file.fileno()) and lock(part)
            except BlockingIOError:
                raise BatchError(
                    f"Another xbind works on the jobs in {self.folder}.\n"
                    f"Wait for it, share the work with --part K/N in every process, or give "
                    f"another folder with --out."
                ) from None
            yield locked

    def submit(self, config: GenerateConfig) -> Record:
        """Add the job for the settings of a run: `make_job`, then `add`.

        Raises:
            XBindError: as of both.
        """
        return self.add(make_job(config))

    def add(self, job: Job, order: int | None = None) -> Record:
        """Add a job, or return the record of the same one.

        A finished job stays finished. One that failed or was cancelled is queued again, and one
        with only its reference view is if the object is wanted now.

        Args:
            job: as `make_job` returns it. Files of its prompt are copied into the folder.
            order: place of a new job; by default behind those that are there.

        Raises:
            DiskError: the folder cannot be written, or a file of the prompt cannot be read.
        """
        with self._mutex:
            record = self._records.get(job.id)
            if record is None:
                prompt = replace(job.config.prompt, **self._copy_files(job))
                job = replace(job, config=replace(job.config, prompt=prompt))
                if order is None:
                    order = max((r.order for r in self._records.values()), default=-1) + 1
                record = Record(job=job, submitted=time.time(), order=order)
            elif record.state in ("failed", "cancelled", "reference") and (
                job.id not in self._active
                and not (record.state == "reference" and job.config.reference_only)
            ):
                return self.retry(job.id)
            return self._save(self._published(record))

    def records(self) -> list[Record]:
        """Returns the records in order of submission."""
        with self._mutex:
            return list(self._records.values())

    def record(self, id: str) -> Record:
        """Returns the record of a job.

        Raises:
            BatchError: there is none with this id.
        """
        with self._mutex:
            if id not in self._records:
                raise BatchError(f"There is no job {id!r} in {self.folder}.")
            return self._records[id]

    def folder_of(self, record: Record) -> Path:
        """Returns where the run of a job is, or will be while it is not finished."""
        result = self.result_of(record.job)
        return result if record.state == "done" else self.work_of(record.job)

    def work_of(self, job: Job) -> Path:
        """Returns the folder of a job's run before it is finished."""
        return self.folder / WORK / job.name

    def result_of(self, job: Job) -> Path:
        """Returns the folder of a job's run when it is finished."""
        return self.results / job.name

    def cancel(self, id: str) -> Record:
        """Take a job out of the queue; one that runs is stopped by the driver's next step.

        Raises:
            BatchError: there is no such job, or it has ended.
        """
        with self._mutex:
            record = self.record(id)
            if record.ended:
                raise BatchError(f"Job {id} has ended ({record.state}) and cannot be cancelled.")
            return self._save(replace(record, state="cancelled"))

    def retry(self, id: str) -> Record:
        """Queue a job again that failed, was cancelled, or stopped at its reference view.

        It goes on from its last checkpoint.

        Raises:
            BatchError: there is no such job, it is done, queued or running, or its process is
                still being stopped.
        """
        with self._mutex:
            record = self.record(id)
            if record.state not in ("failed", "cancelled", "reference") or id in self._active:
                state = "being stopped" if id in self._active else record.state
                raise BatchError(f"Job {id} is {state} and cannot be started again.")
            job, keep = record.job, record.state != "reference"
            if not keep:
                job = replace(job, config=replace(job.config, reference_only=False))
            return self._save(
                replace(
                    record, job=job, state="queued", attempts=0, error=None, has_no_surface=False
                )
            )

    def remove(self, id: str) -> None:
        """Remove a job with its run; copies of its prompt's files go with the last job with them.

        Raises:
            BatchError: there is no such job, or it is queued or running.
        """
        with self._mutex:
            record = self.record(id)
            if not record.ended or id in self._active:
                raise BatchError(f"Job {id} is {record.state}: cancel it first.")
            with disk_errors(self.folder):
                for path in (self.work_of(record.job), self.result_of(record.job)):
                    if path.is_dir():
                        shutil.rmtree(path)
                (self.folder / JOBS / f"{id}.json").unlink(missing_ok=True)
                del self._records[id]
                used = {p.parent for r in self._records.values() for p in _files(r.job)}
                for path in _files(record.job):
                    if path.parent not in used and path.is_relative_to(
                        self.folder.absolute() / INPUTS
                    ):
                        shutil.rmtree(path.parent, ignore_errors=True)

    # for the driver

    def recover(self, ids: Collection[str] | None = None) -> None:
        """Queue again what an earlier driver left running; only while `drive` is held.

        Args:
            ids: the jobs of this driver; by default all.
        """
        with self._mutex:
            with disk_errors(self.folder):
                remove_temporaries(self.folder / JOBS)
            for record in self.records():
                if (ids is None or record.id in ids) and record.id not in self._active:
                    published = self._published(record)
                    if published.state == "running":
                        published = replace(published, state="queued", attempts=0)
                    if published != record:
                        self._save(published)

    def take(self, ids: Collection[str] | None = None) -> Record | None:
        """Returns the first queued job as running, or None if there is none.

        Args:
            ids: the jobs to choose among; by default all.
        """
        with self._mutex:
            for record in self.records():
                if record.state == "queued" and (ids is None or record.id in ids):
                    self._active.add(record.id)
                    return self._save(
                        replace(record, state="running", attempts=record.attempts + 1)
                    )
            return None

    def release(self, id: str, **changes: Any) -> Record:  # noqa: ANN401
        """Write down the end of an attempt; a job that was cancelled stays cancelled.

        Args:
            id: of the job.
            **changes: fields of the record.
        """
        with self._mutex:
            self._active.discard(id)
            record = self.record(id)
            if record.state == "cancelled" and changes.get("state") != "done":
                changes.pop("state", None)
            return self._save(replace(record, **changes))

    def _published(self, record: Record) -> Record:
        """The record as done if its run is in place, and as queued if a finished run is gone."""
        there = self.result_of(record.job).is_dir()
        if there and record.state != "done" and not record.has_no_surface:
            return replace(record, state="done", error=None)
        if not there and record.state == "done":
            return replace(record, state="queued", attempts=0)
        return record

    def _copy_files(self, job: Job) -> dict[str, Any]:
        """Copies of the prompt's files, in folders named by their content."""
        copies: dict[str, Any] = {}
        for field, path in prompt_files(job.config.prompt).items():
            with disk_errors(path):
                content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:16]
            copy = self.folder.absolute() / INPUTS / digest / path.name
            if not copy.exists():
                with disk_errors(copy):
                    copy.parent.mkdir(parents=True, exist_ok=True)
                atomic_write(copy, content)
            copies[field] = copy
        return copies

    def _save(self, record: Record) -> Record:
        if self._records.get(record.id) != record:
            atomic_write(self.folder / JOBS / f"{record.id}.json", to_json(_plain(record)))
            self._records[record.id] = record
        return record


def read_records(folder: Path) -> list[Record]:
    """Returns the records of a queue in order of submission, and writes nothing.

    Args:
        folder: of the queue; one that is not there has no records.

    Raises:
        BatchError: a record is damaged.
        DiskError: the folder cannot be read.
    """
    with disk_errors(folder):
        paths = sorted((folder / JOBS).glob("*.json"))
    return sorted(map(_read, paths), key=_place)


def _files(job: Job) -> Collection[Path]:
    return prompt_files(job.config.prompt).values()


def _place(record: Record) -> tuple[int, float]:
    return record.order, record.submitted


def _plain(record: Record) -> dict[str, Any]:
    return {
        "id": record.id, "label": record.job.label, "name": record.job.name,
        "state": record.state, "submitted": record.submitted, "order": record.order,
        "attempts": record.attempts, "seconds": record.seconds, "error": record.error,
        "messages": list(record.messages), "has_no_surface": record.has_no_surface,
        "title": record.job.title, "config": config_to_plain(record.job.config),
    }  # fmt: skip


def _read(path: Path) -> Record:
    """Reads a record.

    Raises:
        BatchError: it is damaged.
    """
    try:
        return _record_of(path.stem, from_json(path))
    except (OSError, Damaged, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BatchError(
            f"{path} cannot be read ({error}).\n"
            f"Remove it and submit its prompt again: a finished run is kept in {RUNS}/."
        ) from error


def _record_of(id: str, found: Mapping[str, Any]) -> Record:
    if found["state"] not in get_args(State) or found["id"] != id:
        raise Damaged(f"it is in state {found['state']!r} with id {found['id']!r}")
    config = config_from_plain(found["config"])
    return Record(
        job=Job(id=id, config=config, title=str(found.get("title", ""))),
        state=found["state"], submitted=float(found["submitted"]), order=int(found["order"]),
        attempts=int(found["attempts"]), seconds=float(found["seconds"]), error=found["error"],
        messages=tuple(found["messages"]),
        has_no_surface=bool(found.get("has_no_surface", False)),
    )  # fmt: skip
