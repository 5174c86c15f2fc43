"""Compile every Triton kernel for every GPU generation; needs no GPU.

    python -P bench/kernel_resources.py [--json FILE]

Prints registers, threads and shared memory, and ends with status 1 if registers spill anywhere.
float16 and bfloat16 storage are tried on the oldest and the newest generation: they only change
loads and stores.
"""

import argparse
import json
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from xbind.bench.gpu_cubins import (
    ARCHITECTURES,
    Resources,
    Variant,
    compile_for,
    in_half,
    variants,
)

ENDS = (ARCHITECTURES[0], ARCHITECTURES[-1])


def main() -> None:
    """Compile, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, help="also write one line per kernel and generation")
    arguments = parser.parse_args()
    jobs = [(v.name, sm) for v in variants() for sm in ARCHITECTURES]
    jobs += [(half.name, sm) for v in variants() for half in in_half(v) for sm in ENDS]
    # Threads of torch's do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        found = dict(zip(jobs, pool.map(_compile, *zip(*jobs, strict=True)), strict=True))
    _print_table(found)
    if arguments.json:
        rows = ({"kernel": k, "sm": sm, **asdict(used)} for (k, sm), used in found.items())
        arguments.json.write_text("".join(json.dumps(row) + "\n" for row in rows))
    spilled = [f"{name} on sm_{sm}" for (name, sm), used in found.items() if used.stack_bytes]
    if spilled:
        sys.exit(f"Registers spill in {'; '.join(spilled)}.\nTry a smaller BLOCK or more warps.")


def _compile(name: str, sm: int) -> Resources:
    return compile_for(_every_variant()[name], sm)


def _every_variant() -> dict[str, Variant]:
    plain = variants()
    halves = [half for variant in plain for half in in_half(variant)]
    return {variant.name: variant for variant in (*plain, *halves)}


def _print_table(found: dict[tuple[str, int], Resources]) -> None:
    table = Table(title="Registers per thread; ! where some spill")
    table.add_column("kernel", no_wrap=True)
    for column in ("threads", "shared bytes", *(f"sm_{sm}" for sm in ARCHITECTURES)):
        table.add_column(column, justify="right")
    for name in dict.fromkeys(name for name, _ in found):
        row = [found.get((name, sm)) for sm in ARCHITECTURES]
        used = [resources for resources in row if resources]
        shared = max(resources.shared_bytes for resources in used)
        cells = (f"{r.registers}{'!' if r.stack_bytes else ''}" if r else "" for r in row)
        table.add_row(name, str(used[0].threads), str(shared), *cells)
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
