"""Engines of TensorRT and TensorRT-RTX on a CUDA device.

Not run by this project on a GPU. Known is that the calls exist with these arguments in
TensorRT-RTX 1.7.1, and that they are made in this order, by a fake of the API that insists on it.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xbind.engine import trt_package
from xbind.engine.backend import Backend, Runtime
from xbind.engine.cuda_device import CudaDevice
from xbind.engine.errors import BackendUnavailable, EngineDamaged, EngineError
from xbind.engine.record import Entry
from xbind.engine.spec import GraphSpec
from xbind.engine.trt_package import (
    RTX,
    collecting_log,
    load_tensorrt,
    runtime_errors,
)
from xbind.engine.workspace import Workspace
from xbind.files import atomic_write
from xbind.system.cache import writable_folder

log = logging.getLogger(__name__)

PLAN = "engine.plan"
"""File name of a built engine in its folder."""


class TrtBackend(Backend):
    """An engine with an input and output buffer for each of its tensors, bound once.

    TensorRT-RTX records the engine as one CUDA graph and records it again whenever an address
    changes, so feeds are copied in and results are copied out. Feeds may live on any device;
    results are returned on that of the first feed.
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
            EngineError: anything else that TensorRT reports.
            TooLittleMemory: an allocation fails.
        """
        super().__init__(spec)
        self._name, self._trt = backend, load_tensorrt(backend)
        self._device, self._workspace, self._cache_path = device, workspace, runtime_cache
        self._cache: Any = None
        self._scratch: Tensor | None = None
        self._is_capturable: bool | None = None
        with self._guarded("load"):
            self._log = collecting_log(self._trt)
            self._runtime = self._trt.Runtime(self._log)
            self._engine = self._runtime.deserialize_cuda_engine(plan.read_bytes())
            if self._engine is None:
                raise EngineDamaged(
                    f"{backend} {self._trt.__version__} cannot load {plan}: it was built for "
                    f"another version or GPU ({self._log.said()}).\n"
                    "Build it again with xbind-build-engines."
                )
            _check_signature(self._trt, self._engine, spec, plan)
            self._context = self._make_context()
            tensors = (*spec.inputs, *spec.outputs)
            self._buffers = {tensor.name: tensor.empty(device.device) for tensor in tensors}
            for name, buffer in self._buffers.items():
                if not self._context.set_tensor_address(name, buffer.data_ptr()):
                    raise EngineDamaged(f"The engine {spec.name!r} does not take {name!r}.")

    @contextmanager
    def _guarded(self, doing: str) -> Iterator[None]:
        """On the engine's device, with every error of TensorRT turned into one of ours."""
        what = f"{doing} the engine {self.spec.name!r}"
        with runtime_errors(self._name, what), self._device.active():
            yield

    def _make_context(self) -> Any:  # noqa: ANN401
        """A context whose scratch memory is ours; with RTX also its cache and CUDA graphs."""
        strategy = self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        how = self._runtime_config(strategy) if self._name == RTX else strategy
        context = self._engine.create_execution_context(how)
        if context is None:
            raise EngineError(
                f"{self._name} {self._trt.__version__} makes no execution context for the engine "
                f"{self.spec.name!r}: {self._log.said()}.\n"
                "Free GPU memory, compare driver and package with `xbind doctor`, or choose "
                "another --engine."
            )
        return context

    def _runtime_config(self, strategy: Any) -> Any:  # noqa: ANN401
        config = self._engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(strategy)
        # Shapes are static: RTX records the whole graph once and replays it.
        config.cuda_graph_strategy = self._trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        if self._cache_path is not None:
            self._cache = config.create_runtime_cache()
            known = self._cache_path.read_bytes() if self._cache_path.is_file() else None
            if known is not None and not self._cache.deserialize(known):
                log.info("%s is from another card or driver; it is written again", self._cache_path)
            config.set_runtime_cache(self._cache)
        return config

    def _run(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        with self._guarded("run"):
            if self._workspace.last is not None:  # of this engine or another, on any stream
                self._device.wait(self._workspace.last)
            for name, x in feeds.items():
                self._buffers[name].copy_(x.detach())
            self._bind_scratch()
            stream = self._device.launch_stream()
            self._log_capturability(stream)
            if not self._context.execute_async_v3(stream.cuda_stream):
                raise EngineError(
                    f"The engine {self.spec.name!r} failed to start: {self._log.said()}.\n"
                    "Build it again with xbind-build-engines, or choose another --engine."
                )
            assert self._scratch is not None
            self._device.join(stream, [self._scratch])
            origin = next(iter(feeds.values())).device
            names = self.spec.output_names
            results = {name: self._buffers[name].to(origin, copy=True) for name in names}
            self._workspace.last = self._device.mark()
            return results

    def _bind_scratch(self) -> None:
        """Bind the shared scratch memory, again only if another engine has made it grow."""
        size = self._engine.device_memory_size_v2
        scratch = self._workspace.of(size, self._device.device)
        if scratch is not self._scratch:
            self._context.set_device_memory(scratch.data_ptr(), scratch.numel())
            self._scratch = scratch

    def _log_capturability(self, stream: Any) -> None:  # noqa: ANN401
        """Log once whether TensorRT-RTX can record this engine as a CUDA graph."""
        if self._name != RTX or self._is_capturable is not None:
            return
        self._is_capturable = bool(self._context.is_stream_capturable(stream.cuda_stream))
        words = "as one CUDA graph" if self._is_capturable else "kernel by kernel: no CUDA graph"
        log.info("%s: TensorRT-RTX runs it %s", self.spec.name, words)

    def close(self) -> None:
        """Wait for the device, keep the kernels that RTX has compiled, and unload the engine."""
        if self._context is None:
            return
        with self._guarded("unload"):
            self._device.synchronize()  # a launch may still read buffers and weights
            if self._cache is not None and self._cache_path is not None:
                self._save_cache(self._cache_path, bytes(self._cache.serialize()))
            self._buffers, self._scratch, self._cache = {}, None, None
            self._context = self._engine = self._runtime = None

    def _save_cache(self, path: Path, content: bytes) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, content)
        except OSError as error:  # the results of the run are worth more than its cache
            log.warning("cannot keep compiled kernels in %s: %s", path, error)


def _check_signature(trt: Any, engine: Any, spec: GraphSpec, plan: Path) -> None:  # noqa: ANN401
    """Refuse an engine whose inputs and outputs are not those of its description."""
    found = {}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        dtype = str(engine.get_tensor_dtype(name)).removeprefix("DataType.").lower()
        on_device = engine.get_tensor_location(name) == trt.TensorLocation.DEVICE
        shape = tuple(engine.get_tensor_shape(name))
        found[name] = (is_input, _NAMES.get(dtype, dtype), shape, on_device)
    wanted = {
        s.name: (s in spec.inputs, s.dtype, s.shape, True) for s in (*spec.inputs, *spec.outputs)
    }
    if found != wanted:
        raise EngineDamaged(
            f"{plan} has another signature than its description (input?, type, shape, on the GPU?)."
            f"\n  wanted {wanted}\n  found  {found}\nBuild it again with xbind-build-engines."
        )


_NAMES = {
    "float": "float32", "half": "float16", "bf16": "bfloat16", "int64": "int64", "int32": "int32",
    "bool": "bool",
}  # fmt: skip
"""TensorRT's element types, lower case → torch's."""


class TrtRuntime(Runtime):
    """TensorRT, or TensorRT-RTX."""

    def version(self) -> str:
        return trt_package.version(self.backend)

    def target(self) -> str:
        return trt_package.plan_target(self.backend)

    def check_precision(self, precision: str, targets: Sequence[str] = ()) -> None:
        trt_package.check_precision(self.backend, precision, tuple(targets))

    def default_targets(self) -> tuple[str, ...]:
        return trt_package.rtx_targets() if self.backend == RTX else ()

    def check_starts(self) -> None:
        trt_package.check_runtime(self.backend)

    def card(self, target: str) -> str | None:
        return trt_package.local_card() if trt_package.covers(self.backend, target) else None

    def open(
        self,
        entry: Entry,
        *,
        threads: int,
        workspace: Workspace | None = None,
        device: torch.device | None = None,
    ) -> Backend:
        target, here = entry.key.fields["target"], trt_package.local_card(device)
        if not trt_package.covers(self.backend, target, device):
            raise BackendUnavailable(
                f"{entry.folder} was built for {target}, but this GPU is {here}.\n"
                "Build one for it with xbind-build-engines."
            )
        # By the key: a builder opens the engine in a folder of another name.
        cache = f"{entry.key.folder_name}-{trt_package.local_target(device)}.bin"
        return TrtBackend(
            entry.spec, entry.folder / PLAN, backend=self.backend, device=CudaDevice(device),
            workspace=workspace or Workspace(), runtime_cache=writable_folder("kernels") / cache,
        )  # fmt: skip
