"""The files of a finished run: mesh with texture in two formats, turntable."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from xbind.cameras import orbit
from xbind.mesh.files import bake, unwrap, write_glb, write_obj
from xbind.mesh.mesh import Mesh
from xbind.mesh.render import render_normals, shade, surface_points
from xbind.mesh.turntable import write_turntable
from xbind.presets import MethodConfig

TURNTABLE_PX = 256
"""Side of the turntable's pictures, in pixels."""
TURNTABLE_FPS = 18
"""Frames per second of the turntable."""


def write_outputs(
    folder: Path, mesh: Mesh, colour_at: Callable[[Tensor], Tensor], method: MethodConfig
) -> list[Path]:
    """Unwrap, bake and write `mesh.glb`, `mesh.obj` (with material and texture), `turntable.gif`.

    Raises:
        MeshFileError, DiskError: a file cannot be written; those before it stay.
    """
    unwrapped = unwrap(mesh, method.texture.texture_px)
    texture = bake(unwrapped, colour_at, method.texture.texture_px)
    write_glb(folder / "mesh.glb", unwrapped, texture)
    write_obj(folder, unwrapped, texture)
    with torch.no_grad():
        frames = _turntable(mesh, colour_at, method.turntable_frames)
    write_turntable(folder / "turntable.gif", frames, TURNTABLE_FPS)
    return [folder / name for name in ("mesh.glb", "mesh.obj", "turntable.gif")]


def _turntable(mesh: Mesh, colour_at: Callable[[Tensor], Tensor], count: int) -> Tensor:
    """Colour and normals side by side, uint8 [t,h,2w,3]."""
    frames = []
    for camera in range(count):
        view = orbit(count)
        one = type(view)(
            view.elevation_deg[camera : camera + 1],
            view.azimuth_deg[camera : camera + 1],
            view.distance[camera : camera + 1],
            view.fov_y_deg[camera : camera + 1],
        )
        image, _ = shade(surface_points(mesh, one, TURNTABLE_PX), mesh, colour_at)
        normals, _ = render_normals(mesh, one, TURNTABLE_PX)
        frames.append(torch.cat([image[0], normals[0]], -1))
    stacked = torch.stack(frames).clamp(0, 1).permute(0, 2, 3, 1)
    return (stacked * 255).round().to(torch.uint8)
