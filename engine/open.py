"""From a backend's name to a loaded graph: one `match`, no registry."""

import platform
from typing import Literal

from xbind.engine.backend import Backend
from xbind.engine.entry import Entry
from xbind.engine.errors import EngineError

BackendName = Literal["onnxruntime", "openvino"]
"""What can run a compiled graph."""


def open_backend(entry: Entry, *, threads: int) -> Backend:
    """Load an engine that the store has checked.

    Args:
        entry: the engine.
        threads: how many may compute, on a CPU.

    Raises:
        BackendUnavailable: its backend does not run here.
        EngineDamaged: its backend cannot load it.
    """
    match entry.key.fields["backend"]:
        case "onnxruntime":
            from xbind.engine import ort

            return ort.OrtBackend(entry.spec, entry.folder / ort.MODEL, threads=threads)
        case "openvino":
            from xbind.engine import ov

            precision = entry.key.fields["precision"]
            blob = entry.folder / ov.BLOB
            return ov.OvBackend(entry.spec, blob, threads=threads, precision=precision)
        case other:
            raise EngineError(f"No backend {other!r} can load {entry.folder}.")


def version_of(backend: BackendName) -> str:
    """The backend's full version, which every engine depends on.

    Raises:
        BackendUnavailable: it is not installed here.
    """
    match backend:
        case "onnxruntime":
            from xbind.engine import ort

            return ort.version()
        case "openvino":
            from xbind.engine import ov

            return ov.version()


def target_of(backend: BackendName) -> str:
    """What an engine built here runs on."""
    if backend == "openvino":
        from xbind.engine import ov

        return f"cpu {ov.cpu_name()}"
    return f"cpu {platform.machine()}"
