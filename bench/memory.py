"""The most memory that a piece of work needs, beyond what was there before it."""

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

_T = TypeVar("_T")
_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


def peak_bytes_of(work: Callable[[], _T], device: torch.device) -> tuple[_T, int | None]:
    """Run `work`; what it returns, and its peak above the memory that was held before.

    On CUDA that is what torch allocated. On Linux it is resident memory: the allocator returns
    what it can first, so the figure is the work's own to within a few MiB, and 0 for little work.

    Returns:
        The result, and the peak; None where the system does not tell.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        result = work()
        torch.cuda.synchronize(device)
        return result, torch.cuda.max_memory_allocated(device) - before
    if not _can_reset():
        return work(), None
    before = _field("VmRSS")
    result = work()
    return result, max(_field("VmHWM") - before, 0)


def _can_reset() -> bool:
    """Return unused memory, and start the kernel's high-water mark again."""
    if sys.platform != "linux":
        return False
    ctypes.CDLL(None).malloc_trim(0)
    try:
        _RESET.write_text("5")
    except OSError:  # a container may forbid it
        return False
    return True


def _field(name: str) -> int:
    """A line of `status`, in bytes."""
    lines = _STATUS.read_text().splitlines()
    (value,) = (line.split()[1] for line in lines if line.startswith(f"{name}:"))
    return 1024 * int(value)
