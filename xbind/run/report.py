"""`report.html`: one page about a finished run, readable without a network or a script."""

import html
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xbind.files import atomic_write
from xbind.run.events import read_events
from xbind.run.progress import format_bytes, format_seconds
from xbind.scene.mesh.mesh import Mesh

CHART = (240, 90)
"""Width and height of one curve, in pixels."""
SMOOTHING = 0.1
"""Share of the new value in the smoothed curve of a term."""
SETTINGS = (
    "seed",
    "preset",
    "without",
    "phase2_loss",
    "from_phase1",
    "engine",
    "image_term",
    "bundle",
    "bundle_sha256",
    "prior_3d",
)
"""Which of the run's settings the page shows."""
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { padding: .15rem .9rem .15rem 0; text-align: left; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { display: inline-block; margin: 0 1rem 1rem 0; vertical-align: top; }
figcaption { color: #666; font-size: .85rem; } img { image-rendering: auto; max-width: 100%; }
img.pixels { image-rendering: pixelated; }
svg { background: #f6f6f6; } polyline { fill: none; stroke: #bbb; }
polyline.smooth { stroke: #c02; stroke-width: 1.5; }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818; }
  svg { background: #242424; } polyline { stroke: #555; } polyline.smooth { stroke: #f76; } }
"""


@dataclass(frozen=True, slots=True)
class MeshFacts:
    """What the page says of the mesh."""

    vertices: int
    faces: int
    volume: float
    """Enclosed, in cubic scene units; positive when wound outward."""
    texture_px: int
    """Side of the texture."""

    @classmethod
    def of(cls, mesh: Mesh, texture_px: int) -> "MeshFacts":
        """The figures of a mesh in the scene's frame."""
        return cls(len(mesh.vertices), len(mesh.faces), float(mesh.volume()), texture_px)


def write_report(
    folder: Path,
    config: Mapping[str, Any],
    seconds: Mapping[str, float],
    mesh: MeshFacts,
    peak_bytes: int,
) -> Path:
    """Write `report.html` beside the files that it shows.

    Args:
        folder: the run's, with its turntable, reference, previews and events.
        config: what `config.json` holds.
        seconds: wall time of each part of the run, in order.
        mesh: of the result.
        peak_bytes: the most memory that the process held.

    Raises:
        DiskError: the page cannot be written.
    """
    prompt = _prompt_words(config["prompt"])
    body = "\n".join(
        [
            f"<h1>{html.escape(prompt)}</h1>",
            _figure("turntable.gif", "the result: colour and world-space normals"),
            *_reference(folder),
            *_understood(config.get("understood", {})),
            *_reading(config.get("reading")),
            "<h2>Files</h2>",
            _files(folder),
            "<h2>Figures</h2>",
            _figures(seconds, mesh, peak_bytes),
            "<h2>Previews</h2>",
            *(_figure(f"previews/{p.name}", p.stem) for p in _previews(folder)),
            "<h2>Loss terms, before their weights</h2>",
            *_charts(read_events(folder / "events.jsonl")),
            "<h2>Settings</h2>",
            _table([(k, config[k]) for k in SETTINGS if config.get(k) not in (None, [])]),
        ]
    )
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{html.escape(prompt)}</title><style>{STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )
    path = folder / "report.html"
    atomic_write(path, page.encode())
    return path


def _reference(folder: Path) -> list[str]:
    """The reference view, if the method has one."""
    if not (folder / "reference.png").exists():
        return []
    return [_figure("reference.png", "reference view", pixels=True)]


def _understood(readings: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
    """The nearest names for each modality and for the mix, with their shares."""
    rows = [
        (f"{source}, {kind}", ", ".join(f"{name} {share:.2f}" for name, share in shares.items()))
        for source, kinds in readings.items()
        for kind, shares in kinds.items()
    ]
    return ["<h2>Understood as</h2>", _table(rows)] if rows else []


def _reading(reading: Mapping[str, Any] | None) -> list[str]:
    """What the text was read as, of a bundle with a closed vocabulary."""
    if reading is None:
        return []
    rows = [("written", reading["text"]), ("read as", reading["read"])]
    rows += [(f"{written} as", word) for written, word in reading["replaced"]]
    rows += [("ignored", words) for words in reading["ignored"]]
    return ["<h2>Text</h2>", _table(rows)]


def _prompt_words(prompt: Mapping[str, Any]) -> str:
    """The prompt on one line: `text: something blue + audio: bell.wav`."""
    given = [k for k in ("text", "image", "audio", "depth") if prompt.get(k)]
    return " + ".join(f"{k}: {prompt[k]}" for k in given)


def _previews(folder: Path) -> list[Path]:
    """The last picture of each phase, in the order in which they were made."""
    newest: dict[str, Path] = {}
    for path in sorted((folder / "previews").glob("*.png")):
        newest[path.stem.rsplit("_", 1)[0]] = path
    return sorted(newest.values(), key=lambda path: path.stat().st_mtime_ns)


def _files(folder: Path) -> str:
    names = ("mesh.glb", "mesh.obj", "texture.png", "config.json", "events.jsonl")
    return _table(
        [(name, format_bytes((folder / name).stat().st_size)) for name in names], links=True
    )


def _figures(seconds: Mapping[str, float], mesh: MeshFacts, peak_bytes: int) -> str:
    rows: list[tuple[str, object]] = [(k, format_seconds(v)) for k, v in seconds.items()]
    rows += [
        ("in all", format_seconds(sum(seconds.values()))),
        ("peak memory", format_bytes(peak_bytes)),
        ("vertices", mesh.vertices),
        ("faces", mesh.faces),
        ("volume", f"{mesh.volume:.4f} cubic scene units"),
        ("texture", f"{mesh.texture_px} × {mesh.texture_px} pixels"),
    ]
    return _table(rows)


def _table(rows: Iterable[tuple[str, object]], *, links: bool = False) -> str:
    lines = []
    for name, value in rows:
        label = html.escape(name)
        label = f'<a href="{label}">{label}</a>' if links else label
        lines.append(f'<tr><td>{label}</td><td class="number">{html.escape(str(value))}</td></tr>')
    return "<table>" + "".join(lines) + "</table>"


def _figure(source: str, caption: str, *, pixels: bool = False) -> str:
    name = html.escape(source)
    kind = ' class="pixels" width="256"' if pixels else ""
    return (
        f'<figure><img src="{name}" alt="{html.escape(caption)}"{kind}>'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _charts(events: Iterable[Mapping[str, Any]]) -> list[str]:
    """A curve for every term of every phase."""
    curves: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
    for event in events:
        for term, value in event.items():
            if term not in ("phase", "step") and isinstance(value, int | float):
                curves[event["phase"], term].append((event["step"], float(value)))
    return [
        f"<figure>{_chart(points)}<figcaption>{html.escape(f'{phase}: {term}')}, "
        f"last {points[-1][1]:.4g}</figcaption></figure>"
        for (phase, term), points in curves.items()
    ]


def _chart(points: Sequence[tuple[int, float]]) -> str:
    """The values as an SVG polyline, and a smoothed one over it."""
    width, height = CHART
    smooth, running = [], points[0][1]
    for step, value in points:
        running += SMOOTHING * (value - running)
        smooth.append((step, running))
    values = [value for _, value in points]
    low, high = min(values), max(values)
    first, last = points[0][0], points[-1][0]

    def line(curve: Sequence[tuple[int, float]], kind: str) -> str:
        places = " ".join(
            f"{(step - first) / max(1, last - first) * width:.1f},"
            f"{height - 4 - (value - low) / max(high - low, 1e-12) * (height - 8):.1f}"
            for step, value in curve
        )
        return f'<polyline class="{kind}" points="{places}"/>'

    return (
        f'<svg width="{width}" height="{height}" role="img">'
        f"{line(points, 'raw')}{line(smooth, 'smooth')}</svg>"
    )
