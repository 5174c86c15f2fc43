"""Timing: medians over repeats, one record per measurement."""

import json
import platform
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import torch

STREAM_FLOATS = 2**25
"""Length of the arrays of the bandwidth measurement: 128 MiB each, more than any cache."""
GEMM_SIDE = 2048
"""Side of the matrices of the arithmetic measurement."""


Clock = Literal["wall", "cpu"]
"""`cpu` counts the time that the calling thread computes: for one thread, on a machine that others
use too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Measurement; a line of JSON."""

    what: str
    """Operator, or `stream` and `gemm`."""
    form: str
    """reference, numba, triton, kornia, …"""
    mode: str
    """forward, or forward+backward."""
    size: int
    unit: str
    """Unit of `size`."""
    p50_ms: float
    p20_ms: float
    p80_ms: float
    least_ms: float
    repeats: int
    clock: Clock
    peak_bytes: int | None
    """Most device memory that was allocated; not known on a CPU."""
    bound_ms: float | None
    """The roofline: the least time that the traffic, or the arithmetic, takes on this machine."""
    threads: int
    device: str
    versions: str
    commit: str


@dataclass(frozen=True, slots=True)
class Work:
    """Least traffic and arithmetic of an operator, for any implementation."""

    bytes: float
    """Every input read once, every output written once."""
    flops: float


@dataclass(frozen=True, slots=True)
class Machine:
    """Peak rates of the machine, measured in this process."""

    device: torch.device
    threads: int
    bytes_per_second: float
    flops_per_second: float

    def bound_ms(self, work: Work) -> float:
        """The roofline for some work."""
        return 1e3 * max(work.bytes / self.bytes_per_second, work.flops / self.flops_per_second)


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Quantiles of the repeats of one measurement."""

    p20_ms: float
    p50_ms: float
    p80_ms: float
    least_ms: float
    repeats: int


def quantiles_ms(
    step: Callable[[], object],
    device: torch.device,
    *,
    seconds: float = 1.0,
    most: int = 200,
    clock: Clock = "wall",
    first_ms: float | None = None,
) -> Quantiles:
    """Repeat `step` for about `seconds`, at least once, after a first call that does not count.

    If that call took ten times `seconds`, it counts, and there is no other.

    Args:
        step: what is measured.
        device: where it runs.
        seconds: to spend on the repeats.
        most: repeats.
        clock: what is counted.
        first_ms: how long the first call took, where it was made already.
    """
    times = [elapsed_ms(step, device, clock) if first_ms is None else first_ms]
    if times[0] < 1e4 * seconds:
        times = []
        end = time.perf_counter() + seconds
        while not times or (time.perf_counter() < end and len(times) < most):
            times.append(elapsed_ms(step, device, clock))
    times.sort()
    p20, p50, p80 = (times[int(q * (len(times) - 1) + 0.5)] for q in (0.2, 0.5, 0.8))
    return Quantiles(p20, p50, p80, times[0], len(times))


def elapsed_ms(step: Callable[[], object], device: torch.device, clock: Clock = "wall") -> float:
    """Time of one call, to the end of what it started."""
    now = time.perf_counter if clock == "wall" else time.thread_time
    _drain(device)
    start = now()
    step()
    _drain(device)
    return 1e3 * (now() - start)


def _drain(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure_machine(
    device: torch.device, *, seconds: float = 1.0, clock: Clock = "wall"
) -> Machine:
    """Bandwidth of a ← b + s · c, and arithmetic of a matrix product in float32."""
    a, b, c = (torch.rand(STREAM_FLOATS, device=device) for _ in range(3))
    triad = quantiles_ms(
        lambda: torch.add(b, c, alpha=3.0, out=a), device, seconds=seconds, clock=clock
    )
    m, n = (torch.rand(GEMM_SIDE, GEMM_SIDE, device=device) for _ in range(2))
    product = quantiles_ms(lambda: torch.mm(m, n), device, seconds=seconds, clock=clock)
    return Machine(
        device,
        torch.get_num_threads(),
        3 * 4 * STREAM_FLOATS / (1e-3 * triad.least_ms),
        2 * GEMM_SIDE**3 / (1e-3 * product.least_ms),
    )


def describe_versions() -> str:
    """Returns the versions that the numbers depend on."""
    packages = [f"{name} {version(name)}" for name in ("torch", "numba")]
    return ", ".join([f"python {platform.python_version()}", *packages])


def describe_commit() -> str:
    """The commit that is measured, with a + where files differ from it; installed, the version."""
    folder = Path(__file__).parent

    def git(*words: str) -> str:
        command = ["git", *words]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    if shutil.which("git") is None or not git("ls-files", Path(__file__).name):
        return f"xbind {version('xbind')}"
    dirty = git("status", "--porcelain", "-uno")
    return git("rev-parse", "--short", "HEAD") + ("+" if dirty else "")


def device_name(device: torch.device) -> str:
    """Name of the processor that is measured."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def write_rows(path: Path, rows: list[Row]) -> None:
    """Append one JSON line per measurement."""
    with path.open("a") as file:
        file.writelines(json.dumps(asdict(row)) + "\n" for row in rows)
