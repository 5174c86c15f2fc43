"""`report.html`: one page about a finished run that needs no network and no other file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import xbind
from xbind.config.changes import leaves
from xbind.config.options import MODALITIES
from xbind.config.presets import MethodConfig, UnknownPreset
from xbind.config.ranges import recorded
from xbind.config.variants import method_named
from xbind.errors import XBindError
from xbind.files import atomic_write
from xbind.run.charts import CHART, Curve, read_curves
from xbind.run.checks import EVENTS
from xbind.run.events import read_events
from xbind.run.outputs import title as title_of
from xbind.run.progress import format_bytes, format_seconds
from xbind.scene.mesh.mesh import Mesh
from xbind.web.page import asset, content_security_policy, inline_script, render, viewer_script

SETTINGS = (
    "seed",
    "device",
    "engine",
    "precision",
    "vram",
    "threads",
    "image_term",
    "view_words",
    "lighting",
    "without",
    "phase2_loss",
    "from_phase1",
    "bundle",
    "bundle_sha256",
    "prior_2d",
    "prior_3d",
    "versions",
)
"""Settings that the page lists, if they are set."""
FILES = (
    "mesh.glb", "mesh.obj", "mesh.mtl", "texture.png", "turntable.gif", "turntable.mp4",
    "reference.png", "mask.png", "config.json", "events.jsonl",
)  # fmt: skip
"""Files of a run that the page links to."""
ORBIT = "30deg 75deg auto"
"""Start of the viewer's camera: azimuth from the front, angle from the vertical, distance."""


@dataclass(frozen=True, slots=True)
class MeshFacts:
    """Figures of the mesh on the page."""

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
    *,
    agreement: str | None = None,
) -> Path:
    """Write `report.html`; mesh, pictures, sounds, viewer and styles are inside.

    Args:
        folder: the run's, with its mesh, turntable, reference, previews and events.
        config: what `config.json` holds.
        seconds: wall time of each stage of the run, in order.
        mesh: of the result.
        peak_bytes: the most memory that the process held.
        agreement: of the 3D prior with the prompt, in words, if it was measured.

    Raises:
        DiskError: the page cannot be written.
    """
    # not at the top: only finished runs need what embeds meshes and sounds
    from xbind.run.report_media import picture_uri, prompt_parts, turntable_uri, viewer_mesh

    shown = viewer_mesh(folder / "mesh.glb")
    viewer, script = viewer_script(), asset("report.js")
    parts = list(prompt_parts(config["prompt"]))
    curves, curves_missing = _curves(folder / EVENTS)
    title = _title(config["prompt"])
    values = {
        "policy": content_security_policy([viewer, script]),
        "style": inline_script(asset("report.css")),
        "viewer_script": inline_script(viewer),
        "page_script": inline_script(script),
        "title": title,
        "subtitle": " · ".join(f"{key} {config[key]}" for key in ("preset", "seed", "bundle")),
        "version": xbind.__version__,
        "mesh": shown,
        "download": "mesh.glb",
        "unlit": config.get("files", {}).get("material", "unlit") == "unlit",
        "orbit": ORBIT,
        "prompt": parts,
        "mixed": len(parts) > 1,
        "reading": _reading(config.get("reading")),
        "understood": _understood(config.get("understood", {})),
        "turntable": turntable_uri(folder),
        "pictures": [(picture_uri(folder / name), said) for name, said in _pictures(folder)],
        "candidates": picture_uri(folder / "references.png"),
        "previews": [(picture_uri(path), path.stem) for path in _previews(folder)],
        "facts": _facts(mesh, peak_bytes, agreement),
        "times": _times(seconds),
        "settings": _settings(config),
        "preset": config["preset"],
        "differences": _differences(config),
        "curves": curves,
        "curves_missing": curves_missing,
        "chart": CHART,
        "files": _files(folder),
    }
    path = folder / "report.html"
    atomic_write(path, render("report.html", values).encode())
    return path


def _title(prompt: Mapping[str, Any]) -> str:
    """The prompt on one line, files without their folders: `something blue + bell.wav`."""
    given = {k: prompt[k] for k in MODALITIES if prompt.get(k)}
    return title_of({"prompt": {k: x if k == "text" else Path(x).name for k, x in given.items()}})


def _curves(events: Path) -> tuple[list[tuple[str, list[Curve]]], str]:
    """The loss curves by phase, or why there are none: a damaged log must not cost the page."""
    try:
        log = read_events(events)
    except XBindError as error:
        return [], f"The loss curves cannot be shown: {error}"
    curves = [(phase, list(group)) for phase, group in
              groupby(read_curves(log.records), lambda curve: curve.phase)]  # fmt: skip
    if log.damage is None:
        return curves, ""
    where = f"{EVENTS}, line {log.damaged_line} is damaged ({log.damage})"
    return curves, f"{where}: the curves end there."


def _reading(reading: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Returns the reading of the text, for a bundle with a closed vocabulary."""
    if reading is None:
        return []
    rows = [("written", reading["text"]), ("read as", reading["read"])]
    rows += [(f"{written} as", word) for written, word in reading["replaced"]]
    return rows + [("ignored", words) for words in reading["ignored"]]


def _understood(
    readings: Mapping[str, Mapping[str, Mapping[str, float]]],
) -> list[tuple[str, str, list[tuple[str, float]]]]:
    """The nearest names for each modality and for the mix, with their shares."""
    return [
        (source, kind, list(shares.items()))
        for source, kinds in readings.items()
        for kind, shares in kinds.items()
    ]


def _pictures(folder: Path) -> list[tuple[str, str]]:
    """Names of pictures that are there, and captions."""
    captions = {"reference.png": "reference view", "mask.png": "mask of the prompt's picture"}
    return [(name, said) for name, said in captions.items() if (folder / name).is_file()]


def _previews(folder: Path) -> list[Path]:
    """The last picture of each phase, in the order of the phases, which is that of their names."""
    newest: dict[str, Path] = {}
    for path in sorted((folder / "previews").glob("*.png")):
        newest[path.stem.rsplit("_", 1)[0]] = path
    return list(newest.values())


def _files(folder: Path) -> list[tuple[str, str]]:
    found = (folder / name for name in FILES)
    return [(path.name, format_bytes(path.stat().st_size)) for path in found if path.is_file()]


def _facts(mesh: MeshFacts, peak_bytes: int, agreement: str | None) -> list[tuple[str, object]]:
    measured = [] if agreement is None else [("3D prior's agreement with the prompt", agreement)]
    return [
        ("vertices", mesh.vertices),
        ("faces", mesh.faces),
        ("volume", f"{mesh.volume:.4f} cubic scene units"),
        ("texture", f"{mesh.texture_px} × {mesh.texture_px} pixels"),
        ("peak memory", format_bytes(peak_bytes)),
        *measured,
    ]


def _times(seconds: Mapping[str, float]) -> list[tuple[str, str]]:
    rows = [(stage, format_seconds(took)) for stage, took in seconds.items()]
    return [*rows, ("in all", format_seconds(sum(seconds.values())))]


def _settings(config: Mapping[str, Any]) -> list[tuple[str, object]]:
    set_ones = {key: config[key] for key in SETTINGS if config.get(key) not in (None, [], {})}
    return [(name, _plain(value)) for name, value in _flat(set_ones)]


def _differences(config: Mapping[str, Any]) -> list[tuple[str, str, str]] | None:
    """Numbers of the run's method that are not those of its preset; None for an unknown preset.

    What an ablation (`without`, `phase2_loss`) changes is listed as well.
    """
    try:
        preset = method_named(config["preset"])
    except UnknownPreset:
        return None
    before, now = _with_left_out(recorded(preset)), _with_left_out(config.get("method", {}))
    return [
        (name, _plain(before.get(name)), _plain(now.get(name)))
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    ]


def _with_left_out(record: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted name → value of a method's record, and of the settings that a record leaves out."""
    default = MethodConfig()
    held = dict(_flat(recorded(default)))
    left_out = {
        name: list(value) if isinstance(value, tuple) else value
        for name, _, value in leaves(default)
        if name not in held
    }
    return left_out | dict(_flat(record))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings as `outer.inner` names; lists stay whole."""
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _plain(value: object) -> str:
    """A value for a table: lists with commas, what is not set as a dash."""
    if value is None:
        return "–"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
