"""Mesh formats and lengths. Imports no torch."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from xbind.config.options import HEIGHT_RANGE_M
from xbind.errors import XBindError

ExportFormat = Literal["glb", "obj", "ply", "stl", "3mf", "usdz"]
"""Kinds of mesh files, named by their ending."""

PRINT_HEIGHT_M = 0.1
"""Height of an STL or 3MF where neither the export nor the run was given one, in metres: the plates
of common printers are 0.18 m wide and more (not in the paper)."""
TEXTURE_RANGE_PX = (16, 8192)
"""Sides of a texture that can be asked for; WebGL 2 guarantees 2048, desktop GPUs 8192."""
MIN_FACES = 100
"""Fewer faces than this cannot show an object."""

_METRES = {"mm": 1e-3, "cm": 1e-2, "m": 1.0, "in": 0.0254, "": 1.0}
_LENGTH = re.compile(r"\s*([0-9.]+(?:[eE][-+]?[0-9]+)?)\s*([a-z]*)\s*")


class ExportError(XBindError):
    """A mesh that cannot be exported as asked; the message says what to change."""


@dataclass(frozen=True, slots=True)
class FormatTraits:
    """Capabilities of a file format."""

    colours: Literal["texture", "vertices", "none"]
    material: bool
    """True if the format states whether viewers light the texture."""
    solid: bool
    """True for a closed solid for printers: millimetres, z-up, standing on z = 0."""


FORMATS: dict[ExportFormat, FormatTraits] = {
    "glb": FormatTraits("texture", material=True, solid=False),
    "obj": FormatTraits("texture", material=True, solid=False),
    "ply": FormatTraits("vertices", material=False, solid=False),
    "stl": FormatTraits("none", material=False, solid=True),
    "3mf": FormatTraits("none", material=False, solid=True),
    "usdz": FormatTraits("texture", material=True, solid=False),
}


def check_export(
    file_format: str,
    *,
    name: str | None = None,
    faces: int | None = None,
    height: float | None = None,
    texture: int | None = None,
    material: str | None = None,
) -> FormatTraits:
    """Returns what the format holds, if it can hold what is asked for.

    Args:
        file_format: one of `ExportFormat`.
        name: of the file, if it was given.
        faces: largest number of triangles.
        height: of the object, in metres.
        texture: side of the texture, in pixels.
        material: `unlit` or `lit`.

    Raises:
        ValueError: says which option to change or leave out.
    """
    if file_format not in FORMATS:
        raise ValueError(f"--format wants one of {', '.join(FORMATS)}, got {file_format!r}")
    traits = FORMATS[file_format]
    if name is not None and not name.lower().endswith(f".{file_format}"):
        raise ValueError(
            f"{name!r} does not end in .{file_format}: change the name, or leave out --format"
        )
    low, high = TEXTURE_RANGE_PX
    if faces is not None and faces < MIN_FACES:
        raise ValueError(f"--faces must be at least {MIN_FACES}, got {faces}")
    if height is not None and not HEIGHT_RANGE_M[0] <= height <= HEIGHT_RANGE_M[1]:
        least, most = HEIGHT_RANGE_M
        raise ValueError(f"--height must be between {least:g} and {most:g} metres, got {height:g}")
    if texture is not None and not low <= texture <= high:
        raise ValueError(f"--texture must be between {low} and {high} pixels, got {texture}")
    if texture is not None and traits.colours != "texture":
        raise ValueError(
            f"a {file_format} file holds no texture: leave out --texture or change --format"
        )
    if material is not None and not traits.material:
        raise ValueError(
            f"a {file_format} file has no material: leave out --material or change --format"
        )
    if material not in (None, "unlit", "lit"):
        raise ValueError(f"--material wants unlit or lit, got {material!r}")
    return traits


def format_of(name: str) -> ExportFormat:
    """Returns the format that a file name ends in.

    Raises:
        ValueError: lists the endings.
    """
    ending = name.rpartition(".")[2].lower() if "." in name else ""
    for known in get_args(ExportFormat):
        if ending == known:
            return known
    raise ValueError(
        f"{name!r} does not end in a mesh format: give --format, or a name that ends in "
        f"{', '.join(f'.{x}' for x in FORMATS)}"
    )


def metres(text: str) -> float:
    """Reads a length such as `80mm`, `8 cm`, `3in` or `0.08` (metres).

    Raises:
        ValueError: it is not a positive number with one of these units.
    """
    found = _LENGTH.fullmatch(text)
    try:
        number = float(found[1]) * _METRES[found[2]] if found else 0.0
    except (ValueError, KeyError):
        number = 0.0
    if not 0 < number < float("inf"):
        raise ValueError(
            f"a length is a positive number followed by mm, cm, m or in, such as 80mm; got {text!r}"
        )
    return number
