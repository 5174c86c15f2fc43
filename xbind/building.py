"""From a graph of a bundle to an engine in the store: recorded, lowered, compared with torch."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from xbind.engine.backend import Backend
from xbind.engine.eager import EagerBackend
from xbind.engine.entry import Entry, Made
from xbind.engine.open import BackendName, open_backend
from xbind.engine.store import EngineStore
from xbind.engine_keys import key_of
from xbind.export.onnx_graph import Graph, lower, save
from xbind.export.parity import TOLERANCES, Figure, gate, measure
from xbind.export.record import record
from xbind.frozen import Bundle
from xbind.graph_feeds import trial_feeds
from xbind.graphs import GraphRequest, make_module, output_names

TRIALS = (0.05, 0.5, 0.95)
"""Noise levels at which every engine is compared with torch, as shares of the schedule."""
_RECORDED, _TRIED = 1, 2  # seeds: what is recorded and what is tried must differ


def build(
    store: EngineStore,
    bundle: Bundle,
    request: GraphRequest,
    backend: BackendName,
    waiting: Callable[[], None] = lambda: None,
) -> Entry:
    """The engine of a graph, built and compared with torch unless the store has it.

    Args:
        store: where it goes.
        bundle: the frozen networks.
        request: the graph.
        backend: what shall run it.
        waiting: called if another process is building the same engine.

    Raises:
        EngineError: it cannot be built, or does not compute what torch computes; nothing is kept.
    """
    key = key_of(request, backend, bundle.manifest)

    def make(folder: Path) -> Made:
        started = time.monotonic()
        module = make_module(bundle, request.name)
        graph = export(bundle, request, module)
        _write(backend, graph, folder)
        unchecked = Entry(folder, key, graph.spec, {}, {})
        with open_backend(unchecked, threads=torch.get_num_threads()) as candidate:
            figures = compare_with_torch(bundle, request, module, candidate)
        gate(request.label, backend, figures, TOLERANCES[key.fields["precision"]])
        return Made(graph.spec, {"seconds": time.monotonic() - started, **_noted(figures)})

    return store.build(key, make, waiting)


def _write(backend: BackendName, graph: Graph, folder: Path) -> None:
    """What the backend loads, in float32."""
    match backend:
        case "onnxruntime":
            save(graph, folder)
        case "openvino":
            from xbind.export.ov_builder import build_openvino

            threads = torch.get_num_threads()
            build_openvino(graph, folder, threads=threads, precision="float32")


def export(bundle: Bundle, request: GraphRequest, module: nn.Module) -> Graph:
    """A module of the bundle as a graph in float32.

    Raises:
        ExportError: it holds what no graph can hold.
    """
    generator = torch.Generator().manual_seed(_RECORDED)
    feeds = trial_feeds(bundle, request, 0.5, generator)
    recording = record(module, feeds, output_names(request.name, module))
    return lower(request.label, recording)


def compare_with_torch(
    bundle: Bundle, request: GraphRequest, module: nn.Module, candidate: Backend
) -> list[Figure]:
    """Figures of every output over `TRIALS`, none of which is what was recorded."""
    generator = torch.Generator().manual_seed(_TRIED)
    trials = [trial_feeds(bundle, request, share, generator) for share in TRIALS]
    with torch.no_grad(), EagerBackend(candidate.spec, module) as reference:
        return measure(reference.run, candidate.run, trials)


def _noted(figures: list[Figure]) -> Mapping[str, Any]:
    """Parity as plain data, for `xbind engines list`."""
    return {
        "parity": {f.output: {"cosine": f.cosine, "relative": f.relative} for f in figures},
        "trials": list(TRIALS),
    }
