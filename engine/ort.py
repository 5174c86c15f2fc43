"""ONNX Runtime on the CPU."""

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xbind.engine.backend import Backend, Runtime
from xbind.engine.errors import BackendUnavailable, EngineDamaged
from xbind.engine.record import Entry
from xbind.engine.spec import GraphSpec
from xbind.engine.workspace import Workspace
from xbind.system.out_of_memory import memory_errors

MODEL = "model.onnx"
"""File name of the graph in an engine's folder."""
PROVIDER = "CPUExecutionProvider"
"""Execution provider of the session; no other is registered."""


class OrtBackend(Backend):
    """Runs a graph in float32 or float16 on a fixed number of threads."""

    def __init__(self, spec: GraphSpec, model: Path, *, threads: int) -> None:
        """Load `model`.

        Raises:
            BackendUnavailable: ONNX Runtime is not installed or does not run on the CPU.
            EngineDamaged: it cannot load the file.
            TooLittleMemory: an allocation fails.
        """
        super().__init__(spec)
        ort = import_onnxruntime()
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # A thread that waits by spinning takes the time of the one that renders, or of others.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            with memory_errors(f"the engine {spec.name!r}"):
                session = ort.InferenceSession(str(model), options, providers=[PROVIDER])
        except _load_errors(ort) as error:
            raise EngineDamaged(
                f"ONNX Runtime {ort.__version__} cannot load {model}:\n{error}\n"
                "Remove it with `xbind engines gc`, and it will be built again."
            ) from error
        if session.get_providers() != [PROVIDER]:
            raise BackendUnavailable(
                f"ONNX Runtime runs {spec.name!r} on {session.get_providers()}, but {PROVIDER} was "
                "asked for.\nInstall the onnxruntime package, or choose --engine eager."
            )
        self._session = session

    def _run(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        arrays = {name: x.detach().numpy() for name, x in feeds.items()}
        results = self._session.run(list(self.spec.output_names), arrays)
        tensors = (torch.from_numpy(np.asarray(array)) for array in results)
        return dict(zip(self.spec.output_names, tensors, strict=True))

    def close(self) -> None:
        del self._session


def version() -> str:
    """Version of ONNX Runtime.

    Raises:
        BackendUnavailable: it is not installed.
    """
    return str(import_onnxruntime().__version__)


def _load_errors(ort: Any) -> tuple[type[Exception], ...]:  # noqa: ANN401
    """Exceptions of ONNX Runtime for damaged graphs; they share no base class."""
    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoSuchFile")
    own = ort.capi.onnxruntime_pybind11_state
    return tuple(getattr(own, name) for name in (*names, "NotImplemented", "RuntimeException"))


def import_onnxruntime() -> Any:  # noqa: ANN401
    """The module of ONNX Runtime.

    Raises:
        BackendUnavailable: it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendUnavailable(
            "ONNX Runtime is not installed here.\n"
            "Install it with `pip install onnxruntime`, or choose --engine eager."
        ) from error
    return onnxruntime


class OrtRuntime(Runtime):
    """ONNX Runtime."""

    def version(self) -> str:
        return version()

    def target(self) -> str:
        return f"cpu {platform.machine()}"

    def check_precision(self, precision: str, targets: Sequence[str] = ()) -> None:
        if precision == "bfloat16":
            raise BackendUnavailable(
                "ONNX Runtime has no bfloat16 on a CPU, but float32 and float16.\n"
                "Give --engine openvino, or --precision float32."
            )

    def open(
        self,
        entry: Entry,
        *,
        threads: int,
        workspace: Workspace | None = None,
        device: torch.device | None = None,
    ) -> OrtBackend:
        return OrtBackend(entry.spec, entry.folder / MODEL, threads=threads)
