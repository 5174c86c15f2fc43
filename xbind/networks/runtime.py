"""What a run computes its frozen networks with: engines, or eager torch; `select` chooses."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from xbind.config.options import Precision
from xbind.config.savings import FASTEST, Savings
from xbind.diffusion.priors import UNet
from xbind.engine.backend import Backend
from xbind.engine.backends import open_backend
from xbind.engine.cuda_graph import Recorder
from xbind.engine.record import Entry
from xbind.engine.step import EngineStep
from xbind.engine.workspace import Workspace
from xbind.losses.step import GuidanceStep
from xbind.networks.frozen import Bundle
from xbind.networks.graphs import GraphRequest, eager_steps, sparing

Wanted = tuple[GraphRequest, Precision]
"""A graph, and the precision of its networks."""


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
        self._open: dict[tuple[Path, int, torch.device | None], Backend] = {}
        self._workspace = Workspace()

    def __len__(self) -> int:
        return len(self._open)

    def get(self, entry: Entry, *, threads: int, device: torch.device | None = None) -> Backend:
        """The loaded engine of an entry of the store, on a GPU `device` if it runs on one."""
        key = (entry.folder, threads, device)
        if key not in self._open:
            self._open[key] = open_backend(
                entry, threads=threads, workspace=self._workspace, device=device
            )
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
        entries: Mapping[Wanted, Entry],
        *,
        threads: int,
        device: torch.device | None = None,
    ) -> None:
        """`entries` has an engine for every graph of every part; `device` is their GPU, if they
        run on one."""
        self.backend = backend
        self._bundle, self._parts, self._entries = bundle, parts, entries
        self._threads, self._device = threads, device
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
        return [
            self._engines.get(entry, threads=self._threads, device=self._device)
            for entry in entries
        ]


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
