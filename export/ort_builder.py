"""A graph as an engine of ONNX Runtime: the ONNX file itself."""

from pathlib import Path

from xbind.export.build_settings import BuildSettings
from xbind.export.onnx_graph import Graph, save


def build_engine(graph: Graph, folder: Path, settings: BuildSettings) -> None:
    """Write the graph, which ONNX Runtime compiles when it loads it.

    Raises:
        ExportError: ONNX's own checker refuses the graph.
    """
    del settings  # the precision is in the graph
    save(graph, folder)
