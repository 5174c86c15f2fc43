"""Intermediate tensors of a graph, from ONNX Runtime, marked as outputs by Polygraphy."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from xbind.engine.errors import BackendUnavailable, EngineError
from xbind.export.onnx_graph import EMBEDDED_BYTES, MODEL, WEIGHTS, Graph, save


def tensors_in_graph(
    graph: Graph, names: Sequence[str], feeds: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Tensors of a graph by name: see `tensors_in_file`."""
    with TemporaryDirectory() as folder:
        save(graph, Path(folder))
        return tensors_in_file(Path(folder) / MODEL, names, feeds)


def tensors_in_file(
    path: Path, names: Sequence[str], feeds: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Tensors of a graph by name.

    Args:
        path: the graph, in ONNX form.
        names: of the tensors, computed by any node.
        feeds: one tensor for every input.

    Raises:
        BackendUnavailable: Polygraphy is not installed.
        EngineError: there is no such tensor, or ONNX Runtime cannot run the graph.
    """
    poly = _polygraphy()
    with poly.quiet(), TemporaryDirectory() as folder:
        try:
            model = poly.modify_outputs(poly.onnx_from_path(str(path)), outputs=list(names))
            target = str(Path(folder) / MODEL)
            is_large = path.with_name(WEIGHTS).exists()
            poly.save_onnx(
                model, target, external_data_path=WEIGHTS if is_large else None,
                size_threshold=EMBEDDED_BYTES if is_large else None,
            )  # fmt: skip
            with poly.OnnxrtRunner(poly.session_from_onnx(target)) as runner:
                given = {name: x.detach().cpu().numpy() for name, x in feeds.items()}
                return {n: torch.from_numpy(x.copy()) for n, x in runner.infer(given).items()}
        except poly.PolygraphyException as error:
            raise EngineError(
                f"Polygraphy cannot run {path} with its tensors marked: {error}\n"
                "Build the engine again with xbind-build-engines."
            ) from error


def _polygraphy() -> Any:  # noqa: ANN401
    """What of Polygraphy is used.

    Raises:
        BackendUnavailable: it is not installed.
    """
    try:
        import onnx_graphsurgeon  # noqa: F401  (Polygraphy imports it when it changes a graph)
        from polygraphy.backend.onnx import modify_outputs, onnx_from_path, save_onnx
        from polygraphy.backend.onnxrt import OnnxrtRunner, session_from_onnx
        from polygraphy.exception import PolygraphyException
        from polygraphy.logger import G_LOGGER
    except ImportError as error:
        raise BackendUnavailable(
            f"Polygraphy is not installed here ({error}).\n"
            "Install it with `pip install polygraphy onnx-graphsurgeon`."
        ) from error
    return SimpleNamespace(
        modify_outputs=modify_outputs, onnx_from_path=onnx_from_path, save_onnx=save_onnx,
        OnnxrtRunner=OnnxrtRunner, session_from_onnx=session_from_onnx,
        PolygraphyException=PolygraphyException,
        quiet=lambda: G_LOGGER.verbosity(G_LOGGER.CRITICAL),
    )  # fmt: skip
