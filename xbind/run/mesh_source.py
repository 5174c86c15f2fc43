"""A finished mesh read back to be changed: simplified, unwrapped and baked again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from xbind.config.options import Material
from xbind.run.checks import holds_run
from xbind.run.texture_field import read_texture_field
from xbind.scene.mesh.files import ColourField, UnwrappedMesh, bake, unwrap
from xbind.scene.mesh.gltf import about_in, material_in, placement_in, read_document
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.mesh.placement import Placement
from xbind.scene.mesh.simplify import simplify
from xbind.scene.mesh.textured import TexturedMesh, read_glb
from xbind.scene.mesh.transfer import NearestSurface, TextureColours

MESH = "mesh.glb"
"""The mesh of a run."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A mesh to export, in the scene's frame, and what its file says of it."""

    textured: TexturedMesh
    whole: Mesh
    """Its surface without the seams of the texture."""
    placement: Placement
    material: Material
    about: Mapping[str, Any]
    field: Callable[[], ColourField | None]
    """Reads the colours before they were baked, if the run still has them."""

    @property
    def texture_px(self) -> int:
        """Side of the texture."""
        return max(self.textured.texture.shape[-2:])


def read_source(mesh_file: Path) -> Source:
    """Reads a GLB and, where it lies in a run's folder, finds the colours that it was baked from.

    Raises:
        UnreadableMesh: it is missing, damaged or has no texture.
    """
    textured = read_glb(mesh_file)
    document = read_document(mesh_file.read_bytes())
    run = mesh_file.parent
    in_run = mesh_file.name == MESH and holds_run(run)
    return Source(
        textured,
        textured.welded(),
        placement_in(document),
        material_in(document),
        about_in(document),
        (lambda: read_texture_field(run)) if in_run else (lambda: None),
    )


def simplify_for(whole: Mesh, faces: int | None) -> tuple[Mesh, tuple[str, ...]]:
    """Returns a surface of at most `faces` triangles, and notes on what could not be done.

    The same object where nothing is to be done.
    """
    if faces is None:
        return whole, ()
    if faces >= len(whole.faces):
        return whole, (f"the mesh has {len(whole.faces)} faces already",)
    fewer = simplify(whole, faces)
    if len(fewer.faces) > faces:
        return fewer, (f"{len(fewer.faces)} faces are the fewest that keep this surface whole",)
    return fewer, ()


def textured_surface(
    source: Source, simplified: Mesh | None, size: int | None
) -> tuple[UnwrappedMesh, UInt8[Tensor, "s s 3"], tuple[str, ...]]:
    """Returns a surface with its texture, and notes on where the colours came from.

    Args:
        source: the mesh.
        simplified: a surface with fewer faces; None for that of the source.
        size: side of the texture in pixels; None for that of the source.
    """
    if simplified is None and size in (None, source.texture_px):
        return _as_it_is(source.textured)
    size = size or source.texture_px
    colour_at, note = _colours(source, simplified)
    unwrapped = unwrap(simplified or source.whole, size)
    return unwrapped, bake(unwrapped, colour_at, size), (note,)


def _as_it_is(
    textured: TexturedMesh,
) -> tuple[UnwrappedMesh, UInt8[Tensor, "s s 3"], tuple[str, ...]]:
    """The layout and texture of a file; its normals are computed as when it was written."""
    mesh, uv = textured.mesh, textured.uv
    places, index = np.unique(mesh.vertices.numpy(), axis=0, return_inverse=True)
    corners = torch.from_numpy(index.reshape(-1).astype(np.int64))
    normals = Mesh(torch.from_numpy(places), corners[mesh.faces]).vertex_normals()[corners]
    down = torch.stack([uv[:, 0], 1 - uv[:, 1]], 1)
    image = (textured.texture[0] * 255).round().byte().movedim(0, -1).contiguous()
    return UnwrappedMesh(mesh.vertices, mesh.faces, normals, down), image, ()


def _colours(source: Source, simplified: Mesh | None) -> tuple[ColourField, str]:
    """The colours to bake from, and a note that names them."""
    field = source.field()
    textured = source.textured
    if field is not None and simplified is None:
        return field, "texture baked from the run's texture field"
    surface = NearestSurface(textured.mesh)
    if field is not None:
        trained = field

        def at_nearest(points: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
            return trained(surface.nearest(points).positions)  # the field is trained there only

        return at_nearest, "texture baked from the run's texture field"
    colours = TextureColours(surface, textured.mesh.faces, textured.uv, textured.texture)
    return colours, f"texture resampled from that of {source.texture_px} pixels"
