"""Put measured figures into a document:  python -P bench/write_tables.py RECORDS.jsonl DOCUMENT.md

Every table of the document stands between `<!-- NAME -->` and `<!-- end -->`; the tables are made
of all records of the file. `make bench` measures and calls this.
"""

import argparse
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from xbind.bench.curves import CurveRow
from xbind.bench.rows import PhaseRow
from xbind.bench.show import (
    Cells,
    curve_cells,
    markdown,
    part_cells,
    phase_cells,
    whole_cells,
)
from xbind.bench.whole import WholeRow

KINDS = {"phase": PhaseRow, "whole": WholeRow, "curve": CurveRow}
Rows = Sequence[Any]
Table = Callable[[Rows], tuple[list[str], Cells]]

TABLES: dict[str, tuple[str, Table]] = {
    "machine": ("phase", lambda rows: (["machine"], [[describe(rows[0])]])),
    "phases": ("phase", phase_cells),
    "parts": ("phase", part_cells),
    "whole": ("whole", whole_cells),
    "curves": ("curve", curve_cells),
}
"""Name of a table in the document → the kind of its records, and how it is made."""


def main() -> None:
    """Read, replace, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("records", type=Path)
    parser.add_argument("document", type=Path)
    arguments = parser.parse_args()
    rows = read_rows(arguments.records.read_text().splitlines())
    document = arguments.document.read_text()
    arguments.document.write_text(fill(document, rows))


def read_rows(lines: Sequence[str]) -> dict[str, list[Any]]:
    """Kind → records, of what `xbind-bench --json` wrote."""
    rows: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    for line in lines:
        record = json.loads(line)
        rows[record["kind"]].append(KINDS[record["kind"]](**record))
    return rows


def fill(document: str, rows: Mapping[str, Rows]) -> str:
    """The document with each table that there are records for written again."""
    for name, (kind, table) in TABLES.items():
        if not rows[kind]:
            continue
        lines = "\n".join(markdown(*table(rows[kind])))
        block = f"<!-- {name} -->\n{lines}\n<!-- end -->"
        pattern = rf"<!-- {name} -->\n.*?<!-- end -->"
        document, found = re.subn(pattern, block.replace("\\", r"\\"), document, flags=re.DOTALL)
        if found != 1:
            raise SystemExit(f"There are {found} places for the table {name!r}; wanted one.")
    return document


def describe(row: PhaseRow) -> str:
    """Returns a description of the machine and versions."""
    return (
        f"{row.device}, {row.threads} threads, {row.clock} clock, {row.gigabytes_per_second:.1f} "
        f"GB/s, {row.gigaflops_per_second:.0f} GFLOP/s; {row.versions}; commit {row.commit}"
    )


if __name__ == "__main__":
    main()
