"""Building many engines: each in a process of its own, so that its memory comes back.

A builder that is killed, by the system for its memory or by anyone, costs its own engine only.
"""

import multiprocessing
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Literal

import torch

from xbind.config.backends import BackendName
from xbind.config.options import Precision
from xbind.engine.backends import card_of, record_of
from xbind.engine.errors import EngineDamaged
from xbind.engine.store import EngineStore, cards_passed
from xbind.errors import XBindError
from xbind.networks.fingerprint import key_of, weight_bytes
from xbind.networks.graphs import GraphRequest
from xbind.networks.load import load_bundle
from xbind.networks.manifest import BundleManifest, load_manifest
from xbind.system.device import select_gpu


@dataclass(frozen=True, slots=True)
class Job:
    """Engine to build."""

    bundle: str
    """Name or folder."""
    request: GraphRequest
    backend: BackendName
    precision: Precision
    targets: tuple[str, ...]
    """GPU architectures, or none for this machine."""
    store: Path
    """Root of the store."""
    prior_2d: str | None = None
    """Name of the bundle's 2D prior; None for its default."""
    prior_3d: str | None = None
    """Name of the bundle's 3D prior; None for its default."""
    device: str = "cuda"
    """The GPU that is built for, where it is one of this machine's."""

    def is_built(self, manifest: BundleManifest) -> bool:
        """Returns True if the store has the engine, verified, and compared on this GPU.

        Raises:
            BackendUnavailable: the backend is not installed here.
        """
        key = key_of(
            self.request, self.backend, manifest, precision=self.precision, targets=self.targets
        )
        try:
            entry = EngineStore(self.store).find(key)
        except EngineDamaged:
            return False
        card = card_of(self.backend, key.fields["target"])
        return entry is not None and (card is None or card in cards_passed(entry))


@dataclass(frozen=True, slots=True)
class Estimate:
    """Approximate cost of building an engine."""

    seconds: float
    disk_bytes: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of a job."""

    job: Job
    state: Literal["built", "failed"]
    message: str
    seconds: float


BASE_MEMORY_BYTES = 900 * 2**20
"""torch, diffusers and the backend, before any network."""


def estimate(job: Job, manifest: BundleManifest) -> Estimate:
    """From the size of the weights alone."""
    weights = weight_bytes(job.request, manifest)
    cost = record_of(job.backend).cost
    stored = weights // (1 if job.precision == "float32" else 2)
    return Estimate(
        seconds=cost.seconds + cost.seconds_per_gb * weights / 1e9,
        disk_bytes=int(cost.disk * stored) + cost.disk_fixed,
        memory_bytes=BASE_MEMORY_BYTES + int(cost.memory * weights),
    )


def run_jobs(
    jobs: Sequence[Job], *, workers: int, started: Callable[[Job], None],
    finished: Callable[[Outcome], None],
) -> list[Outcome]:  # fmt: skip
    """Build all engines, `workers` at a time.

    Args:
        jobs: what to build.
        workers: processes at a time.
        started: told of each job that begins.
        finished: told of each that ended, well or not.

    Returns:
        One outcome per job, in the order in which they ended.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["xbind.networks.build"])
    left, outcomes = list(jobs), []
    running: dict[Connection, tuple[Job, ForkServerProcess, float]] = {}
    try:
        while left or running:
            while left and len(running) < workers:
                job = left.pop(0)
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(job, theirs), daemon=True)
                started(job)
                process.start()
                theirs.close()
                running[ours] = (job, process, time.monotonic())
            for connection in wait(list(running)):
                assert isinstance(connection, Connection)
                outcomes.append(_collect(connection, *running.pop(connection)))
                finished(outcomes[-1])
    finally:
        for _, process, _ in running.values():
            process.terminate()
            process.join()
    return outcomes


def _collect(connection: Connection, job: Job, process: ForkServerProcess, since: float) -> Outcome:
    """Returns the message of a builder, or the reason of its death."""
    try:
        state, message = connection.recv()
    except EOFError:  # it is gone, and has said nothing
        process.join()
        state, message = "failed", _death(process.exitcode)
    connection.close()
    process.join()
    return Outcome(job, state, message, time.monotonic() - since)


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        why = " (out of memory?)" if name == "SIGKILL" else ""
        return f"its builder was killed by {name}{why}; build fewer at a time with --jobs 1"
    return f"its builder ended with status {code}; what it wrote is above"


def _work(job: Job, connection: Connection) -> None:
    """Runs in a process of its own."""
    from xbind.networks.build import build  # already imported by the fork server

    torch.set_num_threads(1)
    try:
        if torch.cuda.is_available():
            select_gpu(job.device)
        bundle = load_bundle(load_manifest(job.bundle).with_priors(job.prior_2d, job.prior_3d))
        entry = build(
            EngineStore(job.store), bundle, job.request, job.backend,
            precision=job.precision, targets=job.targets,
        )  # fmt: skip
    except XBindError as error:
        connection.send(("failed", str(error)))
    else:
        worst = max(figure["relative"] for figure in entry.notes["parity"].values())
        size = entry.size_bytes / 2**20
        connection.send(("built", f"{size:.1f} MiB, agrees with torch to {worst:.0e}"))
