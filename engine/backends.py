"""From a backend's name to a loaded graph: one `match`, no registry."""

import platform
from typing import TYPE_CHECKING, Literal

from xbind.engine.backend import Backend
from xbind.engine.errors import BackendUnavailable, EngineError
from xbind.engine.record import Entry
from xbind.system.cache import writable_folder

if TYPE_CHECKING:
    from xbind.engine.trt import Workspace

BackendName = Literal["onnxruntime", "openvino", "tensorrt", "tensorrt-rtx"]
"""What can run a compiled graph."""
CPU_BACKENDS: tuple[BackendName, ...] = ("openvino", "onnxruntime")
"""Those for a CPU, the fastest first (docs/reference/engines.md)."""
GPU_BACKENDS: tuple[BackendName, ...] = ("tensorrt", "tensorrt-rtx")
"""Those for CUDA; the first one that is installed is taken."""


def open_backend(entry: Entry, *, threads: int, workspace: "Workspace | None" = None) -> Backend:
    """Load an engine that the store has checked.

    Args:
        entry: the engine.
        threads: how many may compute, on a CPU.
        workspace: scratch memory to share with other engines, on a GPU.

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
        case "tensorrt" | "tensorrt-rtx" as backend:
            from xbind.engine import trt

            return trt.TrtBackend(
                entry.spec, entry.folder / trt.PLAN, backend=backend, device=trt.CudaDevice(),
                workspace=workspace or trt.Workspace(),
                runtime_cache=writable_folder("kernels") / f"{entry.folder.name}.bin",
            )  # fmt: skip
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
        case "tensorrt" | "tensorrt-rtx":
            from xbind.engine import trt

            return trt.version(backend)


def check_precision(backend: BackendName, precision: str) -> None:
    """Refuse a precision that a backend does not have here.

    Raises:
        BackendUnavailable: names those that it has.
    """
    if backend == "openvino":
        from xbind.engine import ov

        ov.check_precision(precision)
    if backend == "onnxruntime" and precision == "bfloat16":
        raise BackendUnavailable(
            "ONNX Runtime has no bfloat16 on a CPU, but float32 and float16.\n"
            "Give --engine openvino, or --precision float32."
        )


def cpu_backends(precision: str) -> list[BackendName]:
    """Those that are installed and compute in `precision` on this CPU, the fastest first.

    Raises:
        BackendUnavailable: none; says what to install, or which precision to take.
    """
    able: list[BackendName] = []
    reasons = [f"No engine computes in {precision} on this CPU."]
    for backend in CPU_BACKENDS:
        try:
            version_of(backend)
            check_precision(backend, precision)
        except BackendUnavailable as error:
            reasons.append(str(error))
        else:
            able.append(backend)
    if not able:
        raise BackendUnavailable("\n".join(reasons))
    return able


def target_of(backend: BackendName) -> str:
    """What an engine built here runs on.

    Raises:
        BackendUnavailable: the backend is for GPUs, and there is none.
    """
    match backend:
        case "openvino":
            from xbind.engine import ov

            return f"cpu {ov.cpu_name()}"
        case "tensorrt" | "tensorrt-rtx":
            from xbind.engine import trt

            return trt.local_target()
        case "onnxruntime":
            return f"cpu {platform.machine()}"


def portable_targets(backend: BackendName) -> tuple[str, ...]:
    """What to build for where this machine's GPU is one of several that one engine can serve."""
    if backend != "tensorrt-rtx":
        return ()
    from xbind.engine import trt

    return trt.RTX_TARGETS if trt.local_target() in trt.RTX_TARGETS else ()
