"""What a run computes its frozen networks with: engines where they are wanted, else eager torch."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from xbind.config import EngineChoice
from xbind.engine.backend import Backend
from xbind.engine.entry import Entry
from xbind.engine.errors import BackendUnavailable, EngineDamaged
from xbind.engine.open import BackendName, open_backend, portable_targets, target_of, version_of
from xbind.engine.step import EngineStep
from xbind.engine.store import EngineStore
from xbind.engine.trt import Workspace
from xbind.engine_keys import key_of
from xbind.frozen import Bundle
from xbind.graphs import GraphRequest, eager_steps
from xbind.guidance.priors import UNet
from xbind.guidance.step import GuidanceStep

Report = Callable[[str], None]


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
    threads: int,
    report: Report,
) -> Compiled:
    """Choose a backend, build what its engines lack, and open them.

    Args:
        choice: `auto` is ONNX Runtime where it is installed, and eager torch where it is not; it
            says which it took. Any other name is an obligation.
        bundle: the frozen networks.
        requests: every graph that the run will call.
        store: where engines are kept.
        threads: how many may compute.
        report: told, in one line each, what was chosen and what is built.

    Raises:
        BackendUnavailable: a backend was named that does not run here.
        EngineError: an engine cannot be built, or does not compute what torch computes.
    """
    backend = _choose(choice, report)
    if backend == "eager":
        return Compiled("eager", eager_steps(bundle), bundle)
    opened: dict[str, list[Backend]] = defaultdict(list)
    workspace = Workspace()
    for request, entry in _entries(backend, bundle, requests, store, report):
        opened[request.name].append(open_backend(entry, threads=threads, workspace=workspace))
    steps = {name: EngineStep(backends) for name, backends in opened.items() if name != "unet2d"}
    if "unet2d" in opened:
        unet = EngineUNet(opened["unet2d"][0], bundle.unclip.unet)
        bundle = replace(bundle, unclip=replace(bundle.unclip, unet=unet))
    return Compiled(backend, steps.__getitem__, bundle)


def _choose(choice: EngineChoice, report: Report) -> Literal["eager"] | BackendName:
    if choice == "eager":
        return "eager"
    if choice != "auto":
        version_of(choice)
        target_of(choice)
        return choice
    try:
        version = version_of("onnxruntime")
    except BackendUnavailable as error:
        report(f"guidance in eager torch: {str(error).splitlines()[0]}")
        return "eager"
    report(f"guidance in ONNX Runtime {version}, the fastest here; --engine eager for torch")
    return "onnxruntime"


def _entries(
    backend: BackendName,
    bundle: Bundle,
    requests: list[GraphRequest],
    store: EngineStore,
    report: Report,
) -> list[tuple[GraphRequest, Entry]]:
    """The engine of every request; those that are missing or damaged are built, and said so."""
    found = [(request, _find(request, backend, bundle, store, report)) for request in requests]
    missing = sum(entry is None for _, entry in found)
    if missing == 0:
        return [(request, entry) for request, entry in found if entry is not None]
    from xbind.building import build  # the exporter is only imported when something is built

    report(f"building {missing} of {len(found)} engines in {store.root}, once")
    entries = []
    for request, entry in found:
        if entry is None:
            entry = build(
                store, bundle, request, backend, targets=portable_targets(backend),
                waiting=lambda: report("another process is building the same engine"),
            )  # fmt: skip
            seconds, parity = entry.notes["seconds"], entry.notes["parity"]
            worst = max(figure["relative"] for figure in parity.values())
            report(f"{request.label}: {seconds:.1f} s, agrees with torch to {worst:.0e}")
        entries.append((request, entry))
    return entries


def _find(
    request: GraphRequest,
    backend: BackendName,
    bundle: Bundle,
    store: EngineStore,
    report: Report,
) -> Entry | None:
    try:
        targets = portable_targets(backend)
        return store.find(key_of(request, backend, bundle.manifest, targets=targets))
    except EngineDamaged as error:
        report(f"{request.label} is built anew: {str(error).splitlines()[0]}")
        return None
