"""From a backend's name to a loaded graph: one `match`, no registry."""

import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch

from xbind.engine.backend import Backend
from xbind.engine.errors import BackendUnavailable, EngineError
from xbind.engine.record import Entry
from xbind.system.cache import writable_folder

if TYPE_CHECKING:
    from xbind.engine.trt import Workspace

BackendName = Literal["onnxruntime", "openvino", "tensorrt", "tensorrt-rtx"]
"""What can run a compiled graph."""
CPU_BACKENDS: tuple[BackendName, ...] = ("openvino", "onnxruntime")
"""Those for a CPU, the fastest first (docs/engines.md)."""
GPU_BACKENDS: tuple[BackendName, ...] = ("tensorrt", "tensorrt-rtx")
"""Those for CUDA; the first one that can build for the device is taken."""


def open_backend(
    entry: Entry,
    *,
    threads: int,
    workspace: "Workspace | None" = None,
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
            from xbind.engine import trt, trt_package

            target, here = entry.key.fields["target"], trt_package.local_card(device)
            if not trt_package.covers(backend, target, device):
                raise BackendUnavailable(
                    f"{entry.folder} was built for {target}, but this GPU is {here}.\n"
                    "Build one for it with xbind-build-engines."
                )
            # By the key: a builder opens the engine in a folder of another name.
            cache = f"{entry.key.folder_name}-{trt_package.local_target(device)}.bin"
            return trt.TrtBackend(
                entry.spec, entry.folder / trt.PLAN, backend=backend,
                device=trt.CudaDevice(device), workspace=workspace or trt.Workspace(),
                runtime_cache=writable_folder("kernels") / cache,
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
            from xbind.engine import trt_package

            return trt_package.version(backend)


def check_precision(backend: BackendName, precision: str, targets: Sequence[str] = ()) -> None:
    """Refuse a precision that a backend does not have here, or on the architectures `targets`.

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
    if backend == "tensorrt-rtx":
        from xbind.engine import trt_package

        trt_package.check_precision(backend, precision, tuple(targets))


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
            from xbind.engine import trt_package

            return trt_package.plan_target(backend)
        case "onnxruntime":
            return f"cpu {platform.machine()}"


def portable_targets(backend: BackendName) -> tuple[str, ...]:
    """What to build for where one engine can serve several GPUs, this machine's among them.

    Raises:
        BackendUnavailable: there is no GPU, or the backend does not build for it.
    """
    if backend != "tensorrt-rtx":
        return ()
    from xbind.engine import trt_package

    return trt_package.rtx_targets()


def gpu_backends(precision: str) -> list[BackendName]:
    """Those that are installed, build for this GPU and compute in `precision`, in order.

    Raises:
        BackendUnavailable: none; says why for each.
    """
    able: list[BackendName] = []
    reasons = ["No engine runs on this GPU."]
    for backend in GPU_BACKENDS:
        try:
            version_of(backend)
            target_of(backend)
            check_precision(backend, precision, portable_targets(backend))
        except BackendUnavailable as error:
            reasons.append(str(error))
        else:
            able.append(backend)
    if not able:
        raise BackendUnavailable("\n".join(reasons))
    return able


def check_runtime(backend: BackendName) -> None:
    """Refuse a GPU backend that does not start, as with a driver that is too old for it.

    Raises:
        EngineError: the message says why.
    """
    if backend in GPU_BACKENDS:
        from xbind.engine import trt_package

        trt_package.check_runtime(backend)


def card_of(backend: BackendName, target: str) -> str | None:
    """The GPU that an engine for `target` runs on here; None if it runs on no GPU here.

    An engine that was built for several GPUs is compared with torch once on each.
    """
    if backend not in GPU_BACKENDS:
        return None
    from xbind.engine import trt_package

    return trt_package.local_card() if trt_package.covers(backend, target) else None
