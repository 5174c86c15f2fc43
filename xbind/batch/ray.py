"""Workers on the nodes of a Ray cluster, one actor per GPU. Needs the extra `ray`.

The driver assigns the jobs and tries again itself, and only when an actor's process or node has
died; Ray restarts nothing. Tokens are switched on unless `RAY_AUTH_MODE` is set otherwise.
"""

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xbind.batch.executor import Died, Event, Failed, Task
from xbind.batch.jobs import BatchError
from xbind.config.options import DeviceChoice
from xbind.system.untrusted import guarded, reason

_CAPACITY_EVERY_S = 1.0
"""Time between two questions to the cluster about its nodes (no value in the paper)."""

_REACH_S = 10.0
"""How long the head of a cluster may take to accept a connection (no value in the paper)."""


@dataclass(slots=True)
class _Slot:
    actor: Any
    task: Task | None = None
    answer: Any = None


class RayExecutor:
    """Runs tasks in actors of a cluster. As many are there as its nodes that are alive allow."""

    def __init__(
        self, address: str, *, workers: int | None = None, device: DeviceChoice = "auto",
        threads: int = 1,
    ) -> None:  # fmt: skip
        """Connect to a cluster.

        Args:
            address: of its head, such as `10.0.0.1:6379`.
            workers: how many actors at most; by default one for each GPU, or one for each node
                where there is none.
            device: where runs compute.
            threads: that compute in each worker.

        Raises:
            BatchError: Ray is not installed, the cluster cannot be reached or refuses the token, or
                it has no GPU where one is wanted.
        """
        _prepare_environment(address)
        try:
            import ray
        except ImportError as error:
            raise BatchError(
                "--ray needs Ray, which is not installed.\n"
                "Install it with: pip install 'xbind[ray]'"
            ) from error
        self._ray: Any = ray
        with guarded(lambda why: _unreachable(address, why)):
            _check_reachable(address)
            ray.init(address=address, log_to_driver=False, configure_logging=False)
        from xbind.batch.remote import RemoteWorker

        found = ray.cluster_resources()
        self._resource = "GPU" if device != "cpu" and found.get("GPU", 0) >= 1 else "CPU"
        if device.startswith("cuda:"):
            ray.shutdown()
            raise BatchError(
                f"--device {device}: Ray gives each worker a GPU of its own.\n"
                f"Give --device cuda with --ray."
            )
        if device == "cuda" and self._resource == "CPU":
            ray.shutdown()
            raise BatchError(
                f"--device cuda: no node of the cluster at {address} has a GPU.\n"
                f"Start its nodes with GPUs, or leave out --device."
            )
        self._each = 1 if self._resource == "GPU" else threads
        nodes = sum(node["Alive"] for node in ray.nodes())
        default = int(found["GPU"]) if self._resource == "GPU" else nodes
        self._most = default if workers is None else workers
        needs = {"num_gpus": 1} if self._resource == "GPU" else {"num_cpus": threads}
        self._actors = ray.remote(RemoteWorker).options(max_restarts=0, max_task_retries=0, **needs)
        self._slots: list[_Slot] = []
        self._capacity, self._asked = 0, float("-inf")

    def __len__(self) -> int:
        return self._most

    def free(self) -> int:
        """Returns how many tasks can start: on idle actors, and on nodes with room for more."""
        now = time.monotonic()
        if now - self._asked >= _CAPACITY_EVERY_S:
            room = self._ray.cluster_resources().get(self._resource, 0)
            self._capacity, self._asked = min(self._most, int(room // self._each)), now
            # where a node has died, idle actors make room for those that wait to be placed
            for slot in [*self._slots]:
                if slot.task is None and len(self._slots) > self._capacity:
                    self._drop(slot)
        return self._capacity - sum(slot.task is not None for slot in self._slots)

    def start(self, task: Task) -> None:
        """Gives a task to an idle actor, or to a new one."""
        slot = next((slot for slot in self._slots if slot.task is None), None)
        if slot is None:
            slot = _Slot(self._actors.remote())
            self._slots.append(slot)
        slot.task, slot.answer = task, slot.actor.run.remote(_absolute(task))

    def stop(self, id: str) -> None:
        """Kills the actor of a task."""
        for slot in [*self._slots]:
            if slot.task is not None and slot.task.job.id == id:
                self._drop(slot)

    def wait(self, timeout_s: float) -> Sequence[Event]:
        """Returns which tasks have ended, and which actors have died."""
        busy = [slot for slot in self._slots if slot.task is not None]
        if not busy:
            time.sleep(timeout_s)
            return []
        done, _ = self._ray.wait([slot.answer for slot in busy], timeout=timeout_s)
        return [self._event(slot) for slot in busy if slot.answer in done]

    def close(self) -> None:
        """Kills the actors and leaves the cluster."""
        for slot in [*self._slots]:
            self._drop(slot)
        self._ray.shutdown()

    def _event(self, slot: _Slot) -> Event:
        assert slot.task is not None
        id = slot.task.job.id
        errors = self._ray.exceptions
        try:
            event: Event = self._ray.get(slot.answer)
        except errors.RayTaskError as error:  # a bug: what it leaves behind reaches no other job
            self._drop(slot)
            return Failed(id, f"Internal error: {error}")
        except errors.RayError as error:  # its process or its node is gone
            self._drop(slot)
            return Died(id, reason(error))
        slot.task = slot.answer = None
        return event

    def _drop(self, slot: _Slot) -> None:
        """Kill an actor that is there no more, or shall not be."""
        self._slots.remove(slot)
        self._ray.kill(slot.actor)


def _prepare_environment(address: str) -> None:
    """Settings that Ray reads when it is imported."""
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address.rpartition(":")[0] in ("127.0.0.1", "localhost"):
        # else Ray replaces the address with that of a network, and the driver listens there
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


def _check_reachable(address: str) -> None:
    """Refuse an address where nothing listens: Ray itself asks for minutes.

    Raises:
        OSError, ValueError: says why.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("it is not of the form HOST:PORT")
    socket.create_connection((host, int(port)), timeout=_REACH_S).close()


def _absolute(task: Task) -> Task:
    """The task with folders that mean the same on every node."""
    return Task(job=task.job, work=task.work.absolute(), result=task.result.absolute())


def _unreachable(address: str, why: str) -> BatchError:
    return BatchError(
        f"The Ray cluster at {address} cannot be used: {why}.\n"
        f"Start one with RAY_AUTH_MODE=token, and give the address that its head prints "
        f"with --ray. The token is in RAY_AUTH_TOKEN or ~/.ray/auth_token."
    )
