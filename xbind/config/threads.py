"""`--threads N|auto`: how many threads compute. No torch here."""

import os
from typing import Annotated

import tyro

MOST_AUTO = 2
"""Threads that `auto` takes at most: with the small networks of the mini bundle, more have not been
seen to take less time."""


def free_threads() -> int:
    """Threads for which there are idle cores, from 1 to `MOST_AUTO`.

    Cores that this process may use, less those that the machine kept busy during the last minute
    (its load average, where the system has one).
    """
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    try:
        busy = os.getloadavg()[0]
    except (AttributeError, OSError):
        busy = 0.0
    return max(1, min(MOST_AUTO, cores - round(busy)))


def _from_words(words: list[str]) -> int:
    if words[0] == "auto":
        return free_threads()
    try:
        return int(words[0])
    except ValueError:
        raise ValueError(f"--threads wants a whole number or auto, got {words[0]!r}") from None


ThreadCount = Annotated[
    int,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1, metavar="N|auto", instance_from_str=_from_words,
        is_instance=lambda value: isinstance(value, int),
        str_from_instance=lambda value: [str(value)],
    ),
]  # fmt: skip
"""A number of threads, which a command line may leave to `free_threads`."""
