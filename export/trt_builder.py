"""A graph as a TensorRT or TensorRT-RTX engine.

Both have one API under two names. TensorRT-RTX builds for any of its GPUs on a machine that has
none; TensorRT builds for the GPU that is there. Every network is strongly typed: the precision is
in the graph.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from xbind.engine.trt import PLAN, load_tensorrt
from xbind.export.errors import ExportError
from xbind.export.onnx_graph import MODEL, Graph, save

Progress = Callable[[str, float], None]
"""Told the name of a build phase and the share of it that is done."""


def build_plan(
    backend: str,
    graph: Graph,
    folder: Path,
    *,
    targets: Sequence[str] = (),
    progress: Progress | None = None,
) -> None:
    """Build an engine and write it.

    Args:
        backend: `tensorrt` or `tensorrt-rtx`.
        graph: lowered in the dialect of TensorRT.
        folder: of the engine.
        targets: architectures such as `sm89`, for TensorRT-RTX; empty for the GPU that is there.
        progress: told how far the build is.

    Raises:
        BackendUnavailable: the package is not installed.
        ExportError: it refuses the graph; the message names the node.
    """
    trt = load_tensorrt(backend)
    log = _log(trt)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    with TemporaryDirectory() as temporary:
        save(graph, Path(temporary))
        if not parser.parse_from_file(str(Path(temporary) / MODEL)):
            raise ExportError(_parse_errors(backend, graph, parser))
        config = builder.create_builder_config()
        _set_targets(trt, config, targets)
        if progress is not None:
            config.progress_monitor = _monitor(trt, progress)
        plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ExportError(
            f"{backend} {trt.__version__} cannot build {graph.spec.name!r}: "
            f"{'; '.join(log.errors) or 'it does not say why'}"
        )
    (folder / PLAN).write_bytes(plan)


def _set_targets(trt: Any, config: Any, targets: Sequence[str]) -> None:  # noqa: ANN401
    if not targets:
        return
    config.num_compute_capabilities = len(targets)
    for index, name in enumerate(targets):
        capability = getattr(trt.ComputeCapability, name.upper(), None)
        if capability is None or not config.set_compute_capability(capability, index):
            raise ExportError(
                f"TensorRT-RTX {trt.__version__} does not build for {name}.\n"
                "Name others with --target, such as --target sm86,sm89,sm120."
            )


def _parse_errors(backend: str, graph: Graph, parser: Any) -> str:  # noqa: ANN401
    errors = [parser.get_error(i) for i in range(parser.num_errors)]
    first = errors[0] if errors else None
    where = f" at {first.node_operator()} {first.node_name()}: {first.desc()}" if first else ""
    return f"{backend} cannot read the graph {graph.spec.name!r}{where}"


def _log(trt: Any) -> Any:  # noqa: ANN401
    """Keeps errors for the message; says nothing itself."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:  # noqa: ANN401
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(message)

    return Log()


def _monitor(trt: Any, progress: Progress) -> Any:  # noqa: ANN401
    """Passes on how far each phase is; phases nest, the innermost is what is told."""

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
