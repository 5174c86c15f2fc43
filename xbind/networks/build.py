"""From a graph of a bundle to an engine in the store: recorded, lowered, compared with torch."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from xbind.config.backends import BackendName
from xbind.config.options import Precision
from xbind.engine.backend import Backend
from xbind.engine.backends import card_of, check_precision, open_backend, record_of, resolve
from xbind.engine.eager import EagerBackend
from xbind.engine.errors import EngineRefused, ParityError
from xbind.engine.ort import MODEL, OrtBackend
from xbind.engine.record import Entry, Made
from xbind.engine.store import EngineStore, cards_passed
from xbind.export.build_settings import BuildSettings, EngineBuilder
from xbind.export.builder import Dialect
from xbind.export.fx_graph import FxGraph, to_fx
from xbind.export.mixed import keep_float32
from xbind.export.onnx_graph import PLAIN, Graph, lower, save
from xbind.export.parity import TOLERANCES, Figure, gate, measure
from xbind.export.record import record
from xbind.networks.fingerprint import key_of, read_layers
from xbind.networks.frozen import Bundle
from xbind.networks.graphs import MANY, GraphRequest, make_module, output_names, sample_inputs
from xbind.networks.precision import in_precision
from xbind.system.device import without_tf32

CPU = torch.device("cpu")
TRIALS = (0.05, 0.5, 0.95)
"""Noise levels at which every engine is compared with torch, as shares of the schedule."""
_RECORDED, _TRIED = 1, 2  # seeds: what is recorded and what is tried must differ


def build(
    store: EngineStore,
    bundle: Bundle,
    request: GraphRequest,
    backend: BackendName,
    *,
    precision: Precision = "float32",
    targets: Sequence[str] = (),
    waiting: Callable[[], None] = lambda: None,
) -> Entry:
    """The engine of a graph, built and compared with torch unless the store has it.

    An engine for a GPU that was built without one is compared on the first GPU that loads it.

    Args:
        store: where it goes.
        bundle: the frozen networks.
        request: the graph.
        backend: what shall run it.
        precision: of the frozen networks in it.
        targets: GPU architectures such as `sm89`; empty for this machine.
        waiting: called if another process is building the same engine.

    Raises:
        EngineError: it cannot be built.
        EngineRefused: it cannot be built for a reason that stays, or does not compute what torch
            computes (ParityError). This is remembered, and the next attempt repeats it.
    """
    check_precision(backend, precision, targets)
    key = key_of(request, backend, bundle.manifest, precision=precision, targets=targets)
    card = card_of(backend, key.fields["target"])
    if (why := store.refusal(key, card)) is not None:
        raise EngineRefused(why)

    settings = BuildSettings(
        backend=backend, precision=precision, targets=tuple(targets),
        threads=torch.get_num_threads(),
    )  # fmt: skip

    def make(folder: Path) -> Made:
        started = time.monotonic()
        module = make_module(bundle, request.name, two_passes=request.two_passes)
        lowered = in_precision(bundle, graph_precision(backend, precision))
        graph: Graph | FxGraph
        if record_of(backend).form == "fx":
            graph = export_fx(lowered, request, _where(card))
        else:
            graph = export(lowered, request, dialect_of(backend, precision))
            if precision == "mixed":
                graph = keep_float32(graph, read_layers(request, backend, bundle.manifest))
        build_engine: EngineBuilder = resolve(record_of(backend).builder)
        build_engine(graph, folder, settings)
        entry = Entry(folder, key, graph.spec, {}, {})
        with ExitStack() as stack:
            candidate, where = _candidate(entry, graph, lowered, request, card, stack)
            figures = compare_with_torch(bundle, request, module, candidate, _where(card))
        gate(request.label, where, figures, TOLERANCES[precision])
        compared_on.append(card)
        seconds = time.monotonic() - started
        return Made(graph.spec, {"seconds": seconds, "compared": where, **_noted(figures)})

    compared_on: list[str | None] = []
    try:
        entry = store.build(key, make, waiting)
        if card is not None and card not in cards_passed(entry):
            if card not in compared_on:
                compare_on_card(entry, bundle, request, precision, card)
            store.note_passed(entry, card)
    except ParityError as error:
        store.refuse(key, str(error), card)
        raise
    except EngineRefused as error:
        store.refuse(key, str(error))
        raise
    return entry


def compare_on_card(
    entry: Entry, bundle: Bundle, request: GraphRequest, precision: Precision, card: str
) -> None:
    """Compare an engine that was built elsewhere with torch, on the GPU that is here.

    Raises:
        ParityError: it does not compute what torch computes.
        EngineError: it cannot be loaded or run.
    """
    module = make_module(bundle, request.name, two_passes=request.two_passes)
    with open_backend(entry, threads=torch.get_num_threads()) as candidate:
        figures = compare_with_torch(bundle, request, module, candidate, _where(card))
    where = f"{entry.key.fields['backend']} ({card})"
    gate(request.label, where, figures, TOLERANCES[precision])


def _where(card: str | None) -> torch.device:
    """Where the reference is computed: minutes on a CPU, for networks of the public size."""
    return torch.device("cpu" if card is None else "cuda")


def graph_precision(backend: BackendName, precision: Precision) -> Precision:
    """The precision that is written into the graph."""
    return "float32" if record_of(backend).rounds_itself else precision


def _candidate(
    entry: Entry,
    graph: Graph | FxGraph,
    lowered: Bundle,
    request: GraphRequest,
    card: str | None,
    stack: ExitStack,
) -> tuple[Backend, str]:
    """Returns the subject of the comparison with torch and its name: the engine, or its graph."""
    backend = entry.key.fields["backend"]
    if record_of(backend).device == "cpu" or card is not None:
        threads = torch.get_num_threads()
        return stack.enter_context(open_backend(entry, threads=threads)), backend
    if entry.key.fields["precision"] == "bfloat16":  # which ONNX Runtime lacks on a CPU
        module = make_module(lowered, request.name, two_passes=request.two_passes)
        return EagerBackend(graph.spec, module), "eager torch in bfloat16 (not the engine)"
    folder = Path(stack.enter_context(TemporaryDirectory()))
    assert isinstance(graph, Graph)  # fx graphs are built on the device that runs them
    save(graph, folder)
    session = OrtBackend(graph.spec, folder / MODEL, threads=torch.get_num_threads())
    return stack.enter_context(session), "ONNX Runtime (its graph, not the engine)"


def dialect_of(backend: BackendName, precision: Precision) -> Dialect:
    """Returns the operator forms in a backend's graph."""
    record = record_of(backend)
    return Dialect(
        spread_scalars=record.spread_scalars,
        channel_norms=record.channel_norms and precision == "float32",
    )


def export(bundle: Bundle, request: GraphRequest, dialect: Dialect = PLAIN) -> Graph:
    """A module of the bundle as a graph, in the precision of its networks.

    Args:
        bundle: the networks, in any precision.
        request: the graph.
        dialect: what the backend wants.

    Raises:
        ExportError: it holds what no graph can hold.
    """
    module = make_module(bundle, request.name, two_passes=request.two_passes)
    generator = torch.Generator().manual_seed(_RECORDED)
    feeds = sample_inputs(bundle, request, 0.5, generator)
    # vars(): asked by name, diffusers looks into its configuration and warns.
    upcast = any(vars(part).get("upcast_attention", False) for part in module.modules())
    recording = record(module, feeds, output_names(request.name, module))
    return lower(request.label, recording, dialect, upcast_attention=upcast)


def export_fx(bundle: Bundle, request: GraphRequest, device: torch.device = CPU) -> FxGraph:
    """A module of the bundle as an fx graph, recorded on the device that it is compiled for.

    Kernels differ from device to device: attention on CUDA is another operation than on a CPU.

    Args:
        bundle: the networks, in any precision; on the CPU before and after.
        request: the graph.
        device: where it is recorded, and its constants stay.

    Raises:
        ExportError: it holds what no graph can hold.
    """
    module = make_module(bundle, request.name, two_passes=request.two_passes)
    generator = torch.Generator().manual_seed(_RECORDED)
    feeds = sample_inputs(bundle, request, 0.5, generator)
    feeds = {name: x.to(device) for name, x in feeds.items()}
    try:
        nn.Module.to(module, device)
        recording = record(module, feeds, output_names(request.name, module))
    finally:
        nn.Module.to(module, CPU)
    return to_fx(request.label, recording, feeds)


def trial_set(bundle: Bundle, request: GraphRequest) -> list[dict[str, Tensor]]:
    """The feeds on which engines of a graph are compared with torch, one for each noise level."""
    generator = torch.Generator().manual_seed(_TRIED)
    # A large batch is spread over the schedule by itself; once is enough, and three times is slow.
    shares = TRIALS if request.batch < MANY else TRIALS[:1]
    return [sample_inputs(bundle, request, share, generator) for share in shares]


def compare_with_torch(
    bundle: Bundle,
    request: GraphRequest,
    module: nn.Module,
    candidate: Backend,
    device: torch.device = CPU,
) -> list[Figure]:
    """Figures of every output over several noise levels, on what was not recorded.

    Args:
        bundle: the networks, in float32.
        request: the graph.
        module: of the graph, in float32; on the CPU before and after.
        candidate: what is compared with it.
        device: where `module` computes, without TF32.
    """
    trials = [
        {name: x.to(device) for name, x in feeds.items()} for feeds in trial_set(bundle, request)
    ]
    try:
        # nn.Module's own `to`: that of diffusers warns of modules it would rather keep as they are.
        nn.Module.to(module, device)
        with torch.no_grad(), without_tf32():
            return measure(EagerBackend(candidate.spec, module).run, candidate.run, trials)
    finally:
        nn.Module.to(module, CPU)


def _noted(figures: list[Figure]) -> Mapping[str, Any]:
    """Parity as plain data, for `xbind engines list`."""
    return {
        "parity": {f.output: {"cosine": f.cosine, "relative": f.relative} for f in figures},
    }
