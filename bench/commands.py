"""Commands of `xbind-bench`: measure or scale, then tables, JSON lines and a plot."""

from typing import Literal

import torch
from rich.console import Console

from xbind.bench.bench_phases import Measurement, measure_phases
from xbind.bench.config import BenchConfig
from xbind.bench.curves import measure_curves
from xbind.bench.plot import plot_curves, plot_phases
from xbind.bench.records import append, check_writable
from xbind.bench.rows import PhaseRow
from xbind.bench.show import (
    curve_cells,
    part_cells,
    phase_cells,
    table,
    whole_cells,
)
from xbind.bench.whole import run_whole
from xbind.networks.load import load_bundle
from xbind.networks.manifest import load_manifest
from xbind.system.device import choose_device

WIDTH = 200
"""Width of the tables in characters; a narrow terminal wraps them."""


def measure(config: BenchConfig) -> int:
    """Every phase with every variant; 1 if two of them did not compute the same."""
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
