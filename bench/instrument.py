"""Time of an iteration by section: pipeline functions are temporarily wrapped with timers.

Nothing in the pipeline knows of this. While `parts_timed` is open, the functions of `PARTS` are
replaced by themselves with a clock around; after it they are what they were, so it costs nothing
when it is off. A function that is renamed is an AttributeError here, not a part that is missing.
"""

import functools
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from xbind import kernels
from xbind.algorithm import phase1_nerf as coarse
from xbind.algorithm import supervision, surface, surface_phase
from xbind.algorithm.iteration import Phase
from xbind.algorithm.views import HybridTerms
from xbind.kernels.surface import reference as reference_surface
from xbind.scene.mesh import marching
from xbind.scene.mesh.dmtet import DMTet
from xbind.scene.mesh.network_sdf import NetworkSdf
from xbind.scene.nerf.occupancy import OccupancyGrid

Now = Callable[[], float]

GUIDANCE = "guidance"
"""What an iteration spends on steps that run side by side; steps one by one have a part each."""
PARTS: tuple[tuple[str, object, str], ...] = (
    ("occupancy", OccupancyGrid, "maintain"),
    ("surface", DMTet, "extract"),
    ("surface", NetworkSdf, "extract"),
    ("render", coarse, "render"),
    ("render", coarse, "shade_views"),
    ("render", surface, "render_normals"),
    ("render", surface, "surface_points"),
    ("render", surface, "shade"),
    ("render", surface, "shade_with"),
    ("regularisers", coarse, "surface_normals"),
    ("regularisers", coarse, "sample_normals"),
    ("regularisers", coarse, "normal_vector_loss"),
    ("regularisers", coarse, "z_variance_loss"),
    ("regularisers", surface_phase, "normal_consistency_loss"),
    ("regularisers", surface_phase, "laplacian_loss"),
    ("augment", supervision, "draw_augmentations"),
    ("augment", supervision, "augment"),
    (GUIDANCE, HybridTerms, "losses"),
    ("backward", Tensor, "backward"),
)
"""Name of a part, and a function that belongs to it. `backward` is that of everything that is not
in a guidance step: of render, regularisers and augment. Steps and the optimiser are added."""
OPTIMISER = "optimiser"
OTHER = "other"
"""Section of the remaining time: cameras, timesteps, losses of the reference view, bookkeeping."""
HALF = ("render", "surface", "regularisers", "augment", "backward")
"""The differentiable half of an iteration; the guidance steps are the frozen one."""
OPERATORS = (
    "hash_encode", "grid_mlp", "march", "composite", "ms_augment", "rasterize", "interpolate",
    "antialias",
)  # fmt: skip
"""Public functions of `xbind.kernels` that have forms."""


class PartClock:
    """Adds up the time of named parts; time in an inner part counts for the inner one alone.

    So the parts' sum is the whole of the thread that made the clock. Parts of other threads, which
    compute at the same time, are not counted.
    """

    def __init__(self, now: Now = time.perf_counter) -> None:
        """`now` returns seconds."""
        self.seconds: dict[str, float] = {}
        self._now = now
        self._open: list[str] = []
        self._since = 0.0
        self._thread = threading.get_ident()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what happens inside for `name`."""
        if threading.get_ident() != self._thread:
            yield
            return
        self._switch()
        self._open.append(name)
        try:
            yield
        finally:
            self._switch()
            self._open.pop()

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with its time counted for `name`."""

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            with self.part(name):
                return function(*args, **kwargs)

        return run

    def _switch(self) -> None:
        now = self._now()
        if self._open:
            name = self._open[-1]
            self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now


def now_on(device: torch.device, now: Now = time.perf_counter) -> Now:
    """A clock that waits until the device has done what it was given."""
    if device.type != "cuda":
        return now

    def drained() -> float:
        torch.cuda.synchronize(device)
        return now()

    return drained


@contextmanager
def parts_timed(clock: PartClock, phase: Phase) -> Iterator[None]:
    """Time the parts of `phase`'s iterations; guidance steps are timed where they are handed out.

    Args:
        clock: told of every part.
        phase: whose optimiser is timed.
    """
    with ExitStack() as stack:
        for name, owner, function in PARTS:
            timed = clock.timed(name, getattr(owner, function))
            stack.enter_context(patch.object(owner, function, timed))
        step = clock.timed(OPTIMISER, phase.optimizer.step)
        stack.enter_context(patch.object(phase.optimizer, "step", step))
        stack.enter_context(clock.part(OTHER))
        yield


@contextmanager
def operators_plain(*, rasteriser: bool) -> Iterator[None]:
    """Have every operator run as its definition in torch, wherever in the package it is called.

    Args:
        rasteriser: also the search for the triangle that a pixel sees, which takes minutes for a
            mesh of this method. Without it compiled code searches, as in every framework, and the
            definition computes what is differentiable of the raster.
    """

    def forced(name: str, operator: Callable[..., Any]) -> Callable[..., Any]:
        if name == "rasterize" and not rasteriser:
            return rasterize_searched
        return lambda *args, **kwargs: operator(*args, **{**kwargs, "impl": "reference"})

    with operators_replaced(forced):
        yield


def rasterize_searched(clip: Tensor, faces: Tensor, size: tuple[int, int]) -> Tensor:
    """`xbind.kernels.rasterize` with a search in compiled code and all else as defined."""
    found = kernels.rasterize(clip.detach().cpu(), faces.cpu(), size, impl="numba")
    seen = found[..., 3].long() - 1
    return reference_surface.locate(clip, faces.long(), seen.to(clip.device))


@contextmanager
def operators_replaced(
    replacement: Callable[[str, Callable[..., Any]], Callable[..., Any]],
) -> Iterator[None]:
    """Replace every operator at every place that calls it.

    Args:
        replacement: name and operator → what stands in for it.
    """
    originals: Mapping[str, Callable[..., Any]] = {
        **{name: getattr(kernels, name) for name in OPERATORS},
        "marching_tetrahedra": marching.marching_tetrahedra,
    }
    with ExitStack() as stack:
        for module_name, module in list(sys.modules.items()):
            if not module_name.startswith("xbind.") or module_name.startswith("xbind.kernels"):
                continue
            for name, operator in originals.items():
                if vars(module).get(name) is operator:
                    stack.enter_context(patch.object(module, name, replacement(name, operator)))
        yield
