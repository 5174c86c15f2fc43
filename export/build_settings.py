"""How an engine is to be built, and the function that every backend builds with."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildSettings:
    """How an engine is to be built; a backend reads those that mean something to it."""

    backend: str
    """Name of the backend, for builders that serve several."""
    precision: str
    """Of the frozen networks: `float32`, `float16` or `bfloat16`."""
    targets: tuple[str, ...] = ()
    """GPU architectures such as `sm89`; empty for this machine."""
    threads: int = 1
    """Threads that the engine will compute with, on a CPU."""


EngineBuilder = Callable[[Any, Path, BuildSettings], None]
"""Writes the files of an engine into a folder, which is there and empty.

The graph is a `Graph` or an `FxGraph`, as the record of the backend says. It raises `ExportError`
where its library refuses the graph, and `BackendUnavailable` where the library is not installed.
"""
