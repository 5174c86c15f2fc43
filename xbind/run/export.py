"""A finished mesh in another format, with fewer faces, another height, texture or material."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xbind.config.export import (
    PRINT_HEIGHT_M,
    ExportError,
    ExportFormat,
    FormatTraits,
    check_export,
    format_of,
)
from xbind.config.options import Material, Pivot
from xbind.files import atomic_write, disk_errors
from xbind.run.checks import EXPORTS, holds_run
from xbind.run.mesh_source import (
    MESH,
    Source,
    Textured,
    read_source,
    simplify_for,
    textured_surface,
)
from xbind.run.outputs import title
from xbind.scene.mesh.files import FileInfo, ObjNames, glb_bytes, write_obj
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.mesh.placement import IN_PLACE, Placement, place, y_up
from xbind.scene.mesh.ply import ply_bytes
from xbind.scene.mesh.printable import solid_in_millimetres, stl_bytes, threemf_bytes
from xbind.scene.mesh.transfer import NearestSurface, TextureColours
from xbind.scene.mesh.usdz import usdz_bytes


@dataclass(frozen=True, slots=True)
class Exported:
    """Result of an export."""

    files: tuple[Path, ...]
    """The mesh first, then its material and texture."""
    faces: int
    size_m: tuple[float, float, float]
    """Width (left to right), depth and height, in metres."""
    notes: tuple[str, ...]
    """Notices for the user, such as the source of the colours."""


def export(
    source: Path,
    target: Path | None = None,
    *,
    file_format: ExportFormat | None = None,
    faces: int | None = None,
    height: float | None = None,
    texture: int | None = None,
    material: Material | None = None,
    overwrite: bool = False,
) -> Exported:
    """Writes a finished mesh in another format.

    GLB, OBJ, PLY and USDZ are y-up with the front towards +z, in metres. STL and 3MF are z-up with
    the front towards −y, in millimetres, closed, and stand on z = 0. What is not given stays as it
    is in the run: without `faces` and `texture` the texture and its layout are copied.

    Args:
        source: folder of a run, or a GLB with a texture.
        target: the file; by default `exports/<name of the run>.<format>` in the run's folder.
        file_format: by default what `target` ends in.
        faces: largest number of triangles; the surface is simplified before it is unwrapped.
        height: of the object, in metres. STL and 3MF of a run that was given none are
            `PRINT_HEIGHT_M` high.
        texture: side of the texture in pixels. It is baked from the run's texture field where a
            checkpoint has it, else resampled from the texture that is there.
        material: `unlit` or `lit`, for GLB, OBJ and USDZ.
        overwrite: replace files that are there.

    Raises:
        ExportError: the format cannot hold what is asked for, or a file is in the way.
        RunError, UnreadableMesh: there is no finished run or mesh in `source`, or it is damaged.
        MeshFileError: the mesh is not closed, for STL and 3MF.
        DiskError: a file cannot be written.
    """
    try:
        file_format = file_format or format_of((target or Path()).name)
        traits = check_export(
            file_format,
            name=None if target is None else target.name,
            faces=faces,
            height=height,
            texture=texture,
            material=material,
        )
    except ValueError as error:
        raise ExportError(f"{error}.") from error
    mesh_file = _mesh_of(source)
    target = target or _default_target(source, file_format)
    names = _obj_names(target) if file_format == "obj" else None
    files, maps = _files(target, names)
    _check_free((*files, *maps), mesh_file, overwrite=overwrite)
    given = read_source(mesh_file)
    whole, notes = simplify_for(given.whole, faces)
    placement = _placement(given, whole, height, solid=traits.solid)
    info = FileInfo(material or given.material, placement, given.about)
    if traits.colours == "texture":
        simplified = None if whole is given.whole else whole
        made = textured_surface(given, simplified, texture, info.material)
        _write_textured(target, file_format, made, replace(info, light=made.light), names)
        files += maps if made.surface_map is not None else ()
        notes += made.notes
    else:
        data = _plain_bytes(file_format, traits, given, whole, info)
        _write(target, data)
    x, y, z = (whole.vertices.amax(0) - whole.vertices.amin(0)).double() * placement.scale
    return Exported(files, len(whole.faces), (float(y), float(x), float(z)), notes)


def _placement(source: Source, whole: Mesh, height: float | None, *, solid: bool) -> Placement:
    """Returns the placement of the exported surface: the source's pivot and height, or the given
    height."""
    before = source.placement
    low, high = _extent(source.whole)
    if height is None:
        unscaled = before.scale == 1.0  # the run was given no height
        height = PRINT_HEIGHT_M if solid and unscaled else before.scale * float(high[1] - low[1])
        if before == IN_PLACE and not solid:
            return before
    middle = (low[1] + high[1]) / 2
    pivot: Pivot = (
        "base" if abs(before.origin[1] - low[1]) <= abs(before.origin[1] - middle) else "center"
    )
    return place(whole.vertices, pivot, height)


def _extent(mesh: Mesh) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corners of the bounding box, y-up, in scene units."""
    positions = y_up(mesh.vertices).astype(np.float64)
    return positions.min(0), positions.max(0)


def _plain_bytes(
    file_format: ExportFormat, traits: FormatTraits, source: Source, whole: Mesh, info: FileInfo
) -> bytes:
    """A file without a texture."""
    if traits.solid:
        solid = solid_in_millimetres(whole, info.placement.scale)
        return stl_bytes(solid) if file_format == "stl" else threemf_bytes(solid, title(info.about))
    textured = source.textured
    colours = TextureColours(
        NearestSurface(textured.mesh), textured.mesh.faces, textured.uv, textured.texture
    )
    return ply_bytes(whole, colours(whole.vertices), info.placement)


def _write_textured(
    target: Path,
    file_format: ExportFormat,
    made: Textured,
    info: FileInfo,
    names: ObjNames | None,
) -> None:
    unwrapped, image, surface_map = made.unwrapped, made.texture, made.surface_map
    match file_format:
        case "glb":
            _write(target, glb_bytes(unwrapped, image, info, surface_map=surface_map))
        case "usdz":
            _write(target, usdz_bytes(unwrapped, image, info, surface_map=surface_map))
        case _:
            write_obj(target.parent, unwrapped, image, info, names, surface_map=surface_map)


def _write(target: Path, data: bytes) -> None:
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(target, data)


def _mesh_of(source: Path) -> Path:
    """The GLB of a run, or the GLB itself.

    Raises:
        ExportError: there is neither; the message says what to type.
    """
    if source.is_file():
        return source
    if (source / MESH).is_file():
        return source / MESH
    if holds_run(source):
        raise ExportError(
            f"The run in {source} has no mesh yet.\n"
            f"Finish it:  xbind generate --resume --out {source}"
        )
    what = "holds no run" if source.is_dir() else "does not exist"
    raise ExportError(f"{source} {what}.\nGive the folder of a finished run, or a GLB file.")


def _default_target(source: Path, file_format: ExportFormat) -> Path:
    if source.is_file():
        return source.with_suffix(f".{file_format}")
    return source / EXPORTS / f"{source.resolve().name}.{file_format}"


def _obj_names(target: Path) -> ObjNames:
    """The names beside an OBJ; readers split `mtllib` and `map_Kd` at spaces."""
    stem = "_".join(target.stem.split())
    maps = f"{stem}_roughness.png", f"{stem}_metalness.png"
    return ObjNames(target.name, f"{stem}.mtl", f"{stem}.png", *maps)


def _files(target: Path, names: ObjNames | None) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """The files of an export, and those that an OBJ of a material has besides."""
    if names is None:
        return (target,), ()
    beside = (names.material, names.texture, names.roughness, names.metalness)
    material, texture, roughness, metalness = (target.with_name(name) for name in beside)
    return (target, material, texture), (roughness, metalness)


def _check_free(files: tuple[Path, ...], mesh_file: Path, *, overwrite: bool) -> None:
    """Refuses to write over the source, or over what is there unless asked to.

    Raises:
        ExportError: names the file that is in the way.
    """
    for path in files:
        if path.exists() and path.samefile(mesh_file):
            raise ExportError(f"{path} is the mesh to export.\nGive another file with --out.")
        if path.is_dir():
            raise ExportError(f"{path} is a folder.\nGive the name of a file with --out.")
        if path.exists() and not overwrite:
            raise ExportError(
                f"{path} is there already.\nReplace it with --overwrite, or give another file with "
                f"--out."
            )
