"""What a backend does, by its name: each call goes to the `Runtime` that its record names.

The records are in `xbind.config.backends`.
"""

from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any

import torch

from xbind.config.backends import BACKENDS, BackendName, BackendRecord, automatic_for, backends_for
from xbind.engine.backend import Backend, Runtime
from xbind.engine.errors import BackendUnavailable, EngineError
from xbind.engine.record import Entry
from xbind.engine.workspace import Workspace


def record_of(backend: BackendName) -> BackendRecord:
    """The record of a backend.

    Raises:
        EngineError: there is no backend of that name.
    """
    if backend not in BACKENDS:
        raise EngineError(
            f"There is no backend {backend!r}.\nChoose with --engine: {', '.join(BACKENDS)}."
        )
    return BACKENDS[backend]


def resolve(path: str) -> Any:  # noqa: ANN401
    """The object that a record names as `module:name`."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def runtime_of(backend: BackendName) -> Runtime:
    """The library of a backend; it need not be installed.

    Raises:
        EngineError: there is no backend of that name.
    """
    runtime: Runtime = resolve(record_of(backend).runtime)(backend)
    return runtime


def open_backend(
    entry: Entry,
    *,
    threads: int,
    workspace: Workspace | None = None,
    device: torch.device | None = None,
) -> Backend:
    """Load an engine that the store has checked.

    Args:
        entry: the engine.
        threads: how many may compute, on a CPU.
        workspace: scratch memory to share with other engines, on a GPU.
        device: the GPU; the current one by default.

    Raises:
        BackendUnavailable: its backend does not run here, or it was built for another GPU.
        EngineDamaged: its backend cannot load it.
        EngineError: anything else that its backend reports.
    """
    runtime = runtime_of(entry.key.fields["backend"])
    return runtime.open(entry, threads=threads, workspace=workspace, device=device)


def version_of(backend: BackendName) -> str:
    """The backend's full version: see `Runtime.version`."""
    return runtime_of(backend).version()


def target_of(backend: BackendName) -> str:
    """The hardware that an engine built here is bound to: see `Runtime.target`."""
    return runtime_of(backend).target()


def portable_targets(backend: BackendName) -> tuple[str, ...]:
    """Architectures to build for here, or none: see `Runtime.default_targets`."""
    return runtime_of(backend).default_targets()


def check_precision(backend: BackendName, precision: str, targets: Sequence[str] = ()) -> None:
    """Refuse a precision that a backend lacks: see `Runtime.check_precision`."""
    runtime_of(backend).check_precision(precision, targets)


def check_starts(backend: BackendName) -> None:
    """Refuse a library that does not start: see `Runtime.check_starts`."""
    runtime_of(backend).check_starts()


def card_of(backend: BackendName, target: str) -> str | None:
    """The GPU that an engine for `target` runs on here; None if it runs on no GPU here.

    An engine that was built for several GPUs is compared with torch once on each.
    """
    return runtime_of(backend).card(target)


def check_available(backend: BackendName, precisions: Iterable[str]) -> None:
    """Refuse a backend that is not installed, or lacks this machine's hardware or a precision.

    Raises:
        BackendUnavailable: says what to install, or what to choose.
    """
    version_of(backend)
    target_of(backend)
    for precision in precisions:
        check_precision(backend, precision, portable_targets(backend))


def able_backends(
    device: str, precisions: Iterable[str] = ("float32",), threads: int = 1
) -> list[BackendName]:
    """The backends that `auto` may take on a device of this machine, the preferred one first.

    Args:
        device: `cpu` or `cuda`.
        precisions: those that each of them must have.
        threads: that compute; with two or more, guidance steps run side by side.

    Raises:
        BackendUnavailable: none; gives the reason of each.
    """
    able, wanted = [], sorted(precisions)
    hardware = "CPU" if device == "cpu" else "GPU"
    reasons = [f"No engine computes in {' and '.join(wanted)} on this {hardware}."]
    for record in automatic_for(device, threads):
        try:
            check_available(record.name, wanted)
        except BackendUnavailable as error:
            reasons.append(str(error))
        else:
            able.append(record.name)
    by_name = [r.name for r in backends_for(device) if not r.is_automatic]
    reasons += [f"Taken by name only: --engine {name}." for name in by_name]
    if not able:
        raise BackendUnavailable("\n".join(reasons))
    return able
