"""Choice of the backend for the frozen networks of a run: `compile_run`."""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, replace

import torch

from xbind.config.backends import BackendName, backends_for
from xbind.config.options import EngineChoice, Precision
from xbind.engine.backends import (
    able_backends,
    card_of,
    check_available,
    check_starts,
    portable_targets,
    record_of,
    version_of,
)
from xbind.engine.cuda_graph import Recorder
from xbind.engine.errors import BackendUnavailable, EngineDamaged, EngineError, EngineRefused
from xbind.engine.record import Entry, Key
from xbind.engine.store import EngineStore, cards_passed
from xbind.networks.fingerprint import key_of
from xbind.networks.frozen import Bundle
from xbind.networks.graphs import GraphRequest
from xbind.networks.layout import use_channels_last
from xbind.networks.precision import in_precision
from xbind.networks.runtime import EagerRun, EngineRun, Part, RunNetworks, Wanted

Report = Callable[[str], None]
CPU = torch.device("cpu")
IN_TORCH = ("eager", "cuda-graphs")
"""Choices that take no engine."""


def compile_run(
    choice: EngineChoice,
    bundle: Bundle,
    parts: Mapping[str, Part],
    store: EngineStore,
    *,
    threads: int,
    report: Report,
    device: torch.device = CPU,
) -> RunNetworks:
    """Choose a backend, and build what its engines lack.

    Args:
        choice: `auto` is the first of `candidates` whose engines are built and pass their parity
            gates. Without a candidate it is eager torch, as CUDA graphs on CUDA; there it is so too
            if no engine can be built. It reports its choice. Any other name never falls back.
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
    precisions = {part.savings.precision for part in parts.values()}
    half = precisions - {"float32"}
    if choice in IN_TORCH:
        return _in_torch(bundle, parts, half, device, graphs=choice == "cuda-graphs")
    names, why = candidates(choice, precisions, device, threads)
    in_torch = "cuda-graphs" if device.type == "cuda" else "eager"
    for backend in names:
        title = record_of(backend).title
        if choice == "auto":
            report(f"guidance in {title} {version_of(backend)}; --engine {in_torch} for torch")
        try:
            check_starts(backend)
            engines = _Engines(backend, "float32", bundle, store, report)
            return _build_all(engines, parts, threads, device)
        except EngineError as error:
            is_last = backend == names[-1] and in_torch == "eager"
            if choice != "auto" or is_last:
                raise
            why = f"{title} is left out: {str(error).splitlines()[0]}"
            report(why)
    how = " as CUDA graphs" if in_torch == "cuda-graphs" else ""
    report(f"guidance in eager torch{how}: {why}")
    return _in_torch(bundle, parts, half, device, graphs=in_torch == "cuda-graphs")


def candidates(
    choice: EngineChoice, precisions: Set[Precision], device: torch.device, threads: int = 1
) -> tuple[list[BackendName], str]:
    """The backends that a run may take, the preferred one first, and why none if there is none.

    Args:
        choice: a backend, which is then the only candidate, or `auto`.
        precisions: those that each of them must have.
        device: where the run computes.
        threads: how many compute.

    Raises:
        BackendUnavailable: the named backend does not run here; or none has the precision that is
            wanted, and neither has eager torch on this device.
    """
    if choice != "auto":
        check_available(choice, precisions)
        record = record_of(choice)
        if device.type != record.device:
            others = ", ".join(other.name for other in backends_for(device.type))
            raise BackendUnavailable(
                f"{choice} does not compute on {device.type}.\n"
                f"Leave out --engine, choose among {others}, or give --device {record.device}."
            )
        return [choice], ""
    try:
        return able_backends(device.type, precisions, threads), ""
    except BackendUnavailable as error:
        if device.type != "cuda" and precisions - {"float32"}:
            raise
        return [], str(error)


def runs_in_engines(choice: EngineChoice, device: torch.device = CPU) -> bool:
    """Returns True if `compile_run` will take engines, as far as is known before any is built."""
    if choice != "auto":
        return choice not in IN_TORCH
    return bool(candidates(choice, {"float32"}, device)[0])


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
    if "mixed" in half:
        raise BackendUnavailable(
            "--precision mixed is for engines, which hold some layers in float32; torch has the "
            "networks in one precision.\nGive --precision float16, or another --engine."
        )
    recorder = Recorder() if graphs else None
    if (graphs or half) and device.type != "cuda":
        raise BackendUnavailable(
            f"{'CUDA graphs are' if graphs else 'Half precision in eager torch is'} for CUDA, but "
            f"the run computes on {device.type}.\nGive --device cuda, or another --engine."
        )
    for precision in half:
        bundle = in_precision(bundle, precision)
    bundle = bundle.to(device)
    if half:
        use_channels_last(bundle)
    return EagerRun(bundle, parts, recorder=recorder)


def _build_all(
    engines: "_Engines", parts: Mapping[str, Part], threads: int, device: torch.device
) -> EngineRun:
    """Every engine of a run, built where it is missing."""
    wanted = dict.fromkeys((r, p.savings.precision) for p in parts.values() for r in p.requests)
    entries = engines.of(list(wanted))
    bundle = engines.bundle.to(device, guiding=False)
    gpu = device if device.type == "cuda" else None
    return EngineRun(engines.backend, bundle, parts, entries, threads=threads, device=gpu)


@dataclass(frozen=True, slots=True)
class _Engines:
    """Finds engines, and builds those that are missing or damaged, and says so."""

    backend: BackendName
    precision: Precision
    bundle: Bundle
    store: EngineStore
    report: Report

    def of(self, wanted: list[Wanted]) -> dict[Wanted, Entry]:
        """The engine of every graph."""
        chosen = [(w, replace(self, precision=w[1])._allowed(w[0])) for w in wanted]
        found = [(w, engines, engines._find(w[0])) for w, engines in chosen]
        missing = sum(entry is None for _, _, entry in found)
        if missing:
            self.report(f"building {missing} of {len(found)} engines in {self.store.root}, once")
        passed = [entry is None or engines._has_passed(entry) for _, engines, entry in found]
        if not all(passed):
            count = f"{passed.count(False)} of {len(found)} engines"
            self.report(f"comparing {count} with torch on this GPU, once")
        return {
            w: engines._build(w[0]) if e is None or not ok else e
            for (w, engines, e), ok in zip(found, passed, strict=True)
        }

    def _has_passed(self, entry: Entry) -> bool:
        """Whether an engine for several GPUs was compared with torch on the one that is here."""
        card = card_of(self.backend, entry.key.fields["target"])
        return card is None or card in cards_passed(entry)

    def _allowed(self, request: GraphRequest) -> "_Engines":
        """These, or float32 ones for a graph that half is known to be too little for."""
        if self.precision == "float32":
            return self
        key = self._key(request)
        why = self.store.refusal(key, card_of(self.backend, key.fields["target"]))
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
            self.report(f"{request.label} is built again: {str(error).splitlines()[0]}")
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
        except EngineRefused as error:
            if self.precision == "float32":
                raise
            wide = self._in_float32(str(error))
            found = wide._find(request)
            return found if found and wide._has_passed(found) else wide._build(request)
        seconds, parity = entry.notes["seconds"], entry.notes["parity"]
        worst = max(figure["relative"] for figure in parity.values())
        self.report(f"{request.label}: {seconds:.1f} s, agrees with torch to {worst:.0e}")
        return entry

    def _in_float32(self, why: str) -> "_Engines":
        self.report(f"float32 instead of {self.precision}: {why.splitlines()[0]}")
        return replace(self, precision="float32")
