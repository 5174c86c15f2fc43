"""What a run computes its frozen networks with: engines where they are wanted, else eager torch."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from xbind.config.options import EngineChoice, Precision
from xbind.config.savings import FASTEST, Savings
from xbind.diffusion.priors import UNet
from xbind.engine.backend import Backend
from xbind.engine.backends import (
    GPU_BACKENDS,
    BackendName,
    check_precision,
    cpu_backends,
    open_backend,
    portable_targets,
    target_of,
    version_of,
)
from xbind.engine.cuda_graph import Recorder
from xbind.engine.errors import BackendUnavailable, EngineDamaged, EngineError, ParityError
from xbind.engine.record import Entry, Key
from xbind.engine.step import EngineStep
from xbind.engine.store import EngineStore
from xbind.engine.trt import Workspace
from xbind.losses.step import GuidanceStep
from xbind.networks.fingerprint import key_of
from xbind.networks.frozen import Bundle
from xbind.networks.graphs import GraphRequest, eager_steps, sparing
from xbind.networks.precision import in_precision

Report = Callable[[str], None]
CPU = torch.device("cpu")
_NAMES = {
    "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "tensorrt": "TensorRT",
    "tensorrt-rtx": "TensorRT-RTX",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """What one part of a run calls: the reference view, or a phase."""

    requests: list[GraphRequest]
    """Its graphs."""
    savings: Savings = FASTEST
    """How they are run."""


class FrozenHalf(Protocol):
    """The frozen half of a run, one part after the other; it starts in the first one."""

    backend: str
    """`eager`, or what the engines run on."""

    @property
    def bundle(self) -> Bundle:
        """For what is computed once, before the first step; its 2D UNet may be an engine."""

    @property
    def savings(self) -> Savings:
        """How the current part's networks are run."""

    def begin(self, part: str) -> None:
        """Go on to a part of the run; what the part before has loaded is given back."""

    def step(self, name: str) -> GuidanceStep:
        """The guidance step of that name, as the current part wants it."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """Steps that somebody else has made, the same ones in every part."""

    backend: str
    """What they run on."""
    step: Callable[[str], GuidanceStep]
    """Name → guidance step."""
    bundle: Bundle
    """For what is computed once."""
    savings: Savings = FASTEST
    """How the networks outside of the steps are run."""

    def begin(self, part: str) -> None:
        """Nothing is loaded, nothing is given back."""


class EagerRun:
    """Steps in eager torch: all parts share the bundle's networks."""

    def __init__(
        self, bundle: Bundle, parts: Mapping[str, Part], *, recorder: Recorder | None = None
    ) -> None:
        """With `recorder`, each step is a CUDA graph."""
        self.backend = "eager" if recorder is None else "cuda-graphs"
        self.bundle, self._parts = bundle, parts
        self._steps = {
            name: eager_steps(bundle, part.savings, recorder) for name, part in parts.items()
        }
        self._current = next(iter(parts))

    @property
    def savings(self) -> Savings:
        """How the current part's networks are run."""
        return self._parts[self._current].savings

    def begin(self, part: str) -> None:
        """Go on to a part of the run."""
        self._current = part

    def step(self, name: str) -> GuidanceStep:
        """The step in torch."""
        return self._steps[self._current](name)


class OpenEngines:
    """Engines in memory, each opened on its first use."""

    def __init__(self) -> None:
        self._open: dict[tuple[Path, int], Backend] = {}
        self._workspace = Workspace()

    def __len__(self) -> int:
        return len(self._open)

    def get(self, entry: Entry, *, threads: int) -> Backend:
        """The loaded engine of an entry of the store."""
        key = (entry.folder, threads)
        if key not in self._open:
            self._open[key] = open_backend(entry, threads=threads, workspace=self._workspace)
        return self._open[key]

    def close(self, *, but: Collection[Entry] = ()) -> None:
        """Unload all engines, or all but those of some entries."""
        kept = {entry.folder for entry in but}
        for key in [key for key in self._open if key[0] not in kept]:
            self._open.pop(key).close()


class EngineRun:
    """Steps in engines, each loaded when its part first calls it and given back at the end."""

    def __init__(
        self,
        backend: str,
        bundle: Bundle,
        parts: Mapping[str, Part],
        entries: "Mapping[_Wanted, Entry]",
        *,
        threads: int,
    ) -> None:
        """`entries` has an engine for every graph of every part."""
        self.backend = backend
        self._bundle, self._parts, self._entries = bundle, parts, entries
        self._threads = threads
        self._engines, self._keeps = OpenEngines(), False
        self._current = next(iter(parts))

    def keep_open(self, engines: OpenEngines) -> None:
        """Take engines from `engines`, and leave them open there at the end of a stage."""
        self._engines, self._keeps = engines, True

    @property
    def bundle(self) -> Bundle:
        """With an engine in place of the 2D UNet, where this part of the run has one."""
        if not self._requests("unet2d"):
            return self._bundle
        unet = EngineUNet(lambda: self._load("unet2d")[0], self._bundle.unclip.unet)
        return replace(self._bundle, unclip=replace(self._bundle.unclip, unet=unet))

    @property
    def savings(self) -> Savings:
        """How the current part's networks are run."""
        return self._parts[self._current].savings

    def begin(self, part: str) -> None:
        """Give back what is loaded and go on to a part of the run."""
        if not self._keeps:
            self._engines.close()
        self._current = part

    def step(self, name: str) -> GuidanceStep:
        """The step in engines, one for each size."""
        return sparing(name, EngineStep(self._load(name)), self.savings)

    def _requests(self, name: str) -> list[GraphRequest]:
        return [r for r in self._parts[self._current].requests if r.name == name]

    def _load(self, name: str) -> list[Backend]:
        savings = self.savings
        entries = [self._entries[request, savings.precision] for request in self._requests(name)]
        if savings.one_engine:
            self._engines.close(but=entries)
        return [self._engines.get(entry, threads=self._threads) for entry in entries]


class EngineUNet:
    """A UNet whose calls at one size are an engine's."""

    def __init__(self, backend: Callable[[], Backend], unet: UNet) -> None:
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
        return (self._backend().run(feeds | labelled)["output"],)


def compile_run(
    choice: EngineChoice,
    bundle: Bundle,
    parts: Mapping[str, Part],
    store: EngineStore,
    *,
    threads: int,
    report: Report,
    device: torch.device = CPU,
) -> FrozenHalf:
    """Choose a backend, and build what its engines lack.

    Args:
        choice: `auto` is the first of OpenVINO and ONNX Runtime that is installed and whose engines
            pass their parity gates, and eager torch where neither is installed; on CUDA the first
            of TensorRT and TensorRT-RTX, else CUDA graphs of eager torch. It says which it took.
            Any other name is an obligation.
        bundle: the frozen networks.
        parts: name → every graph that this part of the run will call, and how. A graph that does
            not pass its parity gate in half is float32, and said so.
        store: where engines are kept.
        threads: how many may compute.
        report: told, in one line each, what was chosen and what is built.
        device: where the run computes; the bundle is moved there after the engines are built.

    Raises:
        BackendUnavailable: a backend was named that does not run here, or none here computes in
            the precision that is wanted.
        EngineError: an engine cannot be built, or does not compute what torch computes.
    """
    half = {part.savings.precision for part in parts.values()} - {"float32"}
    on_gpu = device.type == "cuda"
    if choice == "eager" or choice == "cuda-graphs":
        return _in_torch(bundle, parts, half, device, graphs=choice == "cuda-graphs")
    if choice != "auto":
        version_of(choice)
        target_of(choice)
        for precision in half:
            check_precision(choice, precision)
        if on_gpu != (choice in GPU_BACKENDS):
            raise BackendUnavailable(
                f"{choice} does not compute on {device.type}.\n"
                f"Leave out --engine, or give --device {'cpu' if on_gpu else 'cuda'}."
            )
        engines = _Engines(choice, "float32", bundle, store, report)
        return _build_all(engines, parts, threads, device)
    if on_gpu:
        return _on_gpu(bundle, parts, store, half, device, threads=threads, report=report)
    try:
        able = [cpu_backends(precision) for precision in sorted(half) or ["float32"]]
    except BackendUnavailable as error:
        if half:
            raise
        report(f"guidance in eager torch. {error}")
        return _in_torch(bundle, parts, half, device)
    candidates = [name for name in able[0] if all(name in names for names in able)]
    for backend in candidates:
        report(f"guidance in {_NAMES[backend]} {version_of(backend)}; --engine eager for torch")
        try:
            engines = _Engines(backend, "float32", bundle, store, report)
            return _build_all(engines, parts, threads, device)
        except EngineError as error:
            if backend == candidates[-1]:
                raise
            report(f"{_NAMES[backend]} is left out: {str(error).splitlines()[0]}")
    raise AssertionError(candidates)


def runs_in_engines(choice: EngineChoice, device: torch.device = CPU) -> bool:
    """Whether `compile_run` will take engines, as far as can be told before any is built."""
    if choice != "auto":
        return choice not in ("eager", "cuda-graphs")
    if device.type == "cuda":
        return any(_is_installed(backend) for backend in GPU_BACKENDS)
    try:
        return bool(cpu_backends("float32"))
    except BackendUnavailable:
        return False


def _is_installed(backend: BackendName) -> bool:
    try:
        version_of(backend)
    except BackendUnavailable:
        return False
    return True


def _in_torch(
    bundle: Bundle,
    parts: Mapping[str, Part],
    half: set[Precision],
    device: torch.device,
    *,
    graphs: bool = False,
) -> EagerRun:
    """The networks in torch, in the one precision that all parts have.

    Raises:
        BackendUnavailable: CUDA graphs on another device, or half on a CPU.
    """
    recorder = Recorder() if graphs else None
    if (graphs or half) and device.type != "cuda":
        raise BackendUnavailable(
            f"{'CUDA graphs are' if graphs else 'Half precision in eager torch is'} for CUDA, but "
            f"the run computes on {device.type}.\nGive --device cuda, or another --engine."
        )
    for precision in half:
        bundle = in_precision(bundle, precision)
    return EagerRun(bundle.to(device), parts, recorder=recorder)


def _on_gpu(
    bundle: Bundle,
    parts: Mapping[str, Part],
    store: EngineStore,
    half: set[Precision],
    device: torch.device,
    *,
    threads: int,
    report: Report,
) -> FrozenHalf:
    """The first engine for GPUs that is installed and builds, else eager torch in CUDA graphs."""
    why = "neither TensorRT nor TensorRT-RTX is installed"
    for backend in filter(_is_installed, GPU_BACKENDS):
        name = f"{_NAMES[backend]} {version_of(backend)}"
        report(f"guidance in {name}; --engine cuda-graphs for torch")
        try:
            engines = _Engines(backend, "float32", bundle, store, report)
            return _build_all(engines, parts, threads, device)
        except EngineError as error:
            why = f"{_NAMES[backend]} is left out: {str(error).splitlines()[0]}"
            report(why)
    report(f"guidance in eager torch as CUDA graphs: {why}")
    return _in_torch(bundle, parts, half, device, graphs=True)


def _build_all(
    engines: "_Engines", parts: Mapping[str, Part], threads: int, device: torch.device
) -> EngineRun:
    """Every engine of a run, built where it is missing."""
    wanted = dict.fromkeys((r, p.savings.precision) for p in parts.values() for r in p.requests)
    entries = engines.of(list(wanted))
    bundle = engines.bundle.to(device, guiding=False)
    return EngineRun(engines.backend, bundle, parts, entries, threads=threads)


_Wanted = tuple[GraphRequest, Precision]
"""A graph, and the precision of its networks."""


@dataclass(frozen=True, slots=True)
class _Engines:
    """Finds engines, and builds those that are missing or damaged, and says so."""

    backend: BackendName
    precision: Precision
    bundle: Bundle
    store: EngineStore
    report: Report

    def of(self, wanted: "list[_Wanted]") -> "dict[_Wanted, Entry]":
        """The engine of every graph."""
        chosen = [(w, replace(self, precision=w[1])._allowed(w[0])) for w in wanted]
        found = [(w, engines, engines._find(w[0])) for w, engines in chosen]
        missing = sum(entry is None for _, _, entry in found)
        if missing:
            self.report(f"building {missing} of {len(found)} engines in {self.store.root}, once")
        return {w: engines._build(w[0]) if e is None else e for w, engines, e in found}

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
        from xbind.networks.build import (
            build,  # the exporter is only imported when something is built
        )

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
