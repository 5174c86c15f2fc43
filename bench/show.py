"""Figures as tables for a terminal and as Markdown."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from xbind.bench.curves import CurveRow
from xbind.bench.instrument import HALF, OPTIMISER, OTHER, WAITING
from xbind.bench.rows import PhaseRow
from xbind.bench.whole import WholeRow
from xbind.run.progress import format_bytes

Cells = list[list[str]]


def phase_cells(rows: Sequence[PhaseRow]) -> tuple[list[str], Cells]:
    """Header and rows: speed, ratio and parity beside each other."""
    header = [
        "preset", "phase", "variant", "ms", "it/s", "views/s", f"× {rows[0].against}", "× eager",
        "gradient cosine", "error", "terms", "renders", "agrees", "peak",
    ]  # fmt: skip
    cells = [
        [
            row.preset, f"{row.phase} {row.size} px × {row.views}", row.form,
            f"{row.mean_ms:.1f}", f"{row.iterations_per_second:.2f}",
            f"{row.views_per_second:.2f}", f"{row.ratio:.2f}",
            "–" if row.times_eager is None else f"{row.times_eager:.2f}",
            f"{row.gradient_cosine:.6f}",
            f"{row.gradient_error:.0e}", f"{row.term_error:.0e}", f"{row.render_difference:.0e}",
            "yes" if row.agrees else "NO",
            "–" if row.peak_bytes is None else format_bytes(row.peak_bytes),
        ]
        for row in rows
    ]  # fmt: skip
    return header, cells


def part_cells(rows: Sequence[PhaseRow]) -> tuple[list[str], Cells]:
    """Header and rows: milliseconds of each part, and the share of its roofline in brackets."""
    known = {*HALF, OPTIMISER, OTHER, WAITING, "occupancy"}
    steps = sorted({name for row in rows for name in row.parts_ms} - known)
    names = ["occupancy", *HALF, *steps, WAITING, OPTIMISER, OTHER]
    header = ["phase", "variant", *names, "differentiable half", "sum"]
    cells = []
    for row in rows:
        half = sum(row.parts_ms.get(name, 0.0) for name in HALF)
        cells.append(
            [
                row.phase, row.form,
                *(_part(row, name, row.parts_ms.get(name)) for name in names),
                _part(row, "differentiable half", half),
                f"{sum(row.parts_ms.values()):.1f}",
            ]
        )  # fmt: skip
    return header, cells


def whole_cells(rows: Sequence[WholeRow]) -> tuple[list[str], Cells]:
    """Header and rows: from prompt to files."""
    parts = list(dict.fromkeys(part for row in rows for part in row.parts))
    cells = [
        [
            row.preset, row.form, f"{row.seconds:.1f}",
            *(f"{row.parts.get(part, 0.0):.1f}" for part in parts), format_bytes(row.peak_bytes),
        ]
        for row in rows
    ]  # fmt: skip
    return ["preset", "variant", "in all", *parts, "peak"], cells


def curve_cells(rows: Sequence[CurveRow]) -> tuple[list[str], Cells]:
    """Header and rows: cost at every size, and the exponents of its growth."""
    header = [
        "phase", "against", "sizes", "ms", "exponent", "last two", "memory", "exponent", "linear"
    ]  # fmt: skip
    cells = [
        [
            row.phase, row.knob, f"{_list(row.x)} {row.unit}", _list(row.ms),
            f"{row.time_exponent:.2f}", f"{row.last_exponent:.2f}",
            " ".join("–" if peak is None else f"{peak / 2**20:.0f}" for peak in row.peak_bytes),
            "–" if row.memory_exponent is None else f"{row.memory_exponent:.2f}",
            "yes" if row.is_linear else "NO",
        ]
        for row in rows
    ]  # fmt: skip
    return header, cells


def _list(values: Sequence[float]) -> str:
    return " ".join(f"{value:.3g}" if value < 1000 else f"{value:.0f}" for value in values)


def _part(row: PhaseRow, name: str, ms: float | None) -> str:
    if ms is None:
        return ""
    share = row.roofline.get(name)
    return f"{ms:.1f}" + ("" if share is None else f" ({share:.0%})")


def table(title: str, header: Sequence[str], cells: Cells) -> Table:
    """Returns the leading columns, for a terminal."""
    made = Table(title=title, box=None, title_justify="left")
    for k, name in enumerate(header):
        made.add_column(name, justify="left" if k < 3 else "right", no_wrap=True)
    for row in cells:
        made.add_row(*row)
    return made


def markdown(header: Sequence[str], cells: Cells) -> Iterator[str]:
    """The same for a document."""
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    for row in cells:
        yield "| " + " | ".join(row) + " |"
