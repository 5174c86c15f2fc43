"""The files of a finished run: mesh with texture in two formats, turntable."""

import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xbind.config.options import FilesConfig, GenerateConfig, PromptConfig, parts_named
from xbind.config.presets import MethodConfig
from xbind.config.scene import TurntableConfig
from xbind.run.settings import DEFAULT_FILES
from xbind.scene.appearance import Appearance
from xbind.scene.cameras import orbit
from xbind.scene.mesh.baking import UnwrappedMesh, bake_appearance, unwrap
from xbind.scene.mesh.files import FileInfo, write_glb, write_obj
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.mesh.placement import place
from xbind.scene.mesh.render import shade, shade_normals, shade_with, surface_points
from xbind.scene.mesh.turntable import can_write_video, to_frames, write_turntable


def write_outputs(
    folder: Path,
    mesh: Mesh,
    appearance: Appearance,
    method: MethodConfig,
    files: FilesConfig = DEFAULT_FILES,
    about: Mapping[str, Any] | None = None,
    unwrapped: UnwrappedMesh | None = None,
) -> list[Path]:
    """Unwrap, bake and write `mesh.glb`, `mesh.obj` (with material and texture), `turntable.gif`.

    Where PyAV is installed, also `turntable.mp4`. The turntable shows the mesh under the
    appearance's light; the texture holds what that shows, or for a `lit` material the albedo.

    Args:
        folder: the run's.
        mesh: in the scene's frame.
        appearance: its colours.
        method: for the sizes of texture and turntable.
        files: material, pivot and height.
        about: what the mesh files say of the object's origin, as from `provenance`.
        unwrapped: the mesh, laid out by `unwrap`; by default it is done here.

    Raises:
        MeshFileError, DiskError: a file cannot be written; those before it stay.
    """
    if unwrapped is None:
        unwrapped = unwrap(mesh, method.texture.texture_px, method.texture.unwrap)
    pivot, material = files.pivot or DEFAULT_FILES.pivot, files.material or DEFAULT_FILES.material
    assert pivot is not None
    assert material is not None
    texture, surface_map = bake_appearance(
        unwrapped, appearance, method.texture.texture_px, material
    )
    placement = place(unwrapped.vertices, pivot, files.height)
    info = FileInfo(material, placement, about or {}, appearance.light_of(material))
    write_glb(folder / "mesh.glb", unwrapped, texture, info, surface_map=surface_map)
    write_obj(folder, unwrapped, texture, info, surface_map=surface_map)
    with torch.no_grad():
        frames = _turntable(mesh, appearance, method.turntable_frames, method.turntable)
    turntables = ["turntable.gif", *(["turntable.mp4"] if can_write_video() else [])]
    for name in turntables:
        write_turntable(folder / name, frames, method.turntable.fps)
    return [folder / name for name in ("mesh.glb", "mesh.obj", *turntables)]


def provenance(config: GenerateConfig, bundle: str) -> dict[str, Any]:
    """Returns the provenance in a mesh file: plain data, without paths.

    Args:
        config: of the run.
        bundle: the bundle's name.
    """
    parts = list(parts_named(config.without))
    return {
        "prompt": _prompt(config.prompt),
        "seed": config.seed,
        "preset": printable(config.preset),
        **({"without": parts} if parts else {}),
        "bundle": printable(bundle),
    }


def _prompt(prompt: PromptConfig) -> dict[str, str]:
    """Modality → the words, or the file's name."""
    given = {modality: getattr(prompt, modality) for modality in prompt.given()}
    return {k: printable(v.name if isinstance(v, Path) else v) for k, v in given.items()}


def title(about: Mapping[str, Any]) -> str:
    """Returns the prompt on one line, from the metadata of a mesh file."""
    prompt = about.get("prompt")
    words = [str(x) for x in prompt.values()] if isinstance(prompt, Mapping) else []
    return " + ".join(words) or "object"


def printable(text: str) -> str:
    """Text on one line; control characters and undecodable bytes become U+FFFD."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in ("Cc", "Cs") else c
        for c in " ".join(text.split())
    )


def _turntable(mesh: Mesh, appearance: Appearance, count: int, config: TurntableConfig) -> Tensor:
    """Colour and normals side by side, uint8 [t,h,2w,3]; one view at a time, to save memory."""
    frames = []
    orbiting = orbit(
        count, elevation_deg=config.elevation_deg, distance=config.distance,
        fov_y_deg=config.fov_y_deg,
    )  # fmt: skip
    for k in range(count):
        camera = orbiting.at(slice(k, k + 1))
        points = surface_points(mesh, camera, config.size)
        if appearance.light is None:
            image, _ = shade(points, mesh, appearance.base_at)
        else:
            image, _ = shade_with(points, mesh, appearance.in_views(camera.position()))
        normals, _ = shade_normals(points, mesh)
        frames.append(to_frames(image, normals))
    return torch.cat(frames)
