"""Versions of the libraries whose arithmetic decides a result, for `config.json`."""

from collections.abc import Mapping
from importlib.metadata import version

import torch

import xbind
from xbind.config.backends import BACKENDS
from xbind.engine.backends import version_of

LIBRARIES = ("numpy", "scipy", "numba", "diffusers", "transformers", "xatlas")
"""Distributions that compute something of a run, beside torch and the backend of the engines."""


def versions(backend: str) -> dict[str, str]:
    """Name of a library → its version here.

    Args:
        backend: what runs the frozen networks; only a backend of engines has a version of its own.
    """
    found = {"xbind": xbind.__version__, "torch": torch.__version__}
    found |= {name: version(name) for name in LIBRARIES}
    if backend in BACKENDS:
        found[backend] = version_of(backend)
    return found


def other_versions(started_with: Mapping[str, str], backend: str) -> list[str]:
    """Returns a warning if the run was started with other versions."""
    here = versions(backend)
    differing = [
        f"{name} {there}, here {here[name]}"
        for name, there in started_with.items()
        if name in here and here[name] != there
    ]
    if not differing:
        return []
    return [
        f"this run was started with {'; '.join(differing)}: its object may differ from that of a "
        f"run that was not interrupted"
    ]
