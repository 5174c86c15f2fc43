"""Variants of an iteration: other operators, and other engines for the networks."""

import copy
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn

from xbind.bench.instrument import PartClock, operators_plain
from xbind.config.backends import BACKENDS, backends_for
from xbind.config.options import Precision
from xbind.config.savings import Savings
from xbind.engine.backends import check_available, version_of
from xbind.engine.cuda_graph import Recorder
from xbind.engine.errors import BackendUnavailable
from xbind.engine.store import EngineStore
from xbind.errors import XBindError
from xbind.losses.side_by_side import OneByOne, StartedStep, StepRunner
from xbind.losses.step import GuidanceStep, StepCall
from xbind.networks.frozen import Bundle
from xbind.networks.graphs import GraphRequest, eager_steps, make_module
from xbind.networks.layout import use_channels_last
from xbind.networks.precision import in_precision
from xbind.networks.runtime import Part
from xbind.networks.select import compile_run
from xbind.system.freed_memory import freed_memory_usual

CPU = torch.device("cpu")
PLAIN = "plain"
"""As the field's frameworks do it: eager networks, and every operator as its definition in torch,
but that compiled code finds which triangle a pixel sees, as their rasterisers do."""
DEFINITION = "definition"
"""Like `plain`, with the rasteriser in torch as well: minutes per view, so only by name."""
EAGER = "eager"
"""Eager networks, the operators' fast forms."""
COMPILED = "torch.compile"
"""Networks that torch.compile has, the operators' fast forms."""
GRAPHS = "cuda-graphs"
"""Eager networks, each guidance step recorded as one CUDA graph; the operators' fast forms."""
ENGINES = tuple(BACKENDS)
VARIANTS = (DEFINITION, PLAIN, EAGER, COMPILED, GRAPHS, *ENGINES)
"""Names that `--engine` takes."""

Report = Callable[[str], None]
Steps = Callable[[str], GuidanceStep]


class BenchError(XBindError):
    """Something cannot be measured as asked; the message says what to type instead."""


@dataclass(frozen=True, slots=True)
class Variant:
    """Variant of an iteration."""

    name: str
    steps: Steps
    """Name → guidance step."""
    versions: str
    """Versions of the libraries that compute the networks."""
    runner: StepRunner = field(default_factory=OneByOne)
    """Starts the guidance steps of an iteration."""

    @contextmanager
    def active(self) -> Iterator[None]:
        """While open, operators run in this variant's form; `plain` has glibc's own heap."""
        if self.name not in (PLAIN, DEFINITION):
            yield
            return
        with operators_plain(rasteriser=self.name == DEFINITION), freed_memory_usual():
            yield


class TimedStep:
    """A guidance step that tells a clock how long it took."""

    def __init__(self, step: GuidanceStep, name: str, clock: PartClock) -> None:
        self.inputs, self.outputs = step.inputs, step.outputs
        self._step, self._name, self._clock = step, name, clock

    def __call__(self, image: Tensor, /, **feeds: Tensor) -> tuple[Tensor, ...]:
        """Return what the step returns."""
        with self._clock.part(self._name):
            return self._step(image, **feeds)


class Switch:
    """Hands out the guidance steps of the variant whose turn it is."""

    def __init__(self, trunk: Variant) -> None:
        """`trunk` takes the run from one sampled iteration to the next."""
        self._current = trunk
        self._clock: PartClock | None = None

    def __call__(self, name: str) -> GuidanceStep:
        """The step of that name, with a clock around it while there is one.

        Steps that run side by side are timed together: which thread runs one is left to chance.
        """
        step = self._current.steps(name)
        if self._clock is None or not isinstance(self._current.runner, OneByOne):
            return step
        return TimedStep(step, name, self._clock)

    def start(self, call: StepCall) -> StartedStep:
        """Start a step as the variant does."""
        return self._current.runner.start(call)

    def finished(self) -> None:
        """Pass on that the losses are known."""
        self._current.runner.finished()

    @contextmanager
    def taken_by(self, variant: Variant, clock: PartClock | None = None) -> Iterator[None]:
        """While open, steps and operators are this variant's, and `clock` receives the steps."""
        before = self._current, self._clock
        self._current, self._clock = variant, clock
        try:
            with variant.active():
                yield
        finally:
            self._current, self._clock = before


def choose_variants(
    wanted: tuple[str, ...], precision: Precision, report: Report, device: torch.device = CPU
) -> list[str]:
    """Names of those that take part.

    Args:
        wanted: names, none of which then falls back; none for everything that runs here,
            where what does not is said.
        precision: that the engines must have.
        report: told who is left out, and why.
        device: where they compute.

    Raises:
        BenchError: a name is not known, or torch.compile has no compiler.
        BackendUnavailable: a named engine does not run here.
    """
    unknown = [name for name in wanted if name not in VARIANTS]
    if unknown:
        raise BenchError(
            f"There is no variant {unknown[0]!r}.\nChoose with --engine: {', '.join(VARIANTS)}."
        )
    for name in wanted:
        _check(name, precision, device)
    if wanted:
        return list(dict.fromkeys(wanted))
    chosen = []
    for name in VARIANTS[1:]:
        if name in ENGINES and not BACKENDS[name].is_automatic:
            report(f"without {name}: it is measured by name only, since its engines take minutes")
            continue
        try:
            _check(name, precision, device)
        except (BackendUnavailable, BenchError) as error:
            report(f"without {name}: {str(error).splitlines()[0]}")
        else:
            chosen.append(name)
    return chosen


def _check(name: str, precision: Precision, device: torch.device) -> None:
    if name == COMPILED and compiler() is None:
        raise BenchError(
            "torch.compile needs a C++ compiler, and there is no g++ or clang++ here.\n"
            "Install one, or leave torch.compile out of --engine."
        )
    on_gpu = name in (GRAPHS, *(record.name for record in backends_for("cuda")))
    if name in (GRAPHS, *ENGINES) and on_gpu != (device.type == "cuda"):
        raise BenchError(
            f"{name} does not compute on {device.type}.\n"
            f"Give --device {'cuda' if on_gpu else 'cpu'}, or leave it out of --engine."
        )
    if name in ENGINES:
        check_available(name, [precision])


def compiler() -> str | None:
    """The C++ compiler that torch.compile would call on a CPU."""
    named = os.environ.get("CXX")
    return next((path for c in (named, "g++", "clang++") if c and (path := shutil.which(c))), None)


def make_variant(
    name: str,
    bundle: Bundle,
    requests: list[GraphRequest],
    store: EngineStore,
    *,
    precision: Precision,
    threads: int,
    report: Report,
    device: torch.device = CPU,
) -> Variant:
    """Prepare one: engines that are missing are built, each with its parity gate.

    The bundle is on the CPU for engines, which are built there, and else on `device`.

    Raises:
        EngineError: an engine cannot be built.
    """
    if name in ENGINES:
        parts = {"all": Part(requests, Savings(precision=precision))}
        compiled = compile_run(
            name, bundle, parts, store, threads=threads, report=report, device=device
        )
        versions = f"{name} {version_of(name).split('-')[0]} {precision}"
        stage = compiled.of_stage("all")
        return Variant(name, stage.step, versions, stage.runner)
    if name == COMPILED:
        steps = cache(lambda n: cast(GuidanceStep, compiled_copy(make_module(bundle, n))))
        return Variant(name, steps, "inductor float32")
    if name == GRAPHS:
        bundle = in_precision(bundle, precision)
        if precision != "float32":
            use_channels_last(bundle)
        return Variant(name, eager_steps(bundle, recorder=Recorder()), precision)
    return Variant(name, eager_steps(bundle), "float32")


def compiled_copy(module: nn.Module) -> nn.Module:
    """A copy whose networks torch.compile has, each for itself, as one would use it."""
    module = copy.deepcopy(module)
    for name in ("prior.unet", "vae.encoder", "vae.decoder", "encoder.clip", "unet", "clip"):
        try:
            network: Any = module.get_submodule(name)
        except AttributeError:  # this graph has no such network
            continue
        network.compile(dynamic=False)
    return module
