"""The files of a finished run: mesh with texture in two formats, turntable."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from xbind.cameras import orbit
from xbind.mesh.files import bake, unwrap, write_glb, write_obj
from xbind.mesh.mesh import Mesh
from xbind.mesh.render import shade, shade_normals, surface_points
from xbind.mesh.turntable import to_frames, write_turntable
from xbind.presets import MethodConfig
from xbind.scene_config import TurntableConfig


def write_outputs(
    folder: Path, mesh: Mesh, colour_at: Callable[[Tensor], Tensor], method: MethodConfig
) -> list[Path]:
    """Unwrap, bake and write `mesh.glb`, `mesh.obj` (with material and texture), `turntable.gif`.

    Raises:
        MeshFileError, DiskError: a file cannot be written; those before it stay.
    """
    unwrapped = unwrap(mesh, method.texture.texture_px, method.texture.unwrap)
    texture = bake(unwrapped, colour_at, method.texture.texture_px)
    write_glb(folder / "mesh.glb", unwrapped, texture)
    write_obj(folder, unwrapped, texture)
    with torch.no_grad():
        frames = _turntable(mesh, colour_at, method.turntable_frames, method.turntable)
    write_turntable(folder / "turntable.gif", frames, method.turntable.fps)
    return [folder / name for name in ("mesh.glb", "mesh.obj", "turntable.gif")]


def _turntable(
    mesh: Mesh, colour_at: Callable[[Tensor], Tensor], count: int, config: TurntableConfig
) -> Tensor:
    """Colour and normals side by side, uint8 [t,h,2w,3]; one view at a time, to save memory."""
    frames = []
    orbiting = orbit(
        count, elevation_deg=config.elevation_deg, distance=config.distance,
        fov_y_deg=config.fov_y_deg,
    )  # fmt: skip
    for k in range(count):
        camera = orbiting.at(slice(k, k + 1))
        points = surface_points(mesh, camera, config.size)
        image, _ = shade(points, mesh, colour_at)
        normals, _ = shade_normals(points, mesh)
        frames.append(to_frames(image, normals))
    return torch.cat(frames)
