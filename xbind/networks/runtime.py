"""Execution of a run's frozen networks: engines, or eager torch. `select` chooses."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from xbind.config.options import Precision
from xbind.config.savings import FASTEST, Savings
from xbind.diffusion.priors import UNet
from xbind.engine.backend import Backend
from xbind.engine.backends import record_of
from xbind.engine.cuda_graph import Recorder
from xbind.engine.record import Entry
from xbind.engine.step import EngineStep
from xbind.losses.side_by_side import OneByOne, SideBySide, StepRunner
from xbind.losses.step import GuidanceStep
from xbind.networks.frozen import Bundle
from xbind.networks.graphs import GraphRequest, StepDef, eager_steps, graph_named, sparing
from xbind.networks.open_engines import Ahead, OpenEngines

Wanted = tuple[GraphRequest, Precision]
"""A graph, and the precision of its networks."""


MOST_ABREAST = 2
"""Guidance steps at a time: an iteration has three, and one of them takes half of their time."""


@dataclass(frozen=True, slots=True)
class Part:
    """Graphs of one stage of a run: the reference view, or a phase."""

    requests: list[GraphRequest]
    """Its graphs."""
    savings: Savings = FASTEST
    """Savings of the stage."""


@dataclass(frozen=True, slots=True)
class StageNetworks:
    """The frozen networks of one stage."""

    bundle: Bundle
    """For what is computed once, before the first step; its UNets may be engines."""
    savings: Savings
    """How the networks outside of the steps are run."""
    step: Callable[[str], GuidanceStep]
    """Name → guidance step."""
    runner: StepRunner = field(default_factory=OneByOne)
    """Starts the guidance steps of an iteration."""


class RunNetworks(ABC):
    """The frozen networks of a run, which uses them one stage after the other."""

    backend: str
    """`eager`, or the name of the engines' backend."""
    bundle: Bundle
    """The networks in torch. With engines, those that only guidance steps call stay on the CPU."""

    @abstractmethod
    def of_stage(self, name: str) -> StageNetworks:
        """The networks of a stage, which stay loaded until `unload`."""

    def unload(self) -> None:
        """Free what the stages have loaded; it is loaded again when it is needed."""
        return  # eager torch shares the bundle's networks

    @contextmanager
    def stage(self, name: str) -> Iterator[StageNetworks]:
        """The networks of a stage, unloaded at its end: `with networks.stage("coarse") as stage`.

        Args:
            name: one of `PARTS`.
        """
        try:
            yield self.of_stage(name)
        except BaseException:  # no stage follows
            self.unload()
            raise
        self.end_stage(name)

    def end_stage(self, name: str) -> None:
        """Free what a stage has loaded and the next one does not use."""
        del name
        self.unload()


class EagerRun(RunNetworks):
    """Steps in eager torch: all stages share the bundle's networks."""

    def __init__(
        self, bundle: Bundle, parts: Mapping[str, Part], *, recorder: Recorder | None = None
    ) -> None:
        """With `recorder`, each step is a CUDA graph."""
        self.backend = "eager" if recorder is None else "cuda-graphs"
        self.bundle, self._parts = bundle, parts
        self._steps = {
            name: eager_steps(bundle, part.savings, recorder) for name, part in parts.items()
        }

    def of_stage(self, name: str) -> StageNetworks:
        """The steps in torch."""
        return StageNetworks(self.bundle, self._parts[name].savings, self._steps[name])


class EngineRun(RunNetworks):
    """Steps in engines, each loaded when its stage first calls it."""

    def __init__(
        self,
        backend: str,
        bundle: Bundle,
        parts: Mapping[str, Part],
        entries: Mapping[Wanted, Entry],
        *,
        threads: int,
        device: torch.device | None = None,
    ) -> None:
        """`entries` has an engine for every graph of every stage; `device` is their GPU, if any.

        With two threads or more, an engine of a guidance step has half of them, and two steps of an
        iteration run at a time (`abreast`).
        """
        self.backend, self.bundle = backend, bundle
        self._parts, self._entries = parts, entries
        self._threads, self._device = threads, device
        self._engines, self._keeps = OpenEngines(), False
        self._runner: SideBySide | None = None
        self._looks_ahead, self._ahead = False, Ahead()

    def keep_open(self, engines: OpenEngines) -> None:
        """Take engines from `engines`, and leave them open there at the end of a stage."""
        self._engines, self._keeps = engines, True

    def look_ahead(self) -> None:
        """Leave engines open that the next stage uses too: it needs the memory for them anyway.

        With two threads or more on a CPU, the engines of the second stage are opened while the
        first, the reference view, is computed.
        """
        self._looks_ahead = True

    def of_stage(self, name: str) -> StageNetworks:
        """The steps in engines, one for each size, and an engine for each UNet that is sampled."""
        part, bundle = self._parts[name], self.bundle
        count = abreast(self.backend, part, self._threads)
        if _named(part, "unet2d"):
            unet = self._unet(part, "unet2d", bundle.unclip.unet)
            bundle = replace(bundle, unclip=replace(bundle.unclip, unet=unet))
        if _named(part, "unet3d"):
            unet = self._unet(part, "unet3d", bundle.zero123.unet)
            bundle = replace(bundle, zero123=replace(bundle.zero123, unet=unet))

        def step(graph: str) -> GuidanceStep:
            backends = self._load(part, graph, self._threads // count)
            return sparing(graph, EngineStep(backends), part.savings)

        if name == next(iter(self._parts)) and self._threads > 1 and self._device is None:
            self._open_ahead(self._next(name))
        if count == 1:
            return StageNetworks(bundle, part.savings, step)
        if self._runner is None:
            self._runner = SideBySide(count - 1, of_each=self._threads // count)
        return StageNetworks(bundle, part.savings, step, self._runner)

    def _unet(self, part: Part, graph: str, unet: UNet) -> "EngineUNet":
        return EngineUNet(lambda: self._load(part, graph, self._threads)[0], unet)

    def unload(self) -> None:
        """Close the engines, unless they are kept open for other runs."""
        self._close(())

    def end_stage(self, name: str) -> None:
        """Close the engines that the next stage does not use, unless they are kept open."""
        part = self._next(name)
        self._close(() if part is None else [self._entry(part, r) for r in part.requests])

    def _close(self, but: Collection[Entry]) -> None:
        if self._runner is not None:  # first: a step that is still running needs its engine
            self._runner.close()
            self._runner = None
        self._ahead.wait()
        if not self._keeps:
            self._engines.close(but=but)

    def _next(self, name: str) -> Part | None:
        """The stage after that one, if its engines may be open before it begins."""
        names = list(self._parts)
        after = names[names.index(name) + 1 :]
        part = self._parts[after[0]] if after and self._looks_ahead else None
        return None if part is None or part.savings.one_engine else part

    def _open_ahead(self, part: Part | None) -> None:
        """Begin to open the guidance steps' engines of a stage in another thread."""
        if part is None:
            return
        threads = self._threads // abreast(self.backend, part, self._threads)
        for request in part.requests:
            if isinstance(graph_named(request.name), StepDef):
                entry = self._entry(part, request)
                self._ahead.start(partial(self._engines.get, entry, threads=threads))

    def _entry(self, part: Part, request: GraphRequest) -> Entry:
        return self._entries[request, part.savings.precision]

    def _load(self, part: Part, name: str, threads: int) -> list[Backend]:
        savings = part.savings
        entries = [self._entry(part, request) for request in _named(part, name)]
        if savings.one_engine:
            self._engines.close(but=entries)
        return [self._engines.get(entry, threads=threads, device=self._device) for entry in entries]


def abreast(backend: str, part: Part, threads: int) -> int:
    """Returns how many guidance steps of one iteration run at the same time.

    Two small engines on one thread each take less time than one after the other on two threads.

    Args:
        backend: name of the steps' backend; engines on a GPU share one queue of work.
        part: whose steps they are; with one engine in memory at a time they take turns.
        threads: how many compute.
    """
    steps = {r.name for r in part.requests if isinstance(graph_named(r.name), StepDef)}
    record = record_of(backend)
    if record.device != "cpu" or not record.has_own_threads or part.savings.one_engine:
        return 1
    return max(1, min(MOST_ABREAST, threads, len(steps)))


def _named(part: Part, name: str) -> list[GraphRequest]:
    """The graphs of that name, one for each size."""
    return [request for request in part.requests if request.name == name]


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
