"""TensorRT and TensorRT-RTX as packages: versions, GPU architectures, log and errors.

Both have one API under two names. An architecture is written as `sm89`: compute capability 8.9.
"""

import hashlib
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from xbind.engine.errors import BackendUnavailable, EngineError
from xbind.errors import XBindError
from xbind.system.out_of_memory import is_memory_error, too_little_memory

RTX = "tensorrt-rtx"
"""The backend whose engines are compiled for the card when they are loaded, not when built."""
RTX_TARGETS = ("sm86", "sm89", "sm120")
"""What one TensorRT-RTX engine is built for by default: GeForce RTX 30, 40 and 50."""
CARDS = {
    "sm75": "GeForce RTX 20, T4",
    "sm80": "A100",
    "sm86": "GeForce RTX 30, A10, A40",
    "sm89": "GeForce RTX 40, L4, L40",
    "sm90": "H100, H200",
    "sm100": "B200",
    "sm103": "B300",
    "sm120": "GeForce RTX 50",
    "sm121": "DGX Spark",
}
"""Architecture → cards of it, for messages."""
_MODULES = {"tensorrt": "tensorrt", RTX: "tensorrt_rtx"}
_INSTALL = {"tensorrt": "tensorrt", RTX: "tensorrt-rtx-cu12"}


def load_tensorrt(backend: str) -> Any:  # noqa: ANN401
    """The module of `tensorrt` or `tensorrt-rtx`.

    Raises:
        BackendUnavailable: it is not installed, or a library that it needs is missing.
    """
    try:
        return importlib.import_module(_MODULES[backend])
    except (ImportError, OSError, RuntimeError) as error:  # the last two: a library is missing
        raise BackendUnavailable(
            f"{backend} is not installed here ({error}).\n"
            f"Install it with `pip install {_INSTALL[backend]}`, or choose another --engine."
        ) from error


def version(backend: str) -> str:
    """The version of the package.

    Raises:
        BackendUnavailable: it is not installed.
    """
    return str(load_tensorrt(backend).__version__)


def local_target(device: torch.device | None = None) -> str:
    """The architecture of a CUDA device, such as `sm89`; of the current one by default.

    Raises:
        BackendUnavailable: there is no CUDA device.
    """
    if not torch.cuda.is_available():
        raise BackendUnavailable(
            "TensorRT runs on a CUDA device, and torch finds none here.\n"
            "Choose --engine onnxruntime, or build for other machines with "
            "`xbind-build-engines --target sm86,sm89,sm120`."
        )
    major, minor = torch.cuda.get_device_capability(device)
    return f"sm{major}{minor}"


def local_card(device: torch.device | None = None) -> str:
    """Architecture and name of a CUDA device, such as `sm89 NVIDIA GeForce RTX 4090`.

    Raises:
        BackendUnavailable: there is no CUDA device.
    """
    return f"{local_target(device)} {torch.cuda.get_device_name(device)}"


def plan_target(backend: str, device: torch.device | None = None) -> str:
    """What a plan built for this machine is bound to: an architecture for RTX, else the card.

    TensorRT measures its kernels on the card, and two cards of one architecture differ.

    Raises:
        BackendUnavailable: there is no CUDA device, or the builder does not know its architecture.
    """
    if backend != RTX:
        return local_card(device)
    check_target(backend, local_target(device))
    return local_target(device)


def rtx_targets(device: torch.device | None = None) -> tuple[str, ...]:
    """Architectures of the engine that this machine's GPU runs; never TensorRT-RTX's own default.

    That default covers 8.0, 8.6, 8.9, 12.0 and later, so a GPU of 7.5 has to be named.

    Raises:
        BackendUnavailable: there is no CUDA device, or the builder does not know its architecture.
    """
    here = plan_target(RTX, device)
    return RTX_TARGETS if here in RTX_TARGETS else (here,)


def check_target(backend: str, target: str) -> None:
    """Refuse an architecture that TensorRT-RTX does not build for, before anything is built.

    Raises:
        BackendUnavailable: names the architectures that it builds for.
    """
    trt = load_tensorrt(backend)
    known = [name.lower() for name in trt.ComputeCapability.__members__ if name.startswith("SM")]
    if target not in known:
        cards = f" ({CARDS[target]})" if target in CARDS else ""
        raise BackendUnavailable(
            f"TensorRT-RTX {trt.__version__} does not build for {target}{cards}, but for "
            f"{', '.join(sorted(known, key=lambda name: (len(name), name)))}.\n"
            "Name others with --target, such as --target sm86,sm89,sm120; on this GPU choose "
            "--engine tensorrt or --engine cuda-graphs."
        )


def check_precision(backend: str, precision: str, targets: tuple[str, ...]) -> None:
    """Refuse bfloat16 on Turing, whose TensorRT-RTX builder fails with a compiler message.

    Raises:
        BackendUnavailable: one of the targets has no bfloat16.
    """
    if backend == RTX and precision == "bfloat16" and "sm75" in targets:
        raise BackendUnavailable(
            "TensorRT-RTX has no bfloat16 on sm75 (GeForce RTX 20, T4).\nGive --precision float16."
        )


def covers(backend: str, target: str, device: torch.device | None = None) -> bool:
    """Whether an engine with this `target` in its key may be opened on a CUDA device."""
    if not torch.cuda.is_available():
        return False
    if backend == RTX:
        return local_target(device) in target.split("+")
    return local_card(device) == target


def check_runtime(backend: str) -> None:
    """Make TensorRT's runtime once, which fails where driver and package do not fit.

    Raises:
        BackendUnavailable: the package is not installed.
        EngineError: it does not start.
    """
    trt = load_tensorrt(backend)
    with runtime_errors(backend, "start"):
        log = collecting_log(trt)
        if trt.Runtime(log) is None:
            raise EngineError(
                f"{backend} {trt.__version__} does not start: {log.said()}.\n"
                "Compare driver and package with `xbind doctor`, or choose another --engine."
            )


def timing_cache_name(backend: str) -> str:
    """File name of the times that TensorRT has measured on the card that is here.

    Raises:
        BackendUnavailable: there is no CUDA device, or the package is not installed.
    """
    card = hashlib.sha256(local_card().encode()).hexdigest()[:12]
    return f"times-{version(backend)}-{card}.bin"


@contextmanager
def runtime_errors(backend: str, doing: str) -> Iterator[None]:
    """Turn whatever TensorRT raises while `doing` something into an `EngineError`.

    pybind11 maps C++ exceptions to Python classes without a common base, and raises a `TypeError`
    where a constructor fails, as with a driver that is too old: hence `Exception`.
    """
    try:
        yield
    except XBindError:
        raise
    except Exception as error:
        if is_memory_error(error):
            raise too_little_memory(error, doing) from error
        raise EngineError(
            f"{backend} failed to {doing} ({type(error).__name__}: {error}).\n"
            "Compare driver and package with `xbind doctor`, or choose another --engine."
        ) from error


def collecting_log(trt: Any) -> Any:  # noqa: ANN401
    """A TensorRT logger that keeps errors in `errors` for a message and prints nothing."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:  # noqa: ANN401
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(message)

        def said(self) -> str:
            return "; ".join(self.errors) or "it does not say why"

    return Log()
