"""How much freed memory the C library keeps for the next allocation (glibc)."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
MAPPED_FROM = 32 * 2**20
"""Bytes from which an allocation has a mapping of its own, returned to the system when it is freed.
The most that every version of glibc takes, and where its own adaptation of this number ends."""
KEPT = 256 * 2**20
"""Bytes at the end of the heap that stay with the process when they are freed: more than one
iteration of the mini bundle allocates."""
USUAL = 2 * MAPPED_FROM
"""The same in glibc's own adaptation."""


@contextmanager
def freed_memory_kept(count: int = KEPT) -> Iterator[None]:
    """Keep up to `count` bytes of freed memory while open, and return it to the system afterwards.

    An iteration allocates and frees the same tensors again and again. By default glibc returns most
    of them to the system, which clears every page when it is next used: a quarter to a third of the
    time of Phase I outside of guidance steps. The peak memory and the results stay the same.

    Without effect where the C library is not glibc, or the user has set it in the environment.
    """
    library = _glibc()
    if library is None:
        yield
        return
    _keep(library, count)
    try:
        yield
    finally:
        _keep(library, USUAL)
        library.malloc_trim(0)


@contextmanager
def freed_memory_usual(count: int = KEPT) -> Iterator[None]:
    """Inside `freed_memory_kept(count)`: keep only what glibc does by itself, while open."""
    library = _glibc()
    if library is not None:
        _keep(library, USUAL)
    try:
        yield
    finally:
        if library is not None:
            _keep(library, count)


def _keep(library: Any, count: int) -> None:  # noqa: ANN401
    library.mallopt(_M_MMAP_THRESHOLD, MAPPED_FROM)
    library.mallopt(_M_TRIM_THRESHOLD, count)


def _glibc() -> Any:  # noqa: ANN401
    """The C library, if it is glibc and not set by the user."""
    if not sys.platform.startswith("linux"):
        return None
    named = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")
    if any(name in os.environ for name in named) or "malloc" in os.environ.get(
        "GLIBC_TUNABLES", ""
    ):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
