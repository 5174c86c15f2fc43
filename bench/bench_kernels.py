"""Time every operator's forms against its definition, all in one run.

    python bench/bench_kernels.py [--only OPERATOR …] [--scale F] [--json FILE]
                                  [--kornia PYTHON] [--device cuda] [--threads N]

A form that disagrees with the definition is not timed: the bench stops. Ratios are of medians of
forward + backward in this run. `cost` is the exponent of time against size over two decades, 1 for
linear. `roofline` is the least time that the operator's traffic and arithmetic take at the
bandwidth and arithmetic measured in this run, and the share of it that is reached.
"""

import argparse
import math
import sys
from dataclasses import replace
from pathlib import Path

import torch
from augment_elsewhere import time_elsewhere
from kernel_cases import CASES, TARGETS, Case
from rich.console import Console
from rich.table import Table
from timing import (
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

MODES = ("forward", "forward+backward")


def main() -> None:
    """Measure, check, print."""
    arguments = _parse()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    console = Console(width=140)
    machine = measure_machine(device, seconds=arguments.seconds)
    console.print(
        f"{device_name(device)}, {machine.threads} threads: "
        f"{machine.bytes_per_second / 1e9:.1f} GB/s, {machine.flops_per_second / 1e9:.0f} GFLOP/s"
    )
    rows, table, missed = [], _table(), []
    for name in arguments.only or CASES:
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
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="append one line per measurement")
    parser.add_argument("--kornia", type=Path, help="Python of an environment with kornia")
    return parser.parse_args()


def _measure(name: str, arguments: argparse.Namespace, machine: Machine) -> list[Row]:
    """Definition and fast form at the quoted size, then the fast form at the other sizes."""
    make, quoted, others = CASES[name]
    fast = "numba" if machine.device.type == "cpu" else "triton"
    sizes = [max(round(size * arguments.scale), 1) for size in (quoted, *others)]
    case = make(sizes[0], machine.device)
    first_ms = _check_agreement(case, fast, machine.device)
    rows = [_time(case, "reference", MODES[1], arguments, machine, first_ms)]
    rows += [_time(case, fast, mode, arguments, machine) for mode in MODES]
    if name == "ms_augment" and arguments.kornia:
        for form, mode, spent in time_elsewhere(arguments.kornia, case.size, arguments):
            rows.append(replace(rows[-1], form=form, mode=mode, bound_ms=None, **spent))
    for size in sorted(set(sizes[1:]) - {sizes[0]}):
        case = make(size, machine.device)
        rows += [_time(case, fast, mode, arguments, machine) for mode in MODES]
    return rows


def _time(
    case: Case,
    form: str,
    mode: str,
    arguments: argparse.Namespace,
    machine: Machine,
    first_ms: float | None = None,
) -> Row:
    step = case.forward if mode == "forward" else case.both
    device = machine.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    spent = quantiles_ms(lambda: step(form), device, seconds=arguments.seconds, first_ms=first_ms)
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return Row(
        what=case.operator, form=form, mode=mode, size=case.size, unit=case.unit,
        p50_ms=spent.p50_ms, p20_ms=spent.p20_ms, p80_ms=spent.p80_ms, repeats=spent.repeats,
        peak_bytes=peak, bound_ms=machine.bound_ms(case.work) if mode != "forward" else None,
        threads=machine.threads, device=device_name(device),
        versions=describe_versions(), commit=describe_commit(),
    )  # fmt: skip


def _check_agreement(case: Case, form: str, device: torch.device) -> float:
    """Stop if a form differs from the definition; how long the definition took, in ms."""
    wanted: list[torch.Tensor] = []
    definition_ms = elapsed_ms(lambda: wanted.extend(case.both("reference")), device)
    for got, want in zip(case.both(form), wanted, strict=True):
        scale = want.abs().max().clamp_min(1e-6)
        # a few places may differ, where a decision hangs on the last bit
        off = ((got - want).abs() > case.tolerance * scale).float().mean().item()
        if not off < 1e-3:
            sys.exit(f"{case.operator}: {form} differs from the definition at {off:.2%}")
    return definition_ms


def _table() -> Table:
    table = Table(title="forward + backward, medians")
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
    ratio, target = slow.p50_ms / fast.p50_ms, TARGETS.get(name)
    table.add_row(
        name, f"{size} {fast.unit}", _ms(slow.p50_ms), f"{fast.form} {_ms(fast.p50_ms)}",
        _ms(alone.p50_ms), f"{ratio:.1f}×", f"{target}×" if target else "",
        _cost([row for row in both if row.form == fast.form]),
        _ms(fast.bound_ms or math.nan), f"{(fast.bound_ms or math.nan) / fast.p50_ms:.0%}",
    )  # fmt: skip
    for form, row in quoted.items():
        if form != fast.form:
            against = f"{row.p50_ms / fast.p50_ms:.1f}×"
            table.add_row(f"  {form}", "", "", _ms(row.p50_ms), "", against, "3×")
    return [f"{name} {ratio:.1f}× (wanted {target}×)"] if target and ratio < target else []


def _cost(rows: list[Row]) -> str:
    """Slope of log time against log size, between the smallest and the largest size."""
    low, high = min(rows, key=lambda row: row.size), max(rows, key=lambda row: row.size)
    if low.size == high.size:
        return ""
    return f"{math.log(high.p50_ms / low.p50_ms) / math.log(high.size / low.size):.2f}"


def _ms(value: float) -> str:
    return f"{value:.3g} ms"


if __name__ == "__main__":
    main()
