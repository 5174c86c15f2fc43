"""What `xbind-bench` does: measure, scale or project, then tables, JSON lines and a picture."""

from dataclasses import replace
from typing import Literal

import torch
from rich.console import Console

from xbind.bench.bench_phases import Measurement, measure_phases
from xbind.bench.config import BenchConfig
from xbind.bench.counted import counted_bundle
from xbind.bench.curves import measure_curves
from xbind.bench.gpus import gpu_named
from xbind.bench.plot import plot_curves, plot_phases
from xbind.bench.project_rows import GOAL_BYTES, GOAL_SECONDS, ProjectionRow, levers_of
from xbind.bench.projection import Assumptions, project
from xbind.bench.records import append, check_writable
from xbind.bench.rows import PhaseRow
from xbind.bench.show import (
    curve_cells,
    part_cells,
    phase_cells,
    projection_cells,
    step_cells,
    table,
    whole_cells,
)
from xbind.bench.whole import run_whole
from xbind.config.presets import preset_named
from xbind.importing.architectures import sd21, taesd
from xbind.networks.load import load_bundle
from xbind.networks.manifest import load_manifest
from xbind.run.progress import format_bytes
from xbind.system.device import choose_device

WIDTH = 200
"""Of the tables, in characters; a narrow terminal wraps them rather than lose columns."""


def measure(config: BenchConfig) -> int:
    """Every phase with every contestant; 1 if two of them did not compute the same."""
    check_writable(config.json)
    check_writable(config.plot)
    console = Console(width=WIDTH, highlight=False, markup=False)
    wanted = _wanted(config)
    rows: list[PhaseRow] = []
    for row in measure_phases(wanted, console.print):
        rows.append(row)
        append(config.json, [row])
    console.print(table("Per iteration", *phase_cells(rows)))
    console.print(
        table("Milliseconds per part, and in brackets the share of its roofline", *part_cells(rows))
    )
    if config.plot is not None:
        config.plot.write_text(plot_phases(rows))
    if config.whole:
        _measure_whole(config, wanted, list(dict.fromkeys(row.form for row in rows)), console)
    differ = [f"{row.form} in {row.phase}" for row in rows if not row.agrees]
    if differ:
        console.print(f"NOT THE SAME RESULTS: {'; '.join(differ)}.")
    return 1 if differ else 0


def _measure_whole(
    config: BenchConfig, wanted: Measurement, names: list[str], console: Console
) -> None:
    rows = []
    for preset in config.preset:
        for size in config.size or (None,):
            for name in names:
                console.print(f"{preset}: {name} from prompt to files")
                rows.append(run_whole(wanted, preset, size, name))
                append(config.json, rows[-1:])
    console.print(table("One object, in seconds", *whole_cells(rows)))


def _wanted(config: BenchConfig) -> Measurement:
    device: Literal["cpu", "cuda"] = (
        "cuda" if choose_device(config.device).type == "cuda" else "cpu"
    )
    return Measurement(
        presets=config.preset, sizes=config.size, engines=config.engine, bundle=config.bundle,
        text=config.text, device=device, precision=config.precision, threads=config.threads,
        samples=config.samples, clock=config.clock, seed=config.seed,
    )  # fmt: skip


def scale(config: BenchConfig) -> int:
    """Cost against size; 1 if something costs more than in proportion."""
    check_writable(config.json)
    check_writable(config.plot)
    console = Console(width=WIDTH, highlight=False, markup=False)
    torch.set_num_threads(config.threads)
    bundle = load_bundle(load_manifest(config.bundle))
    rows = []
    for row in measure_curves(
        bundle, rounds=config.samples, clock=config.clock, report=console.print
    ):
        rows.append(row)
        append(config.json, [row])
    console.print(table("Differentiable half, ms per iteration", *curve_cells(rows)))
    if config.plot is not None:
        lines = {
            f"{row.phase}, {row.knob} ({row.unit})": dict(zip(row.x, row.ms, strict=True))
            for row in rows
        }
        config.plot.write_text(plot_curves(lines, "ms per iteration without guidance"))
    steep = [f"{r.phase} in {r.unit} ({r.last_exponent:.2f})" for r in rows if not r.is_linear]
    if steep:
        console.print(f"MORE THAN LINEAR: {'; '.join(steep)}.")
    return 1 if steep else 0


def project_cards(config: BenchConfig) -> int:
    """The model of a GPU, its assumptions first."""
    gpus = [gpu_named(name) for name in config.project]
    presets = ("paper", "fast") if config.preset == ("default",) else config.preset
    methods = {name: preset_named(name) for name in presets}
    check_writable(config.json)
    console = Console(width=WIDTH, highlight=False, markup=False)
    assumed = Assumptions()
    console.print("A PROJECTION, not a measurement: nothing was run on these cards. Assumed:")
    for line in assumed.lines():
        console.print(f"  {line}")
    for gpu in gpus:
        console.print(
            f"  {gpu.name}: {gpu.half_flops / 1e12:.0f} TFLOP/s in float16, "
            f"{gpu.bytes_per_second / 1e9:.0f} GB/s, {format_bytes(gpu.memory_bytes)} "
            f"({gpu.source})"
        )
    found: list[ProjectionRow] = []
    levers: list[ProjectionRow] = []
    with counted_bundle(replace(sd21(), taesd=taesd())) as bundle:
        for preset, method in methods.items():
            for gpu in gpus:
                plain = project(method, bundle.without_taesd(), gpu, assumed)
                row = ProjectionRow.of(preset, gpu, plain, assumed)
                found.append(row)
                if preset == "fast" and row.seconds > GOAL_SECONDS:
                    levers += levers_of(preset, method, bundle, gpu, assumed)
    append(config.json, found + levers)
    console.print(table("Projected: one object of the sd21 bundle", *projection_cells(found)))
    console.print(table("Projected: ms per iteration (TFLOP)", *step_cells(found)))
    if levers:
        goal = f"{GOAL_SECONDS} s and {GOAL_BYTES / 1e9:.0f} GB"
        console.print(table(f"What would bring `fast` to {goal}", *projection_cells(levers)))
    return 0
