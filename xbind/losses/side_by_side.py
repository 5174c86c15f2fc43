"""The guidance steps of one iteration at the same time: they depend on the views alone."""

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import torch
from torch import Tensor

from xbind.losses.step import StepCall


class StartedStep(Protocol):
    """A guidance step that was started."""

    def help(self) -> None:
        """Run the step in this thread if no other thread has begun it."""

    def losses(self) -> tuple[Tensor, ...]:
        """Wait for the step; returns its losses as `StepCall.losses` does, or raises its error."""


class StepRunner(Protocol):
    """Starts guidance steps."""

    def start(self, call: StepCall) -> StartedStep:
        """Run the step now or soon."""

    def finished(self) -> None:
        """Call when the losses of all steps that were started are known."""


class _Finished:
    """A step that ran when it was started."""

    def __init__(self, losses: tuple[Tensor, ...]) -> None:
        self._losses = losses

    def help(self) -> None:
        return

    def losses(self) -> tuple[Tensor, ...]:
        return self._losses


class OneByOne:
    """Runs every step when it is started."""

    def start(self, call: StepCall) -> StartedStep:
        """Run the step."""
        return _Finished(call.losses())

    def finished(self) -> None:
        """Nothing is left to do."""


class _Submitted:
    """A step that another thread runs, or this one by `help`."""

    def __init__(self, call: StepCall, future: Future[tuple[Tensor, ...]]) -> None:
        self._call, self._future = call, future
        self._own: tuple[Tensor, ...] | None = None

    def help(self) -> None:
        if self._own is None and self._future.cancel():
            self._own = self._call.run()

    def losses(self) -> tuple[Tensor, ...]:
        outputs = self._future.result() if self._own is None else self._own
        return self._call.losses_of(outputs)


class SideBySide:
    """Runs steps in threads of its own, beside the thread that starts them.

    A step computes the same in any thread, so the results do not depend on which thread is first.
    Only for steps that release the GIL and share no memory: engines on the CPU.

    From the first step that is started until `finished`, torch computes with fewer threads, so that
    no more threads compute than the run was given. It depends on the place in the program, not on
    time, so sums are rounded alike in every run.
    """

    def __init__(self, threads: int, *, of_each: int = 1) -> None:
        """`threads`: how many beside the one that starts steps; a step computes with `of_each`."""
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="xbind-step")
        self._taken, self._torch_threads = threads * of_each, 0

    def start(self, call: StepCall) -> StartedStep:
        """Put the step into the queue of the threads; they take the earliest first."""
        if self._torch_threads == 0:
            self._torch_threads = torch.get_num_threads()
            torch.set_num_threads(max(1, self._torch_threads - self._taken))
        return _Submitted(call, self._pool.submit(call.run))

    def finished(self) -> None:
        """Let torch compute with as many threads as before."""
        if self._torch_threads > 0:
            torch.set_num_threads(self._torch_threads)
            self._torch_threads = 0

    def close(self) -> None:
        """Drop what has not begun, and wait for what has: afterwards no step uses its engine."""
        self._pool.shutdown(cancel_futures=True)
        self.finished()


def help_with(steps: Iterable[StartedStep]) -> None:
    """Run in this thread, from the last one on, the steps that no other thread has begun."""
    for step in reversed(list(steps)):
        step.help()
