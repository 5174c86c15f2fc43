"""A graph as a compiled OpenVINO model."""

from pathlib import Path
from tempfile import TemporaryDirectory

from onnx import ModelProto

from xbind.engine.ov import BLOB, DEVICE, properties
from xbind.export.build_settings import BuildSettings
from xbind.export.errors import ExportError
from xbind.export.onnx_graph import MODEL, Graph, save
from xbind.system.out_of_memory import memory_errors
from xbind.system.telemetry import import_openvino


def build_engine(graph: Graph, folder: Path, settings: BuildSettings) -> None:
    """Compile a graph for this CPU and write it.

    Args:
        graph: in float32; OpenVINO chooses where it computes in the precision of the settings.
        folder: of the engine.
        settings: precision `float32` or `bfloat16`, and threads.

    Raises:
        ExportError: OpenVINO refuses the graph.
        ImportError: OpenVINO is not installed.
        TooLittleMemory: an allocation fails.
    """
    openvino = import_openvino()
    with TemporaryDirectory() as temporary:
        save(separate_weights(graph), Path(temporary))
        core = openvino.Core()
        try:
            with memory_errors(f"compiling {graph.spec.name!r}"):
                model = core.read_model(Path(temporary) / MODEL)
                compiled = core.compile_model(
                    model, DEVICE, properties(settings.threads, settings.precision)
                )
        except RuntimeError as error:
            raise ExportError(f"OpenVINO refuses the graph {graph.spec.name!r}: {error}") from error
        (folder / BLOB).write_bytes(compiled.export_model().getvalue())


def separate_weights(graph: Graph) -> Graph:
    """The same graph with a weight of its own for every use of a weight.

    OpenVINO's CPU plugin (seen in 2026.4.1) computes a wrong gradient, without a word, where one
    weight feeds a forward node and the backward node that has it transposed. A copy for each cures
    it. The parity gate is what makes sure; this is only why it passes.
    """
    model = ModelProto()
    model.CopyFrom(graph.model)
    weights, used = dict(graph.weights), set()
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            if name not in graph.weights or graph.weights[name].ndim < 2:
                continue
            if name in used:
                copy = f"{name}.for.{node.name}.{position}"
                weights[copy] = weights[name]
                node.input[position] = copy
            used.add(name)
    return Graph(graph.spec, model, weights)
