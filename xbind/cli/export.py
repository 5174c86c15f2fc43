"""`xbind export`: a finished mesh in another format."""

import torch

from xbind.cli.options import ExportConfig
from xbind.config.export import FORMATS
from xbind.run.console import PlainConsole
from xbind.run.export import Exported, export
from xbind.run.progress import format_bytes


def run_export(command: ExportConfig) -> None:
    """Write the files and print their sizes.

    Raises:
        XBindError: as `xbind.run.export.export`.
    """
    torch.set_num_threads(1)
    made = export(
        command.run,
        command.out,
        file_format=command.file_format,
        faces=command.faces,
        height=command.height_m,
        texture=command.texture,
        material=command.material,
        overwrite=command.overwrite,
    )
    console = PlainConsole(soft_wrap=True)
    for path in made.files:
        console.print(f"{path}  {format_bytes(path.stat().st_size)}")
    console.print(_summary(made, solid=FORMATS[command.file_format].solid))
    for note in made.notes:
        console.print(note)


def _summary(made: Exported, *, solid: bool) -> str:
    scale, unit, decimals = (1000, "mm", 1) if solid else (1, "m", 3)
    size = " x ".join(f"{x * scale:.{decimals}f}" for x in made.size_m)
    up = "z up, front towards -y" if solid else "y up, front towards +z"
    return f"{made.faces} faces; {size} {unit} (width x depth x height); {up}"
