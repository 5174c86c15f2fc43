"""Pictures of the figures as SVG: bars of an iteration's parts, and curves in log-log."""

import math
from collections.abc import Mapping, Sequence
from html import escape

from xbind.bench.rows import PhaseRow

COLOURS = (
    "#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677", "#aa3377", "#bbbbbb", "#222255",
    "#997700", "#994455", "#44bb99", "#ddaa33",
)  # fmt: skip
"""Colours for every common colour blindness (Paul Tol's bright and muted schemes)."""
BAR, GAP, LEFT, WIDTH, TOP = 18, 6, 190, 620, 40


def plot_phases(rows: Sequence[PhaseRow]) -> str:
    """Draws one stacked bar per variant and phase: the sections of an iteration."""
    names = list(dict.fromkeys(name for row in rows for name in row.parts_ms))
    colours = {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(names)}
    body: list[str] = []
    y = TOP
    for phase in dict.fromkeys((row.preset, row.phase, row.size) for row in rows):
        group = [row for row in rows if (row.preset, row.phase, row.size) == phase]
        longest = max(row.mean_ms for row in group)
        preset, name, size = phase
        body.append(_text(10, y, f"{preset}: {name}, {size} px, ms per iteration", bold=True))
        y += GAP + 4
        for row in group:
            body += _bar(row, y, WIDTH / longest, colours)
            y += BAR + GAP
        y += 2 * BAR
    body += _legend(colours, y)
    height = y + 20 * math.ceil(len(colours) / 4) + 20
    return _document(LEFT + WIDTH + 200, height, body)


def _bar(row: PhaseRow, y: int, scale: float, colours: Mapping[str, str]) -> list[str]:
    shapes, x = [_text(10, y + BAR - 5, row.form)], float(LEFT)
    for name, ms in row.parts_ms.items():
        shapes.append(
            f'<rect x="{x:.1f}" y="{y}" width="{ms * scale:.2f}" height="{BAR}" '
            f'fill="{colours[name]}"><title>{escape(name)} {ms:.1f} ms</title></rect>'
        )
        x += ms * scale
    shapes.append(_text(x + 6, y + BAR - 5, f"{row.mean_ms:.0f} ms, {row.ratio:.1f} ×"))
    return shapes


def _legend(colours: Mapping[str, str], y: int) -> list[str]:
    shapes = []
    for k, (name, colour) in enumerate(colours.items()):
        x, line = 10 + 200 * (k % 4), y + 20 * (k // 4)
        shapes.append(f'<rect x="{x}" y="{line}" width="12" height="12" fill="{colour}"/>')
        shapes.append(_text(x + 18, line + 11, name))
    return shapes


def plot_curves(curves: Mapping[str, Mapping[float, float]], title: str) -> str:
    """Lines through (size, cost) in log-log, each with its name at its end."""
    xs = [math.log10(x) for line in curves.values() for x in line]
    ys = [math.log10(y) for line in curves.values() for y in line.values()]
    low, high = (min(xs), min(ys)), (max(xs), max(ys))
    height = 420

    def place(x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x) - low[0]) / max(high[0] - low[0], 1e-9)
        up = (math.log10(y) - low[1]) / max(high[1] - low[1], 1e-9)
        return 60 + across * WIDTH, TOP + 20 + (1 - up) * (height - 80)

    body = [_text(10, 20, title, bold=True)]
    for k, (name, line) in enumerate(curves.items()):
        points = [place(x, y) for x, y in sorted(line.items())]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        colour = COLOURS[k % len(COLOURS)]
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        body += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        body.append(_text(points[-1][0] + 8, points[-1][1] + 4, name))
    for value, x in ((10 ** low[0], 60), (10 ** high[0], 60 + WIDTH)):
        body.append(_text(x - 10, height, f"{value:.3g}"))
    for value, y in ((10 ** low[1], height - 60), (10 ** high[1], TOP + 20)):
        body.append(_text(5, y, f"{value:.3g}"))
    return _document(60 + WIDTH + 260, height + 20, body)


def _text(x: float, y: float, words: str, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{weight}>{escape(words)}</text>'


def _document(width: float, height: float, body: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        'font-family="sans-serif" font-size="12">'
    )
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *body, "</svg>\n"])
