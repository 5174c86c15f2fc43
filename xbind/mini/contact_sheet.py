"""Finished runs as one picture: `python -m xbind.mini.contact_sheet sheet.png RUN [RUN …]`.

For each run its prompt, the reference view, and the mesh from four sides, as read back from the
GLB.
"""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from xbind.cameras import orbit
from xbind.mesh.turntable import to_frames
from xbind.mini.judging import read_glb

VIEW_PX = 112
"""Side of a view, in pixels."""
LABEL_PX = 150
"""Width of the prompt's column, in pixels."""
ELEVATION_DEG = 15.0
"""From which the four views look down."""
START_DEG = 40.0
"""Azimuth of the first of them."""


def row_of(run: Path) -> Image.Image:
    """One run: prompt, reference view, four views."""
    row = Image.new("RGB", (LABEL_PX + 5 * VIEW_PX, VIEW_PX), "white")
    prompt = json.loads((run / "config.json").read_text())["prompt"]
    draw, font = ImageDraw.Draw(row), ImageFont.load_default(13)
    draw.multiline_text((4, VIEW_PX // 2), label(prompt), "black", font, anchor="lm")
    with Image.open(run / "reference.png") as reference:
        row.paste(reference.resize((VIEW_PX, VIEW_PX), Image.Resampling.NEAREST), (LABEL_PX, 0))
    around = orbit(4, elevation_deg=ELEVATION_DEG)
    cameras = dataclasses.replace(around, azimuth_deg=around.azimuth_deg + START_DEG)
    seen = read_glb(run / "mesh.glb").views(cameras, VIEW_PX).image
    [pixels] = to_frames(*seen.split(1))
    row.paste(Image.fromarray(pixels.numpy()), (LABEL_PX + VIEW_PX, 0))
    return row


def label(prompt: dict[str, Any]) -> str:
    """What was given, a line for each modality; of files the name."""
    lines = [f"“{prompt['text']}”"] if prompt["text"] else []
    files = [(kind, prompt[kind]) for kind in ("image", "audio", "depth") if prompt[kind]]
    return "\n".join(lines + [f"{kind}:\n{Path(name).stem}" for kind, name in files])


def main(arguments: list[str] | None = None) -> None:
    """Read the options, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sheet", type=Path, help="the picture to write")
    parser.add_argument("runs", type=Path, nargs="+", help="folders of finished runs")
    parser.add_argument("--columns", type=int, default=2, help="runs beside each other")
    given = parser.parse_args(arguments)
    rows = [row_of(run) for run in given.runs]
    width, height = rows[0].size
    lines = -(-len(rows) // given.columns)
    sheet = Image.new("RGB", (given.columns * width, lines * height), "white")
    for k, row in enumerate(rows):
        sheet.paste(row, (k // lines * width, k % lines * height))
    sheet.save(given.sheet)


if __name__ == "__main__":
    main()
