"""Contact sheets of finished runs: prompt, reference view, and the mesh from several sides."""

import dataclasses
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont

from xbind.config.options import MODALITIES
from xbind.errors import XBindError
from xbind.scene.cameras import orbit
from xbind.scene.mesh.render import render_normals
from xbind.scene.mesh.textured import read_glb
from xbind.scene.mesh.turntable import to_frames
from xbind.system.untrusted import guarded, read_json_object

VIEW_PX = 112
"""Side of a view, in pixels."""
LABEL_PX = 150
"""Width of a column of words, in pixels."""
HEAD_PX = 22
"""Height of a line of headings, in pixels."""
ELEVATION_DEG = 15.0
"""From which the views look down."""
QUALITY = 88
"""Quality of sheets in JPEG, from 1 to 95; a PNG has none and ignores it."""
START_DEG = 40.0
"""Azimuth of the first of them."""


def row_of(run: Path) -> Image.Image:
    """Returns one run's row: prompt, reference view (white if there is none), four views."""
    row = Image.new("RGB", (LABEL_PX + 5 * VIEW_PX, VIEW_PX), "white")
    _write(row, (4, VIEW_PX // 2), _label_of(run))
    reference = run / "reference.png"
    if reference.exists():
        with _reading(reference), Image.open(reference, formats=("PNG",)) as picture:
            row.paste(_square(picture), (LABEL_PX, 0))
    row.paste(views_of(run, 4), (LABEL_PX + VIEW_PX, 0))
    return row


def views_of(run: Path, count: int, *, normals: bool = False) -> Image.Image:
    """The mesh of a run from `count` sides, as read back from its GLB; or its normal maps."""
    around = orbit(count, elevation_deg=ELEVATION_DEG)
    cameras = dataclasses.replace(around, azimuth_deg=around.azimuth_deg + START_DEG)
    mesh = read_glb(run / "mesh.glb")
    if normals:
        with torch.no_grad():
            seen, _ = render_normals(mesh.welded(), cameras, VIEW_PX)
    else:
        seen = mesh.views(cameras, VIEW_PX).image
    [pixels] = to_frames(*seen.split(1))
    return Image.fromarray(pixels.numpy())


def label(prompt: dict[str, Any]) -> str:
    """Returns the prompt, one line per modality; of files the name only."""
    lines = [f"“{prompt['text']}”"] if prompt.get("text") else []
    files = [(kind, prompt[kind]) for kind in MODALITIES if kind != "text" and prompt.get(kind)]
    return "\n".join(lines + [f"{kind}:\n{Path(name).stem}" for kind, name in files])


def save_rows(path: Path, runs: Sequence[Path], *, columns: int = 2) -> None:
    """Returns a sheet with one row per run, in `columns` blocks side by side."""
    rows = [row_of(run) for run in runs]
    width, height = rows[0].size
    lines = -(-len(rows) // columns)
    used = -(-len(rows) // lines)
    sheet = Image.new("RGB", (used * width, lines * height), "white")
    for k, row in enumerate(rows):
        sheet.paste(row, (k // lines * width, k % lines * height))
    sheet.save(path)


def save_comparison(
    path: Path,
    names: Sequence[str],
    rows: Sequence[Sequence[Path]],
    *,
    views: int = 3,
    normals: bool = False,
) -> None:
    """The same prompts by several methods: one row for each prompt, one block for each method.

    Args:
        path: the picture to write.
        names: of the methods.
        rows: for each prompt the runs, one of each method.
        views: sides from which each mesh is shown.
        normals: show its normal maps beside them.
    """
    block = (2 if normals else 1) * views * VIEW_PX
    size = (LABEL_PX + len(names) * block, HEAD_PX + len(rows) * VIEW_PX)
    sheet = Image.new("RGB", size, "white")
    for j, name in enumerate(names):
        _write(sheet, (LABEL_PX + j * block + 4, HEAD_PX // 2), name)
    for i, runs in enumerate(rows):
        top = HEAD_PX + i * VIEW_PX
        _write(sheet, (4, top + VIEW_PX // 2), _label_of(runs[0]))
        for j, run in enumerate(runs):
            left = LABEL_PX + j * block
            sheet.paste(views_of(run, views), (left, top))
            if normals:
                sheet.paste(views_of(run, views, normals=True), (left + views * VIEW_PX, top))
    sheet.save(path, optimize=True, quality=QUALITY)


def _label_of(run: Path) -> str:
    path = run / "config.json"
    with _reading(path):
        return label(read_json_object(path)["prompt"])


def _reading(path: Path) -> AbstractContextManager[None]:
    """Turns whatever is raised for a file of a run into an error that names it."""
    return guarded(
        lambda why: XBindError(
            f"{path} is damaged ({why}).\nMake the run again, or leave it out of the sheet."
        )
    )


def _square(image: Image.Image) -> Image.Image:
    return image.resize((VIEW_PX, VIEW_PX), Image.Resampling.NEAREST)


def _write(picture: Image.Image, place: tuple[int, int], words: str) -> None:
    draw = ImageDraw.Draw(picture)
    draw.multiline_text(place, words, "black", ImageFont.load_default(13), anchor="lm")
