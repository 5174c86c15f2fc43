"""Time every operator's forms against its definition, all in one run.

    python bench/bench_kernels.py [--only OPERATOR …] [--scale F] [--json FILE]
                                  [--kornia PYTHON] [--device cuda] [--threads N] [--clock cpu]

A form that disagrees with the definition is not timed: the bench stops. Ratios are of medians of
forward + backward in this run; with `--clock cpu`, of the least computing time of one thread, for
a machine that is busy with other work too. `cost` is the exponent of time against size over two
decades, 1 for linear. `roofline` is the least time that the operator's traffic and arithmetic take
at the bandwidth and arithmetic measured in this run, and the share of it that is reached.
"""

import argparse
import math
import sys
from dataclasses import asdict, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from xbind.bench.augment_elsewhere import time_elsewhere
from xbind.bench.kernel_cases import CASES, GPU_ONLY, TARGETS, Case
from xbind.bench.timing import (
    Clock,
    Machine,
    Row,
    describe_commit,
    describe_versions,
    device_name,
    elapsed_ms,
    measure_machine,
    quantiles_ms,
    write_rows,
)
from xbind.kernels.common.choice import Impl

MODES = ("forward", "forward+backward")


def main() -> None:
    """Measure, check, print."""
    arguments = _parse()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    console = Console(width=140)
    machine = measure_machine(device, seconds=arguments.seconds, clock=arguments.clock)
    console.print(
        f"{device_name(device)}, {machine.threads} threads: "
        f"{machine.bytes_per_second / 1e9:.1f} GB/s, {machine.flops_per_second / 1e9:.0f} GFLOP/s"
    )
    rows, table, missed = [], _table(), []
    for name in arguments.only:
        found = _measure(name, arguments, machine)
        rows += found
        missed += _report(name, found, table)
        if arguments.json:
            write_rows(arguments.json, found)
    console.print(table)
    if missed and arguments.scale == 1:
        sys.exit("Below target: " + "; ".join(missed))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=CASES, help="operators; by default all")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the quoted sizes")
    parser.add_argument("--seconds", type=float, default=1.0, help="about so long per measurement")
    parser.add_argument("--threads", type=int, help="2, and 1 for --clock cpu")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="append one line per measurement")
    parser.add_argument("--kornia", type=Path, help="Python of an environment with kornia")
    arguments = parser.parse_args()
    arguments.threads = arguments.threads or (2 if arguments.clock == "wall" else 1)
    skipped = GPU_ONLY if torch.device(arguments.device).type == "cpu" else set()
    if without := skipped.intersection(arguments.only or ()):
        parser.error(f"{', '.join(without)}: no implementation for the CPU to time")
    arguments.only = arguments.only or [name for name in CASES if name not in skipped]
    if arguments.clock == "cpu" and (arguments.threads > 1 or arguments.device != "cpu"):
        parser.error("--clock cpu counts one thread: leave --threads and --device out")
    return arguments


def _measure(name: str, arguments: argparse.Namespace, machine: Machine) -> list[Row]:
    """Definition and fast form at the quoted size, then the fast form at the other sizes."""
    make, quoted, others = CASES[name]
    fast: Impl = "numba" if machine.device.type == "cpu" else "triton"
    sizes = [max(round(size * arguments.scale), 1) for size in (quoted, *others)]
    case = make(sizes[0], machine.device)
    first_ms = _check_agreement(case, fast, machine.device, arguments.clock)
    rows = [_time(case, "reference", MODES[1], arguments, machine, first_ms)]
    rows += [_time(case, fast, mode, arguments, machine) for mode in MODES]
    if name == "ms_augment_once" and arguments.kornia:
        for form, mode, spent in time_elsewhere(arguments.kornia, case.size, arguments):
            rows.append(replace(rows[-1], form=form, mode=mode, bound_ms=None, **spent))
    for size in sorted(set(sizes[1:]) - {sizes[0]}):
        case = make(size, machine.device)
        rows += [_time(case, fast, mode, arguments, machine) for mode in MODES]
    return rows


def _time(
    case: Case,
    form: Impl,
    mode: str,
    arguments: argparse.Namespace,
    machine: Machine,
    first_ms: float | None = None,
) -> Row:
    step = case.forward if mode == "forward" else case.both
    device = machine.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    spent = quantiles_ms(
        lambda: step(form), device,
        seconds=arguments.seconds, clock=arguments.clock, first_ms=first_ms,
    )  # fmt: skip
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return Row(
        what=case.operator, form=form, mode=mode, size=case.size, unit=case.unit,
        **asdict(spent), clock=arguments.clock, peak_bytes=peak,
        bound_ms=machine.bound_ms(case.work) if mode != "forward" else None,
        threads=machine.threads, device=device_name(device),
        versions=describe_versions(), commit=describe_commit(),
    )  # fmt: skip


def _check_agreement(case: Case, form: Impl, device: torch.device, clock: Clock) -> float:
    """Stop if a form differs from the definition; how long the definition took, in ms."""
    wanted: list[torch.Tensor] = []
    definition_ms = elapsed_ms(lambda: wanted.extend(case.both("reference")), device, clock)
    for got, want in zip(case.both(form), wanted, strict=True):
        scale = want.abs().max().clamp_min(1e-6)
        # a few places may differ, where a decision hangs on the last bit
        off = ((got - want).abs() > case.tolerance * scale).float().mean().item()
        if not off < 1e-3:
            sys.exit(f"{case.operator}: {form} differs from the definition at {off:.2%}")
    return definition_ms


def _table() -> Table:
    table = Table(title="forward + backward")
    for column in ("operator", "size", "definition", "fast form", "forward alone"):
        table.add_column(column, justify="left" if column == "operator" else "right")
    for column in ("ratio", "target", "cost", "roofline", "reached"):
        table.add_column(column, justify="right")
    return table


def _report(name: str, rows: list[Row], table: Table) -> list[str]:
    """Add lines to the table; what is below target."""
    size = rows[0].size
    both = [row for row in rows if row.mode != "forward"]
    quoted = {row.form: row for row in both if row.size == size}
    slow = quoted.pop("reference")
    fast = next(row for form, row in quoted.items() if form in ("numba", "triton"))
    alone = next(row for row in rows if row.form == fast.form and row.mode == MODES[0])
    took, target = _told_ms(fast), TARGETS.get(name)
    ratio, bound_ms = _told_ms(slow) / took, fast.bound_ms or math.nan
    table.add_row(
        name, f"{size} {fast.unit}", _ms(_told_ms(slow)), f"{fast.form} {_ms(took)}",
        _ms(_told_ms(alone)), f"{ratio:.1f}×", f"{target}×" if target else "",
        _cost([row for row in both if row.form == fast.form]),
        _ms(bound_ms), f"{bound_ms / took:.0%}",
    )  # fmt: skip
    for form, row in quoted.items():
        if form != fast.form:
            against = _told_ms(row) / took
            table.add_row(f"  {form}", "", "", _ms(_told_ms(row)), "", f"{against:.1f}×", "3×")
    return [f"{name} {ratio:.1f}× (wanted {target}×)"] if target and ratio < target else []


def _told_ms(row: Row) -> float:
    """The time that is told: on a busy machine the least, since others take from the median."""
    return row.p50_ms if row.clock == "wall" else row.least_ms


def _cost(rows: list[Row]) -> str:
    """Slope of log time against log size, between the smallest and the largest size."""
    low, high = min(rows, key=lambda row: row.size), max(rows, key=lambda row: row.size)
    if low.size == high.size:
        return ""
    return f"{math.log(_told_ms(high) / _told_ms(low)) / math.log(high.size / low.size):.2f}"


def _ms(value: float) -> str:
    return f"{value:.3g} ms"


if __name__ == "__main__":
    main()
