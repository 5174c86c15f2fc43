"""Worker processes on this machine.

They are forked from a server process that has imported torch but computed nothing, so that a worker
starts in a fraction of a second. They talk to the driver through pipes; nothing listens on a
network.
"""

import multiprocessing as mp
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from xbind.batch.executor import Died, Event, Failed, Finished, Task
from xbind.config.options import DeviceChoice
from xbind.errors import XBindError
from xbind.files import disk_errors
from xbind.system.out_of_memory import is_memory_error, too_little_memory

LOGS = "logs"
"""Folder for what workers and their libraries print."""
_PRELOAD = ["xbind.pipeline", "xbind.batch.worker"]
_LEAVE_S = 5.0
"""How long a worker without a task may take to leave before it is killed."""


class LocalExecutor:
    """Runs tasks in worker processes of this machine, which start with their first task."""

    def __init__(
        self, folder: Path, *, workers: int | None = None, device: DeviceChoice = "auto"
    ) -> None:
        """Start no process yet.

        Args:
            folder: of the batch, for the logs of the workers.
            workers: how many; by default one for each GPU, or one on a CPU. With several GPUs they
                are given out in turn.
            device: where runs compute; `cuda:N` uses that GPU only.
        """
        gpus = gpu_names() if device in ("auto", "cuda") else []
        count = max(1, len(gpus)) if workers is None else workers
        logs = folder / LOGS
        with disk_errors(logs):
            logs.mkdir(parents=True, exist_ok=True)
        self._workers = [
            _Slot(logs / f"worker-{k + 1}.log", gpus[k % len(gpus)] if gpus else None)
            for k in range(count)
        ]

    def __len__(self) -> int:
        return len(self._workers)

    def free(self) -> int:
        """Returns the number of workers without a task."""
        return sum(slot.task is None for slot in self._workers)

    def start(self, task: Task) -> None:
        """Gives a task to a worker, one that is there if possible."""
        slots = [slot for slot in self._workers if slot.task is None]
        min(slots, key=lambda slot: not slot.alive).give(task)

    def stop(self, id: str) -> None:
        """Kills the worker of a task."""
        for slot in self._workers:
            if slot.task is not None and slot.task.job.id == id:
                slot.kill()

    def wait(self, timeout_s: float) -> Sequence[Event]:
        """Returns what workers have sent, and which have died."""
        busy = [slot for slot in self._workers if slot.task is not None]
        if not busy:
            time.sleep(timeout_s)
            return []
        wait([handle for slot in busy for handle in slot.handles()], timeout_s)
        return [event for slot in busy for event in slot.events()]

    def close(self) -> None:
        """Ends the workers: those with a task at once, the others when they have left."""
        for slot in self._workers:
            if slot.task is None:
                slot.leave()
        for slot in self._workers:
            slot.kill()


class _Slot:
    """Place of a worker process, which is replaced when it dies."""

    def __init__(self, log: Path, gpu: str | None) -> None:
        self.task: Task | None = None
        self._log, self._gpu = log, gpu
        self._process: ForkServerProcess | None = None
        self._connection: Connection | None = None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.is_alive()

    def give(self, task: Task) -> None:
        self.task = task
        if not self.alive:
            self._start()
        assert self._connection is not None
        with suppress(OSError):  # it died just now; `events` says so
            self._connection.send(task)

    def handles(self) -> list[Connection | int]:
        assert self._process is not None
        assert self._connection is not None
        return [self._connection, self._process.sentinel]

    def events(self) -> list[Event]:
        """What was sent since the last call; the death of the process comes last."""
        assert self._process is not None
        dead = not self._process.is_alive()  # before the pipe is read, so that nothing is missed
        found: list[Event] = []
        while (event := self._receive()) is not None:
            found.append(event)
            if isinstance(event, Finished | Failed):
                self.task = None
                return found
        if dead and self.task is not None:
            found.append(Died(self.task.job.id, _how(self._process.exitcode)))
            self._forget()
        return found

    def leave(self) -> None:
        """Ask a worker without a task to leave."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            self._process.join(_LEAVE_S)

    def kill(self) -> None:
        if self._process is not None and self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._forget()

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self.task = self._process = self._connection = None

    def _receive(self) -> Event | None:
        assert self._connection is not None
        try:
            event: Event | None = self._connection.recv() if self._connection.poll() else None
        except (EOFError, OSError):  # the process died
            return None
        return event

    def _start(self) -> None:
        if self._connection is not None:
            self._connection.close()
        context = mp.get_context("forkserver")
        context.set_forkserver_preload(_PRELOAD)
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=serve, args=(theirs, str(self._log), self._gpu), daemon=True
        )
        self._process.start()
        theirs.close()


def serve(connection: Connection, log: str, gpu: str | None) -> None:
    """Runs tasks from a pipe until it closes; the body of a worker process.

    Args:
        connection: to the driver.
        log: file that receives what this process and its libraries print.
        gpu: value for `CUDA_VISIBLE_DEVICES`; None leaves it as it is.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what Ctrl-C ends
    _print_to(log)
    threading.Thread(target=_end_with_driver, daemon=True).start()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    from xbind.batch.worker import Worker
    from xbind.scene.mesh.dmtet import EmptySurface

    worker = Worker()
    while True:
        try:
            task: Task = connection.recv()
        except EOFError:
            return
        event: Event
        try:
            event = worker.run(task, connection.send)
        except XBindError as error:
            event = Failed(task.job.id, str(error), isinstance(error, EmptySurface))
        except Exception as error:
            connection.send(Failed(task.job.id, describe(error)))
            raise  # in a process of its own: what a bug leaves behind reaches no other job
        connection.send(event)


def describe(error: BaseException) -> str:
    """Returns the message of an error that is no `XBindError`: too little memory, or a bug."""
    if is_memory_error(error):
        return str(too_little_memory(error))
    lines = "".join(traceback.format_exception(error))
    return f"Internal error: {type(error).__name__}: {error}\n{lines}"


def gpu_names() -> list[str]:
    """Returns what selects each GPU in `CUDA_VISIBLE_DEVICES`; imports torch, starts no context."""
    import torch

    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = given.split(",") if given else [str(k) for k in range(torch.cuda.device_count())]
    return names[: torch.cuda.device_count()]


def _end_with_driver() -> None:
    """End this process when its driver dies, however it dies; the run can be resumed."""
    driver = mp.parent_process()
    assert driver is not None
    driver.join()
    os._exit(1)


def _print_to(log: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    for number in (1, 2):
        os.dup2(descriptor, number)
    os.close(descriptor)


def _how(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"killed by signal {-exitcode}"
    return f"ended with status {exitcode}"
