"""What runs jobs: the interface of local workers and of Ray. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from xbind.batch.jobs import Job


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A job with its folders."""

    job: Job
    work: Path
    """Where the run is until it is finished; a run that is there is resumed."""
    result: Path
    """Where the finished run goes, by one rename."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A job is at a step of a stage."""

    id: str
    stage: str
    step: int
    """Steps of this stage that are done."""
    steps: int


@dataclass(frozen=True, slots=True)
class Finished:
    """A job's files are in place: the mesh, or only the reference view if no more is wanted."""

    id: str
    seconds: float
    """Wall time of the last attempt."""
    messages: tuple[str, ...] = ()
    """What the run reported."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A job ended with an error; another attempt would end in the same way."""

    id: str
    error: str
    has_no_surface: bool = False
    """Whether the run ended because its object has no surface, which is a result of the method."""


@dataclass(frozen=True, slots=True)
class Died:
    """The process that ran a job is gone; another attempt resumes the run."""

    id: str
    how: str
    """Such as "killed by signal 9"."""


Event = Progress | Finished | Failed | Died


class Executor(Protocol):
    """Runs tasks in other processes. Used by one thread.

    After `start(task)`, `wait` returns exactly one `Finished`, `Failed` or `Died` for it, unless
    `stop` is called for it.
    """

    def free(self) -> int:
        """Returns how many tasks can be started now."""

    def start(self, task: Task) -> None:
        """Starts a task; only while `free()` is above 0."""

    def stop(self, id: str) -> None:
        """Ends the process of a task. Its folder stays, and no event follows."""

    def wait(self, timeout_s: float) -> Sequence[Event]:
        """Returns what has happened, after at most `timeout_s` seconds."""

    def close(self) -> None:
        """Ends every process; tasks that run can be resumed later."""
