"""OpenVINO on the CPU."""

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
from xbind.system.telemetry import import_openvino

BLOB = "engine.blob"
"""File name of a compiled model in an engine's folder."""
DEVICE = "CPU"
_HINTS = {"float32": "f32", "bfloat16": "bf16"}
"""Precision → OpenVINO's word for it. Without it, it takes bfloat16 where the CPU has it."""


class OvBackend(Backend):
    """Runs a compiled model on a fixed number of threads."""

    def __init__(self, spec: GraphSpec, blob: Path, *, threads: int, precision: str) -> None:
        """Load `blob`.

        Raises:
            BackendUnavailable: OpenVINO is not installed.
            EngineDamaged: it cannot load the file.
            TooLittleMemory: an allocation fails.
        """
        super().__init__(spec)
        openvino = _runtime()
        try:
            with memory_errors(f"the engine {spec.name!r}"):
                self._model = openvino.Core().import_model(
                    blob.read_bytes(), DEVICE, properties(threads, precision)
                )
        except (RuntimeError, OSError) as error:
            raise EngineDamaged(
                f"OpenVINO {version()} cannot load {blob}:\n{error}\n"
                "Remove it with `xbind engines gc`, and it will be built again."
            ) from error

    def _run(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        arrays = {name: x.detach().contiguous().numpy() for name, x in feeds.items()}
        results = self._model(arrays)  # its outputs are buffers that the next call overwrites
        return {name: torch.from_numpy(np.array(results[name])) for name in self.spec.output_names}

    def close(self) -> None:
        del self._model


def properties(threads: int, precision: str) -> dict[str, str | int]:
    """Properties with which a model is compiled and loaded."""
    return {"INFERENCE_PRECISION_HINT": _HINTS[precision], "INFERENCE_NUM_THREADS": threads}


def check_precision(precision: str) -> None:
    """Refuse a precision that OpenVINO does not compute in on this CPU.

    Raises:
        BackendUnavailable: names what it has.
    """
    capabilities = _runtime().Core().get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")
    available = ["float32", *(["bfloat16"] if "BF16" in capabilities else [])]
    if precision not in available:
        raise BackendUnavailable(
            f"OpenVINO does not compute in {precision} on this CPU, but in "
            f"{' and '.join(available)}.\nGive --precision {available[-1]}."
        )


def cpu_name() -> str:
    """Properties that a compiled model depends on."""
    return str(_runtime().Core().get_property(DEVICE, "FULL_DEVICE_NAME"))


def version() -> str:
    """Version of OpenVINO, with its build.

    Raises:
        BackendUnavailable: it is not installed.
    """
    return str(_runtime().__version__)


def _runtime() -> Any:  # noqa: ANN401
    try:
        return import_openvino()
    except ImportError as error:
        raise BackendUnavailable(
            "OpenVINO is not installed here.\n"
            "Install it with `pip install openvino`, or choose --engine onnxruntime."
        ) from error


class OvRuntime(Runtime):
    """OpenVINO."""

    def version(self) -> str:
        return version()

    def target(self) -> str:
        return f"cpu {cpu_name()}"

    def check_precision(self, precision: str, targets: Sequence[str] = ()) -> None:
        check_precision(precision)

    def open(
        self,
        entry: Entry,
        *,
        threads: int,
        workspace: Workspace | None = None,
        device: torch.device | None = None,
    ) -> OvBackend:
        precision = entry.key.fields["precision"]
        return OvBackend(entry.spec, entry.folder / BLOB, threads=threads, precision=precision)
