"""ONNX Runtime on a CUDA device: the package onnxruntime-gpu, which is imported as onnxruntime.

Not run by this project on a GPU. Known is that the calls exist with these arguments in ONNX Runtime
1.32, that a session on the CPU computes through the same bound buffers what torch computes, and
that the rest is called in this order, by a fake of the API that insists on it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xbind.engine.backend import Backend, Runtime
from xbind.engine.cuda_device import CudaDevice, card_of_device, has_card
from xbind.engine.errors import BackendUnavailable, EngineDamaged, EngineError, EngineRefused
from xbind.engine.ort import MODEL, import_onnxruntime
from xbind.engine.record import Entry
from xbind.engine.spec import GraphSpec, TensorSpec
from xbind.engine.workspace import Workspace
from xbind.errors import XBindError
from xbind.system.out_of_memory import is_memory_error, too_little_memory

PROVIDER = "CUDAExecutionProvider"
"""Execution provider of the session. No other may take a node."""
_ON_CPU = "assigned to the default CPU EP"
"""Words of ONNX Runtime about a graph that it would run on the CPU in part."""
_PRECISIONS = ("float32", "float16", "mixed")


class BoundSession:
    """A session with one fixed buffer for each input and output, bound once.

    Addresses stay, so that the work of a run can be recorded as a CUDA graph.
    """

    def __init__(self, session: Any, spec: GraphSpec, device: torch.device) -> None:  # noqa: ANN401
        """Allocate the buffers and bind them.

        Args:
            session: an `onnxruntime.InferenceSession`.
            spec: the graph's signature.
            device: where the session computes.
        """
        self._session = session
        self._binding = session.io_binding()
        self.buffers = {x.name: x.empty(device) for x in (*spec.inputs, *spec.outputs)}
        place = device.type, device.index or 0
        for wanted in spec.inputs:
            self._binding.bind_input(wanted.name, *place, *self._described(wanted))
        for wanted in spec.outputs:
            self._binding.bind_output(wanted.name, *place, *self._described(wanted))

    def run(self) -> None:
        """Compute the outputs' buffers from the inputs' buffers."""
        self._session.run_with_iobinding(self._binding)

    def _described(self, wanted: TensorSpec) -> tuple[Any, list[int], int]:
        """Element type, shape and address of a buffer."""
        return np.dtype(wanted.dtype).type, list(wanted.shape), self.buffers[wanted.name].data_ptr()


class OrtGpuBackend(Backend):
    """Runs a graph on CUDA, every node of it, recorded by ONNX Runtime as one CUDA graph.

    Feeds may live on any device; results are returned on that of the first feed.
    """

    def __init__(self, spec: GraphSpec, model: Path, *, device: CudaDevice) -> None:
        """Load `model`.

        Raises:
            BackendUnavailable: onnxruntime-gpu is not installed, or its libraries do not load.
            EngineRefused: ONNX Runtime would run a node on the CPU; the message names it.
            EngineDamaged: it cannot load the file.
            TooLittleMemory: an allocation fails.
        """
        super().__init__(spec)
        ort = load_onnxruntime_gpu()
        self._device, self._last = device, None
        self._stream = device.own_stream()
        with self._guarded("load"):
            session = _session(ort, model, device.device.index or 0, self._stream.cuda_stream)
        _check_assignment(ort, session, spec)
        self._bound: BoundSession | None = BoundSession(session, spec, device.device)

    def _run(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        assert self._bound is not None
        buffers = self._bound.buffers
        with self._guarded("run"):
            if self._last is not None:  # the caller may be on another stream than last time
                self._device.wait(self._last)
            for name, x in feeds.items():
                buffers[name].copy_(x.detach())
            stream = self._device.own_stream()  # which waits for these copies
            self._bound.run()
            self._device.join(stream, [])
            origin = next(iter(feeds.values())).device
            results = {n: buffers[n].to(origin, copy=True) for n in self.spec.output_names}
            self._last = self._device.mark()
            return results

    def close(self) -> None:
        """Wait for the device, and unload the graph."""
        if self._bound is not None:
            self._device.synchronize()  # a launch may still read buffers and weights
            self._bound = None

    @contextmanager
    def _guarded(self, doing: str) -> Iterator[None]:
        """Turn what ONNX Runtime raises into errors of ours; its classes share no base."""
        try:
            yield
        except XBindError:
            raise
        except Exception as error:
            if is_memory_error(error):
                raise too_little_memory(error, f"the engine {self.spec.name!r}") from error
            if _ON_CPU in str(error):
                raise _refused(self.spec, "some of its nodes") from error
            kind = EngineDamaged if doing == "load" else EngineError
            raise kind(
                f"ONNX Runtime failed to {doing} {self.spec.name!r} on CUDA "
                f"({type(error).__name__}: {error}).\n"
                "Compare driver and package with `xbind doctor`, or choose another --engine."
            ) from error


def _session(ort: Any, model: Path, index: int, stream: int) -> Any:  # noqa: ANN401
    """A session on one GPU and one stream, which fails rather than take the CPU for anything."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    settings = {
        "device_id": str(index),
        "user_compute_stream": str(stream),
        "enable_cuda_graph": "1",
        "use_tf32": "0",  # which rounds the factors of float32 products to 10 bits
    }
    # without this, Python catches a provider that does not start and takes the CPU
    return ort.InferenceSession(
        str(model), options, providers=[(PROVIDER, settings)], enable_fallback=0
    )


def _check_assignment(ort: Any, session: Any, spec: GraphSpec) -> None:  # noqa: ANN401
    """Look at who runs what, whatever was asked for.

    Raises:
        BackendUnavailable: the provider is not there.
        EngineRefused: a node is not the GPU's.
    """
    providers = session.get_providers()
    if providers[:1] != [PROVIDER]:
        raise BackendUnavailable(
            f"ONNX Runtime {ort.__version__} runs {spec.name!r} on {providers}, but {PROVIDER} was "
            "asked for: its CUDA libraries did not load.\n"
            "Install the versions of CUDA and cuDNN that onnxruntime-gpu names, or choose another "
            "--engine."
        )
    if not hasattr(session, "get_provider_graph_assignment_info"):  # an older version
        return
    for part in session.get_provider_graph_assignment_info():
        if part.ep_name != PROVIDER:
            nodes = [f"{node.op_type} {node.name}" for node in part.get_nodes()]
            raise _refused(spec, ", ".join(nodes[:3]))


def _refused(spec: GraphSpec, nodes: str) -> EngineRefused:
    return EngineRefused(
        f"ONNX Runtime has no CUDA kernel for {nodes} of {spec.name!r}, and would run them on the "
        "CPU.\nInstall a newer onnxruntime-gpu and call `xbind engines gc`, or choose another "
        "--engine."
    )


def load_onnxruntime_gpu() -> Any:  # noqa: ANN401
    """The module of ONNX Runtime, if it has the CUDA provider.

    Raises:
        BackendUnavailable: it is not installed, or the package for CPUs is.
    """
    ort = import_onnxruntime()
    if PROVIDER not in ort.get_available_providers():
        raise BackendUnavailable(
            f"The ONNX Runtime {ort.__version__} that is installed is for CPUs only.\n"
            "Replace it: `pip uninstall onnxruntime`, then `pip install onnxruntime-gpu`, which "
            "serves the CPU as well; or choose another --engine."
        )
    return ort


class OrtGpuRuntime(Runtime):
    """ONNX Runtime for CUDA."""

    def version(self) -> str:
        return str(load_onnxruntime_gpu().__version__)

    def target(self) -> str:
        return card_of_device(self.backend)

    def check_precision(self, precision: str, targets: Sequence[str] = ()) -> None:
        if precision not in _PRECISIONS:
            raise BackendUnavailable(
                f"ONNX Runtime has no {precision} for every operation on CUDA, but "
                f"{', '.join(_PRECISIONS)}.\nGive --precision float16, or another --engine."
            )

    def card(self, target: str) -> str | None:
        return target if has_card(target) else None

    def open(
        self,
        entry: Entry,
        *,
        threads: int,
        workspace: Workspace | None = None,
        device: torch.device | None = None,
    ) -> OrtGpuBackend:
        return OrtGpuBackend(entry.spec, entry.folder / MODEL, device=CudaDevice(device))
