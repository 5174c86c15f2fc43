"""TensorRT and TensorRT-RTX on a CUDA device: one API under two names.

Not run by this project on a GPU yet: what is known is that the calls exist with these arguments in
TensorRT-RTX 1.7.1, and that they are made in this order (a fake that insists on it).
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xbind.engine.backend import Backend
from xbind.engine.errors import BackendUnavailable, EngineDamaged
from xbind.engine.spec import GraphSpec
from xbind.files import atomic_write

PLAN = "engine.plan"
"""File name of a built engine in its folder."""
RTX_TARGETS = ("sm86", "sm89", "sm120")
"""What TensorRT-RTX engines are built for unless told otherwise: GeForce RTX 30, 40 and 50."""
_MODULES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
_INSTALL = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt-rtx-cu12"}


def load_tensorrt(backend: str) -> Any:  # noqa: ANN401
    """The module of `tensorrt` or `tensorrt-rtx`.

    Raises:
        BackendUnavailable: it is not installed.
    """
    try:
        return importlib.import_module(_MODULES[backend])
    except (ImportError, OSError) as error:  # OSError: a library it needs is not there
        raise BackendUnavailable(
            f"{backend} is not installed here ({error}).\n"
            f"Install it with `pip install {_INSTALL[backend]}`, or choose another --engine."
        ) from error


def version(backend: str) -> str:
    """Of the package.

    Raises:
        BackendUnavailable: it is not installed.
    """
    return str(load_tensorrt(backend).__version__)


def local_target() -> str:
    """Architecture of the CUDA device that is there, such as `sm89`.

    Raises:
        BackendUnavailable: there is none.
    """
    if not torch.cuda.is_available():
        raise BackendUnavailable(
            "TensorRT runs on a CUDA device, and torch finds none here.\n"
            "Choose --engine onnxruntime, or build for other machines with "
            "`xbind-build-engines --target sm86,sm89,sm120`."
        )
    major, minor = torch.cuda.get_device_capability()
    return f"sm{major}{minor}"


class CudaDevice:
    """What a backend asks of the device: memory and streams. Replaced by a fake in tests."""

    def __init__(self) -> None:
        local_target()
        self.device = torch.device("cuda")
        self._side = torch.cuda.Stream()

    def launch_stream(self) -> Any:  # noqa: ANN401
        """The caller's stream, or one of our own in place of the default stream.

        On the default stream TensorRT synchronises with everything else at every launch.
        """
        current = torch.cuda.current_stream()
        if current != torch.cuda.default_stream():
            return current
        self._side.wait_stream(current)
        return self._side

    def join(self, stream: Any, tensors: list[Tensor]) -> None:  # noqa: ANN401
        """Let the caller's stream wait for `stream`, and memory live until `stream` is done."""
        current = torch.cuda.current_stream()
        if stream != current:
            for tensor in tensors:
                tensor.record_stream(stream)
            current.wait_stream(stream)


@dataclass(slots=True)
class Workspace:
    """Scratch memory that all engines of a process share: they run one after the other."""

    memory: Tensor | None = field(default=None)

    def of(self, size: int, device: torch.device) -> Tensor:
        """At least `size` bytes, from torch's allocator, so that it counts them."""
        if self.memory is None or self.memory.numel() < size:
            self.memory = torch.empty(size, dtype=torch.uint8, device=device)
        return self.memory


class TrtBackend(Backend):
    """Runs an engine on tensors in place: inputs and outputs are bound by their addresses.

    Tensors that live elsewhere are brought to the device, and results back to where the first
    input lives.
    """

    def __init__(
        self,
        spec: GraphSpec,
        plan: Path,
        *,
        backend: str,
        workspace: Workspace,
        device: CudaDevice,
        runtime_cache: Path | None = None,
    ) -> None:
        """Load `plan`.

        Args:
            spec: the graph's signature, which the engine's must equal.
            plan: the engine.
            backend: `tensorrt` or `tensorrt-rtx`.
            workspace: shared scratch memory.
            device: where it runs.
            runtime_cache: file in which TensorRT-RTX keeps the kernels that it compiles on first
                use; None keeps none.

        Raises:
            BackendUnavailable: the package is not installed.
            EngineDamaged: the engine was built for another version or GPU, or differs from `spec`.
        """
        super().__init__(spec)
        self._trt = load_tensorrt(backend)
        self._device, self._workspace = device, workspace
        self._runtime = self._trt.Runtime(self._trt.Logger(self._trt.Logger.ERROR))
        self._engine = self._runtime.deserialize_cuda_engine(plan.read_bytes())
        if self._engine is None:
            raise EngineDamaged(
                f"{backend} {self._trt.__version__} cannot load {plan}: it was built for another "
                "version or GPU.\nBuild it again with xbind-build-engines."
            )
        _check_signature(self._trt, self._engine, spec, plan)
        self._cache_path = runtime_cache
        self._cache: Any = None
        self._context = self._make_context(is_rtx=backend == "tensorrt-rtx")

    def _make_context(self, *, is_rtx: bool) -> Any:  # noqa: ANN401
        """A context whose scratch memory is ours; with RTX also its cache and CUDA graphs."""
        strategy = self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        if not is_rtx:
            return self._engine.create_execution_context(strategy)
        config = self._engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(strategy)
        # Shapes are static: RTX records the whole graph once and replays it.
        config.cuda_graph_strategy = self._trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        if self._cache_path is not None:
            self._cache = config.create_runtime_cache()
            if self._cache_path.is_file():
                self._cache.deserialize(self._cache_path.read_bytes())
            config.set_runtime_cache(self._cache)
        return self._engine.create_execution_context(config)

    def _run(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        device, origin = self._device.device, next(iter(feeds.values())).device
        inputs = {name: x.detach().to(device).contiguous() for name, x in feeds.items()}
        outputs = {spec.name: spec.empty(device) for spec in self.spec.outputs}
        scratch = self._workspace.of(self._engine.device_memory_size_v2, device)
        self._context.set_device_memory(scratch.data_ptr(), scratch.numel())
        for name, tensor in {**inputs, **outputs}.items():
            if not self._context.set_tensor_address(name, tensor.data_ptr()):
                raise EngineDamaged(f"The engine {self.spec.name!r} does not take {name!r}.")
        stream = self._device.launch_stream()
        if not self._context.execute_async_v3(stream.cuda_stream):
            raise EngineDamaged(
                f"The engine {self.spec.name!r} failed to start.\n"
                "Build it again with xbind-build-engines, or choose another --engine."
            )
        self._device.join(stream, [*inputs.values(), *outputs.values(), scratch])
        return {name: tensor.to(origin) for name, tensor in outputs.items()}

    def close(self) -> None:
        """Give the engine back; kernels that RTX has compiled are kept for the next process."""
        if self._cache is not None and self._cache_path is not None:
            self._cache_path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(self._cache_path, bytes(self._cache.serialize()))
        del self._context, self._engine, self._runtime


def _check_signature(trt: Any, engine: Any, spec: GraphSpec, plan: Path) -> None:  # noqa: ANN401
    """Refuse an engine whose inputs and outputs are not those of its description."""
    found = {}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        dtype = str(engine.get_tensor_dtype(name)).removeprefix("DataType.").lower()
        found[name] = (is_input, _NAMES.get(dtype, dtype), tuple(engine.get_tensor_shape(name)))
    wanted = {s.name: (s in spec.inputs, s.dtype, s.shape) for s in (*spec.inputs, *spec.outputs)}
    if found != wanted:
        raise EngineDamaged(
            f"{plan} has another signature than its description.\n  wanted {wanted}\n"
            f"  found  {found}\nBuild it again with xbind-build-engines."
        )


_NAMES = {
    "float": "float32", "half": "float16", "bf16": "bfloat16", "int64": "int64", "int32": "int32",
    "bool": "bool",
}  # fmt: skip
"""TensorRT's element types, lower case → torch's."""
