"""What a run computes its frozen networks with: engines where they are wanted, else eager torch."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from xbind.config import EngineChoice, Precision
from xbind.engine.backend import Backend
from xbind.engine.entry import Entry, Key
from xbind.engine.errors import BackendUnavailable, EngineDamaged, EngineError, ParityError
from xbind.engine.open import (
    BackendName,
    check_precision,
    cpu_backends,
    open_backend,
    portable_targets,
    target_of,
    version_of,
)
from xbind.engine.step import EngineStep
from xbind.engine.store import EngineStore
from xbind.engine.trt import Workspace
from xbind.engine_keys import key_of
from xbind.frozen import Bundle
from xbind.graphs import GraphRequest, eager_steps
from xbind.guidance.priors import UNet
from xbind.guidance.step import GuidanceStep

Report = Callable[[str], None]
_NAMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}


@dataclass(frozen=True, slots=True)
class Compiled:
    """The frozen half of a run, ready to be called."""

    backend: str
    """`eager`, or what the engines run on."""
    step: Callable[[str], GuidanceStep]
    """Name → guidance step."""
    bundle: Bundle
    """For what is computed once, before the first step; its 2D UNet may be an engine."""


class EngineUNet:
    """A UNet whose calls at one size are an engine's."""

    def __init__(self, backend: Backend, unet: UNet) -> None:
        """`unet` is what the engine was made of; its configuration is needed still."""
        self.config = unet.config
        self._backend = backend

    def __call__(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        *,
        class_labels: Tensor | None,
        return_dict: bool,
    ) -> tuple[Tensor, ...]:
        """Return the prediction as the only element.

        Raises:
            FeedError: the batch is not the engine's.
        """
        assert not return_dict
        feeds = {
            "sample": sample,
            "timestep": timestep,
            "encoder_hidden_states": encoder_hidden_states,
        }
        labelled = {} if class_labels is None else {"class_labels": class_labels}
        return (self._backend.run(feeds | labelled)["output"],)


def compile_run(
    choice: EngineChoice,
    bundle: Bundle,
    requests: list[GraphRequest],
    store: EngineStore,
    *,
    precision: Precision = "float32",
    threads: int,
    report: Report,
) -> Compiled:
    """Choose a backend, build what its engines lack, and open them.

    Args:
        choice: `auto` is the first of OpenVINO and ONNX Runtime that is installed and whose engines
            pass their parity gates, and eager torch where neither is installed; it says which it
            took. Any other name is an obligation.
        bundle: the frozen networks.
        requests: every graph that the run will call.
        store: where engines are kept.
        precision: of the networks in the engines. A graph that does not pass its parity gate in
            half is float32, and said so.
        threads: how many may compute.
        report: told, in one line each, what was chosen and what is built.

    Raises:
        BackendUnavailable: a backend was named that does not run here, or none here computes in
            `precision`.
        EngineError: an engine cannot be built, or does not compute what torch computes.
    """
    if choice == "eager":
        return Compiled("eager", eager_steps(bundle), bundle)
    if choice != "auto":
        version_of(choice)
        target_of(choice)
        check_precision(choice, precision)
        return _open(_Engines(choice, precision, bundle, store, report), requests, threads)
    try:
        candidates = cpu_backends(precision)
    except BackendUnavailable as error:
        if precision != "float32":
            raise
        report(f"guidance in eager torch. {error}")
        return Compiled("eager", eager_steps(bundle), bundle)
    for backend in candidates:
        report(f"guidance in {_NAMES[backend]} {version_of(backend)}; --engine eager for torch")
        try:
            return _open(_Engines(backend, precision, bundle, store, report), requests, threads)
        except EngineError as error:
            if backend == candidates[-1]:
                raise
            report(f"{_NAMES[backend]} is left out: {str(error).splitlines()[0]}")
    raise AssertionError(candidates)


def _open(engines: "_Engines", requests: list[GraphRequest], threads: int) -> Compiled:
    """Open every engine of a run, built where it is missing."""
    opened: dict[str, list[Backend]] = defaultdict(list)
    workspace = Workspace()
    for request, entry in engines.of(requests):
        opened[request.name].append(open_backend(entry, threads=threads, workspace=workspace))
    steps = {name: EngineStep(backends) for name, backends in opened.items() if name != "unet2d"}
    bundle = engines.bundle
    if "unet2d" in opened:
        unet = EngineUNet(opened["unet2d"][0], bundle.unclip.unet)
        bundle = replace(bundle, unclip=replace(bundle.unclip, unet=unet))
    return Compiled(engines.backend, steps.__getitem__, bundle)


@dataclass(frozen=True, slots=True)
class _Engines:
    """Finds engines, and builds those that are missing or damaged, and says so."""

    backend: BackendName
    precision: Precision
    bundle: Bundle
    store: EngineStore
    report: Report

    def of(self, requests: list[GraphRequest]) -> list[tuple[GraphRequest, Entry]]:
        """The engine of every request."""
        chosen = [(request, self._allowed(request)) for request in requests]
        found = [(request, engines, engines._find(request)) for request, engines in chosen]
        missing = sum(entry is None for _, _, entry in found)
        if missing:
            self.report(f"building {missing} of {len(found)} engines in {self.store.root}, once")
        return [(r, engines._build(r) if e is None else e) for r, engines, e in found]

    def _allowed(self, request: GraphRequest) -> "_Engines":
        """These, or float32 ones for a graph that half is known to be too little for."""
        why = self.store.refusal(self._key(request)) if self.precision != "float32" else None
        return self if why is None else self._in_float32(why)

    def _key(self, request: GraphRequest) -> Key:
        return key_of(
            request, self.backend, self.bundle.manifest, precision=self.precision,
            targets=portable_targets(self.backend),
        )  # fmt: skip

    def _find(self, request: GraphRequest) -> Entry | None:
        try:
            return self.store.find(self._key(request))
        except EngineDamaged as error:
            self.report(f"{request.label} is built anew: {str(error).splitlines()[0]}")
            return None

    def _build(self, request: GraphRequest) -> Entry:
        """Build it; in float32 where half does not pass its gate.

        Raises:
            EngineError: it cannot be built, or does not compute what torch computes.
        """
        from xbind.building import build  # the exporter is only imported when something is built

        try:
            entry = build(
                self.store, self.bundle, request, self.backend, precision=self.precision,
                targets=portable_targets(self.backend),
                waiting=lambda: self.report("another process is building the same engine"),
            )  # fmt: skip
        except ParityError as error:
            if self.precision == "float32":
                raise
            wide = self._in_float32(str(error))
            return wide._find(request) or wide._build(request)
        seconds, parity = entry.notes["seconds"], entry.notes["parity"]
        worst = max(figure["relative"] for figure in parity.values())
        self.report(f"{request.label}: {seconds:.1f} s, agrees with torch to {worst:.0e}")
        return entry

    def _in_float32(self, why: str) -> "_Engines":
        self.report(f"float32 instead of {self.precision}: {why.splitlines()[0]}")
        return replace(self, precision="float32")
