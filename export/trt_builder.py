"""A graph as a TensorRT or TensorRT-RTX engine.

Both have one API under two names. TensorRT-RTX builds for any of its GPUs on a machine that has
none; TensorRT builds for the GPU that is there. Every network is strongly typed: the precision is
in the graph, and TF32 is off, which otherwise rounds the factors of float32 products to 10 bits.

Polygraphy's loaders do not build here: they take their TensorRT package from the environment, once
per process, and `--engine auto` may try both packages in one.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from xbind.engine.trt import PLAN
from xbind.engine.trt_package import (
    RTX,
    check_target,
    collecting_log,
    load_tensorrt,
    local_target,
    runtime_errors,
    timing_cache_name,
)
from xbind.export.build_settings import BuildSettings
from xbind.export.errors import BuildRefused
from xbind.export.onnx_graph import MODEL, Graph, save
from xbind.files import atomic_write
from xbind.system.cache import writable_folder
from xbind.system.out_of_memory import is_memory_error, too_little_memory

Progress = Callable[[str, float], None]
"""Told the name of a build phase and the share of it that is done."""


def build_engine(graph: Graph, folder: Path, settings: BuildSettings) -> None:
    """Build an engine with the times that earlier builds have measured: see `build_plan`."""
    times = None
    if settings.backend != RTX:  # which measures nothing when it builds
        times = writable_folder("kernels") / timing_cache_name(settings.backend)
    build_plan(settings.backend, graph, folder, targets=settings.targets, timing_cache=times)


def build_plan(
    backend: str,
    graph: Graph,
    folder: Path,
    *,
    targets: Sequence[str] = (),
    timing_cache: Path | None = None,
    progress: Progress | None = None,
) -> None:
    """Build an engine and write it.

    Args:
        backend: `tensorrt` or `tensorrt-rtx`.
        graph: lowered in the dialect of TensorRT.
        folder: of the engine.
        targets: architectures such as `sm89`, for TensorRT-RTX; empty for the GPU that is there.
        timing_cache: file of the times that TensorRT has measured on this card, read and written;
            TensorRT-RTX measures nothing when it builds.
        progress: told how far the build is.

    Raises:
        BackendUnavailable: the package is not installed, or does not build for a target.
        BuildRefused: it refuses the graph; the message names the node.
        EngineError: anything else that it reports.
        TooLittleMemory: an allocation fails.
    """
    trt = load_tensorrt(backend)
    if backend == RTX:
        targets = targets or (local_target(),)
        for target in targets:
            check_target(backend, target)
    with runtime_errors(backend, f"build {graph.spec.name!r}"):
        plan = _build(backend, trt, graph, targets, timing_cache, progress)
    (folder / PLAN).write_bytes(plan)


def _build(
    backend: str,
    trt: Any,  # noqa: ANN401
    graph: Graph,
    targets: Sequence[str],
    timing_cache: Path | None,
    progress: Progress | None,
) -> Any:  # noqa: ANN401
    log = collecting_log(trt)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    with TemporaryDirectory() as temporary:
        save(graph, Path(temporary))
        if not parser.parse_from_file(str(Path(temporary) / MODEL)):
            raise BuildRefused(_parse_errors(backend, graph, parser))
        config = builder.create_builder_config()
        config.clear_flag(trt.BuilderFlag.TF32)
        if backend == RTX:
            # No memory is allocated at a launch, so that it can be recorded as a CUDA graph.
            config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
            _set_targets(trt, config, targets)
        if progress is not None:
            config.progress_monitor = _monitor(trt, progress)
        with _measured(backend, config, timing_cache):
            plan = builder.build_serialized_network(network, config)
    if plan is None:
        if is_memory_error(RuntimeError(log.said())):
            raise too_little_memory(RuntimeError(log.said()), f"building {graph.spec.name!r}")
        raise BuildRefused(
            f"{backend} {trt.__version__} cannot build {graph.spec.name!r}: {log.said()}\n"
            "Choose another --engine or --precision; `xbind engines gc` lets it be tried again."
        )
    return plan


@contextmanager
def _measured(backend: str, config: Any, path: Path | None) -> Iterator[None]:  # noqa: ANN401
    """Build with the times of earlier builds, and keep those of this one.

    A cache is bound to the card and to TensorRT's version; one that TensorRT does not take is
    replaced by an empty one. TensorRT-RTX must have none: with one it asks for a GPU.
    """
    if backend == RTX or path is None:
        yield
        return
    known = path.read_bytes() if path.is_file() else b""
    if not config.set_timing_cache(config.create_timing_cache(known), False):
        config.set_timing_cache(config.create_timing_cache(b""), False)
    yield
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, bytes(config.get_timing_cache().serialize()))


def _set_targets(trt: Any, config: Any, targets: Sequence[str]) -> None:  # noqa: ANN401
    config.num_compute_capabilities = len(targets)
    for index, name in enumerate(targets):
        if not config.set_compute_capability(getattr(trt.ComputeCapability, name.upper()), index):
            raise BuildRefused(
                f"TensorRT-RTX {trt.__version__} does not build for {name} beside "
                f"{', '.join(targets)}.\nName others with --target, such as --target sm86,sm89."
            )


def _parse_errors(backend: str, graph: Graph, parser: Any) -> str:  # noqa: ANN401
    errors = [parser.get_error(i) for i in range(parser.num_errors)]
    first = errors[0] if errors else None
    where = f" at {first.node_operator()} {first.node_name()}: {first.desc()}" if first else ""
    return (
        f"{backend} cannot read the graph {graph.spec.name!r}{where}\n"
        "Choose another --engine or --precision."
    )


def _monitor(trt: Any, progress: Progress) -> Any:  # noqa: ANN401
    """Reports how far each phase is; phases nest, and the innermost one is reported."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            del parent
            self.steps[name] = max(steps, 1)
            progress(name, 0.0)

        def step_complete(self, name: str, step: int) -> bool:
            progress(name, (step + 1) / self.steps[name])
            return True

        def phase_finish(self, name: str) -> None:
            progress(name, 1.0)
            del self.steps[name]

    return Monitor()
