"""The layer in which an engine leaves its tolerance, and the layers to keep in float32.

Every tensor of an engine's graph is compared with the same tensor of the same graph in float32.
ONNX Runtime computes the latter, with all intermediate tensors marked as outputs by Polygraphy.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from onnx import NodeProto
from torch import Tensor

from xbind.config.options import Precision
from xbind.engine.backend import Backend
from xbind.engine.backends import card_of, open_backend, record_of, resolve, runtime_of
from xbind.engine.errors import BackendUnavailable
from xbind.engine.ort import MODEL, OrtBackend, OrtRuntime
from xbind.engine.record import Entry, Key
from xbind.export.build_settings import BuildSettings, EngineBuilder
from xbind.export.intermediate import tensors_in_file, tensors_in_graph
from xbind.export.mixed import HALF, element_types, keep_float32, marked, tensors_of, widened
from xbind.export.onnx_graph import Graph, save
from xbind.export.parity import TOLERANCES, Figure, compare
from xbind.files import atomic_write
from xbind.networks.build import (
    compare_with_torch,
    dialect_of,
    export,
    graph_precision,
    trial_set,
)
from xbind.networks.fingerprint import layers_file, read_layers
from xbind.networks.frozen import Bundle
from xbind.networks.graphs import GraphRequest, make_module
from xbind.networks.precision import in_precision

MARKED_AT_ONCE = 256
"""Intermediate tensors that are kept in memory at a time; each group loads the graph again."""
HALF_RANGE = 65504.0 / 2
"""Largest magnitude that is left in float16, with room for a doubled value."""
CANCELLED = 0.01
"""A sum whose root mean square is below this share of its terms' has cancelled."""
SUMS = ("Add", "ReduceMean", "ReduceSum", "Sub", "Sum")
"""Operations in which terms may cancel."""
MOST_KEPT = 64
"""Layers that are tried in float32 at most, beside those whose values are beyond half's range."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A node of a graph, and how far its worst output is from float32."""

    name: str
    op: str
    weight: str | None
    """Name of the first parameter that it reads."""
    relative: float
    """‖difference‖ / ‖reference‖; infinite where the result is not finite and should be."""
    inherited: float
    """The same of its worst input."""
    largest: float
    """Largest magnitude of the reference."""
    cancels: bool = False
    """Whether terms cancel in it, so that its relative error says nothing; or it only hands on
    the error of such a layer."""

    @property
    def added(self) -> float:
        """The error that is its own."""
        return self.relative - self.inherited if self.inherited < math.inf else 0.0

    def __str__(self) -> str:
        weight = f", reads {self.weight}" if self.weight else ""
        return (
            f"{self.name} ({self.op}{weight}): error {self.relative:.1e}, of its inputs "
            f"{self.inherited:.1e}, values up to {self.largest:.2g}"
        )


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found about an engine."""

    compared: str
    """What was run in the engine's place, or the engine."""
    layers: tuple[Layer, ...]
    """All, in the order in which they compute."""
    first: Layer | None
    """The first one out of tolerance."""
    passes: bool
    """Whether the outputs are within the engine's tolerance."""
    keep: tuple[str, ...] | None
    """Names of the layers with which a mixed graph passes; None if it was not tried or fails."""


def diagnose(bundle: Bundle, request: GraphRequest, key: Key, stored: Entry | None) -> Diagnosis:
    """Compare an engine with float32, tensor by tensor.

    Args:
        bundle: the networks that the engine was made of, in float32.
        request: its graph.
        key: of the engine.
        stored: the engine; None for one that was refused.

    Raises:
        BackendUnavailable: Polygraphy is not installed, or nothing here computes in the precision.
        EngineError: the graph cannot be built or run.
    """
    if record_of(key.fields["backend"]).form != "onnx":
        raise BackendUnavailable(
            f"{key.fields['backend']} engines are not ONNX graphs, so their layers have no names.\n"
            f"Build the same graph for another backend, and diagnose that engine."
        )
    subject = _Subject(bundle, request, key, stored)
    tolerance = TOLERANCES[subject.precision]
    figures, worst = subject.outputs_at_worst(subject.graph)
    passes = all(figure.passes(tolerance) for figure in figures)
    layers = tuple(subject.layers(worst))
    beyond = [x for x in layers if x.relative > tolerance.relative and not x.cancels]
    own = [x for x in beyond if x.added > tolerance.relative / 2]
    first = next(iter(own or beyond), None)
    keep = None
    if not passes and subject.precision in ("float16", "mixed"):
        keep = _layers_to_keep(subject, layers)
    return Diagnosis(subject.where, layers, first, passes, keep)


def save_layers(bundle: Bundle, request: GraphRequest, backend: str, names: Sequence[str]) -> Path:
    """Let `--precision mixed` hold these layers of a graph in float32; the file that says so."""
    path = layers_file(request, backend, bundle.manifest)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, json.dumps(list(names), indent=1).encode())
    return path


class _Subject:
    """The engine that is diagnosed: its graph, and what runs it."""

    def __init__(
        self, bundle: Bundle, request: GraphRequest, key: Key, stored: Entry | None
    ) -> None:
        self.bundle, self.request, self.key = bundle, request, key
        self.backend = key.fields["backend"]
        self.precision: Precision = key.fields["precision"]  # type: ignore[assignment]
        lowered = in_precision(bundle, graph_precision(self.backend, self.precision))
        self.plain = export(lowered, request, dialect_of(self.backend, self.precision))
        self.graph = self.plain
        if self.precision == "mixed":
            self.graph = keep_float32(
                self.plain, read_layers(request, self.backend, bundle.manifest)
            )
        self.reference = widened(self.plain)
        card = card_of(self.backend, key.fields["target"])
        self.device = torch.device("cpu" if card is None else "cuda")
        is_graph = isinstance(runtime_of(self.backend), OrtRuntime)  # the engine's file is one
        self.in_onnxruntime = is_graph or (
            record_of(self.backend).device == "cuda" and card is None
        )
        self.stored = stored if is_graph else None
        if self.in_onnxruntime and self.precision == "bfloat16":
            raise BackendUnavailable(
                f"Nothing here computes {request.label} layer by layer in bfloat16: ONNX Runtime "
                f"has none on a CPU.\nDiagnose the engine on the GPU that runs it."
            )
        self.where = self.backend
        if self.in_onnxruntime and not is_graph:
            self.where = "ONNX Runtime (its graph, not the engine)"

    def layers(self, feeds: Mapping[str, Tensor]) -> Iterator[Layer]:
        """Every layer with its error on one set of feeds."""
        nodes = tensors_of(self.graph)
        shared = tensors_of(self.reference)  # a mixed graph has casts that this one lacks
        names = [name for name in nodes if name in shared]
        errors: dict[str, float] = {}
        largest: dict[str, float] = {}
        spread: dict[str, float] = {}
        for start in range(0, len(names), MARKED_AT_ONCE):
            some = names[start : start + MARKED_AT_ONCE]
            wanted = tensors_in_graph(self.reference, some, feeds)
            found = self._tensors(some, feeds)
            for name in some:
                errors[name] = _error(name, wanted[name], found[name])
                largest[name] = float(wanted[name].abs().max()) if wanted[name].numel() else 0.0
                spread[name] = float(wanted[name].square().mean().sqrt())
        cancelled: set[str] = set()
        for node in self.graph.model.graph.node:
            outputs = [name for name in node.output if name in errors]
            if not outputs:
                continue
            relative = max(errors[name] for name in outputs)
            inherited = max((errors.get(name, 0.0) for name in node.input), default=0.0)
            terms = max((spread.get(name, 0.0) for name in node.input), default=0.0)
            cancels = node.op_type in SUMS and spread[outputs[0]] < CANCELLED * terms
            hands_on = not cancelled.isdisjoint(node.input) and relative <= 1.5 * inherited
            if cancels or hands_on:
                cancelled.update(outputs)
            yield Layer(
                node.name, node.op_type, self._weight(node), relative, inherited,
                largest=max(largest[name] for name in outputs), cancels=cancels or hands_on,
            )  # fmt: skip

    def _weight(self, node: NodeProto) -> str | None:
        named = (n for n in node.input if n in self.graph.weights and not n.startswith("const_"))
        return next(named, None)

    def outputs_at_worst(self, graph: Graph) -> tuple[list[Figure], dict[str, Tensor]]:
        """Figures of the outputs over all trials, and the feeds of the worst trial."""
        trials = trial_set(self.bundle, self.request)
        with self.opened(graph) as candidate:
            figures = self.compared(candidate)
            with TemporaryDirectory() as folder:
                save(self.reference, Path(folder))
                spec, threads = self.reference.spec, torch.get_num_threads()
                with OrtBackend(spec, Path(folder) / MODEL, threads=threads) as exact:
                    errors = [_worst(exact.run(feeds), candidate.run(feeds)) for feeds in trials]
        return figures, trials[errors.index(max(errors))]

    def compared(self, candidate: Backend) -> list[Figure]:
        """Figures of the outputs against torch over all trials, as of the engine's own gate."""
        module = make_module(self.bundle, self.request.name, two_passes=self.request.two_passes)
        return compare_with_torch(self.bundle, self.request, module, candidate, self.device)

    @contextmanager
    def opened(self, graph: Graph) -> Iterator[Backend]:
        """A graph in what runs the engine here; the engine itself where its file is a graph."""
        threads = torch.get_num_threads()
        with TemporaryDirectory() as temporary:
            folder = Path(temporary)
            if self.in_onnxruntime:
                path = folder / MODEL
                if self.stored is not None and graph is self.graph:
                    path = self.stored.folder / MODEL
                else:
                    save(graph, folder)
                with OrtBackend(graph.spec, path, threads=threads) as backend:
                    yield backend
                return
            targets = tuple(t for t in self.key.fields["target"].split("+") if " " not in t)
            build_engine: EngineBuilder = resolve(record_of(self.backend).builder)
            settings = BuildSettings(
                backend=self.backend, precision=self.precision, targets=targets, threads=threads
            )
            build_engine(graph, folder, settings)
            with open_backend(
                Entry(folder, self.key, graph.spec, {}, {}), threads=threads
            ) as backend:
                yield backend

    def _tensors(self, names: Sequence[str], feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if self.stored is not None:
            return tensors_in_file(self.stored.folder / MODEL, names, feeds)
        if self.in_onnxruntime:
            return tensors_in_graph(self.graph, names, feeds)
        with self.opened(marked(self.graph, names)) as backend:
            return {name: x for name, x in backend.run(feeds).items() if name in names}


def _layers_to_keep(subject: _Subject, layers: Sequence[Layer]) -> tuple[str, ...] | None:
    """The fewest layers, by doubling, with which the outputs pass; None if they never do."""
    beyond = _beyond_half(subject.plain, layers)
    ranked = sorted(
        (x for x in layers if x.name not in beyond and not x.cancels and 0 < x.added < math.inf),
        key=lambda layer: -layer.added,
    )
    count = 0 if beyond else 1
    while count <= min(MOST_KEPT, len(ranked)):
        names = tuple(sorted({*beyond, *(layer.name for layer in ranked[:count])}))
        with subject.opened(keep_float32(subject.plain, names)) as candidate:
            figures = subject.compared(candidate)
        if all(figure.passes(TOLERANCES["mixed"]) for figure in figures):
            return names
        count = max(1, 2 * count)
    return None


def _beyond_half(graph: Graph, layers: Sequence[Layer]) -> set[str]:
    """Layers whose values are beyond half's range, and those that read such values."""
    types = element_types(graph)
    in_half = {node.name for node in graph.model.graph.node
               if any(types.get(name) in HALF for name in node.output)}  # fmt: skip
    large = {x.name for x in layers if x.largest > HALF_RANGE and x.name in in_half}
    overflows = [x for x in layers if x.relative == math.inf > x.inherited]
    if overflows and not large:  # in the midst of an operation
        large = {overflows[0].name}
    computed = {name for node in graph.model.graph.node if node.name in large
                for name in node.output}  # fmt: skip
    readers = {n.name for n in graph.model.graph.node if computed.intersection(n.input)}
    known = {node.name for node in graph.model.graph.node}
    return (large | readers) & known


def _error(name: str, wanted: Tensor, found: Tensor) -> float:
    """Relative error of a tensor; infinite where only the candidate is not finite."""
    if not bool(torch.isfinite(wanted).all()):
        return 0.0
    relative = compare(name, wanted.float(), found.float()).relative
    return relative if math.isfinite(relative) else math.inf


def _worst(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> float:
    return max(_error(name, wanted[name], found[name]) for name in wanted)
