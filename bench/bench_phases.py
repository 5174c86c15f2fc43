"""Throughput of whole phases: every variant in step with one real run, one row for each."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from unittest.mock import patch

import torch

from xbind import pipeline
from xbind.algorithm import algorithm1
from xbind.bench.lockstep import Lockstep, Sampled
from xbind.bench.rows import PhaseRow, rows_of
from xbind.bench.timing import Clock, device_name, measure_machine
from xbind.bench.variants import (
    ENGINES,
    GRAPHS,
    Report,
    Switch,
    Variant,
    choose_variants,
    make_variant,
)
from xbind.config.options import GenerateConfig, Precision, PromptConfig
from xbind.config.presets import MethodConfig, preset_named
from xbind.config.savings import FASTEST
from xbind.engine.store import EngineStore, engines_folder
from xbind.losses.side_by_side import StepRunner
from xbind.losses.step import GuidanceStep
from xbind.networks.frozen import Bundle
from xbind.networks.graphs import eager_steps, requests_of_run
from xbind.networks.load import load_bundle
from xbind.networks.loaded import LoadedNetworks
from xbind.networks.manifest import load_manifest
from xbind.networks.runtime import RunNetworks, StageNetworks
from xbind.run.progress import StepRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Settings of a measurement."""

    presets: tuple[str, ...]
    sizes: tuple[int, ...]
    """Sides of the rendered views, in pixels; none for the presets' own."""
    engines: tuple[str, ...]
    """Variants; none for all that run here."""
    bundle: str
    text: str
    """The prompt."""
    device: Literal["cpu", "cuda"]
    precision: Precision
    threads: int
    samples: int
    """Iterations of each phase that are measured."""
    clock: Clock
    seed: int


def measure_phases(wanted: Measurement, report: Report) -> Iterator[PhaseRow]:
    """Measure every preset at every size, phase by phase.

    Raises:
        XBindError: a name that is not known, or what was named does not run here.
    """
    methods = [
        (name, with_size(preset_named(name), size))
        for name in wanted.presets
        for size in wanted.sizes or (None,)
    ]
    device = torch.device(wanted.device)
    names = choose_variants(wanted.engines, wanted.precision, report, device)
    manifest = load_manifest(wanted.bundle)
    torch.set_num_threads(wanted.threads)
    machine = measure_machine(device, clock=wanted.clock)
    report(
        f"{device_name(device)}, {machine.threads} threads: {machine.bytes_per_second / 1e9:.1f} "
        f"GB/s, {machine.flops_per_second / 1e9:.0f} GFLOP/s"
    )
    for name, method in methods:
        # loaded for each: engines are built of it on the CPU, then it is moved
        for sampled in _run(wanted, method, names, load_bundle(manifest), report):
            yield from rows_of(
                sampled, machine, preset=name, bundle=wanted.bundle, precision=wanted.precision,
                clock=wanted.clock,
            )  # fmt: skip


def with_size(method: MethodConfig, size: int | None) -> MethodConfig:
    """The method with all views of one size; None for its own."""
    if size is None:
        return method
    return replace(
        method,
        coarse=replace(method.coarse, size=size),
        geometry=replace(method.geometry, size=size),
        texture=replace(method.texture, size=size),
    )


def variants_of(
    names: Sequence[str], method: MethodConfig, bundle: Bundle, wanted: Measurement, report: Report
) -> tuple[list[Variant], Bundle]:
    """Returns the named variants, ready to run, and the bundle; missing engines are built."""
    requests = requests_of_run(method, bundle.manifest)
    store, device = EngineStore(engines_folder()), torch.device(wanted.device)

    def make(name: str, bundle: Bundle) -> Variant:
        return make_variant(
            name, bundle, requests, store,
            precision=wanted.precision, threads=wanted.threads, report=report, device=device,
        )  # fmt: skip

    made: dict[str, Variant] = {n: make(n, bundle) for n in names if n in ENGINES}
    there = bundle.to(device)
    made |= {name: make(name, there) for name in names if name not in ENGINES}
    return [made[name] for name in names], there


def _run(
    wanted: Measurement, method: MethodConfig, names: list[str], bundle: Bundle, report: Report
) -> list[Sampled]:
    """Runs the pipeline once, with every variant in step."""
    variants, bundle = variants_of(names, method, bundle, wanted, report)
    trunk = next((c for c in variants if c.name in (*ENGINES, GRAPHS)), variants[-1])
    switch = Switch(trunk)
    lockstep = Lockstep(
        variants, switch, eager_steps(bundle),
        samples=wanted.samples, clock=wanted.clock, seed=wanted.seed, report=report,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        stack.enter_context(patch.object(pipeline, "method_named", lambda *_: method))
        stack.enter_context(patch.object(algorithm1, "advance", lockstep.advance))
        networks = Prepared(bundle, switch, switch, trunk.name, torch.device(wanted.device))
        pipeline.generate(run_config(wanted, Path(folder) / "run"), Told(report), networks)
    return list(lockstep.phases.values())


class Prepared(LoadedNetworks):
    """Networks whose guidance steps a benchmark has made, the same ones in every stage."""

    def __init__(
        self,
        bundle: Bundle,
        step: Callable[[str], GuidanceStep],
        runner: StepRunner,
        backend: str,
        device: torch.device,
    ) -> None:
        """`bundle` is where the run computes."""
        super().__init__(bundle.manifest, device)
        self._run = _PreparedRun(bundle, step, runner, backend)

    def on_cpu(self) -> Bundle:
        """The networks, which stay where the run computes."""
        return self._run.bundle

    def compile(self, *_: object, **__: object) -> RunNetworks:
        """The steps of the benchmark, whatever the run asks for."""
        return self._run


class _PreparedRun(RunNetworks):
    def __init__(
        self,
        bundle: Bundle,
        step: Callable[[str], GuidanceStep],
        runner: StepRunner,
        backend: str,
    ) -> None:
        self.bundle, self.backend = bundle, backend
        self._step, self._runner = step, runner

    def of_stage(self, name: str) -> StageNetworks:
        del name
        return StageNetworks(self.bundle, FASTEST, self._step, self._runner)


def run_config(wanted: Measurement, out: Path) -> GenerateConfig:
    """Returns the configuration of the run."""
    return GenerateConfig(
        prompt=PromptConfig(text=wanted.text), out=out, seed=wanted.seed, bundle=wanted.bundle,
        device=wanted.device, engine="eager", threads=wanted.threads,
    )  # fmt: skip


class Told:
    """A reporter that passes messages on, and says no more."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report

    def __enter__(self) -> "Told":
        return self

    def __exit__(self, *error: object) -> None: ...

    def phase_started(self, name: str, steps: int, done: int = 0) -> None: ...

    def step(self, record: StepRecord) -> None: ...

    def preview(self, path: Path) -> None: ...

    def message(self, text: str) -> None: ...

    def finished(self, outputs: Sequence[Path], seconds: float) -> None: ...
