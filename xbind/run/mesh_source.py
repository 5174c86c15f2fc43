"""A finished mesh read back to be changed: simplified, unwrapped and baked again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from xbind.config.options import Material
from xbind.run.checks import holds_run
from xbind.run.texture_field import read_texture_field
from xbind.scene.appearance import Appearance
from xbind.scene.light import Light
from xbind.scene.materials import SurfaceMaterial
from xbind.scene.mesh.baking import (
    SurfaceMap,
    UnwrappedMesh,
    bake,
    bake_appearance,
    bake_points,
    relit,
    unwrap,
)
from xbind.scene.mesh.gltf import about_in, light_in, material_in, placement_in, read_document
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
    light: Light | None
    """Known light on the object: see `FileInfo.light`."""
    about: Mapping[str, Any]
    field: Callable[[], Appearance | None]
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
        light_in(document),
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


@dataclass(frozen=True, slots=True, eq=False)
class Textured:
    """A surface with its textures."""

    unwrapped: UnwrappedMesh
    texture: UInt8[Tensor, "s s 3"]
    surface_map: SurfaceMap | None
    light: Light | None
    """Known light on the object: see `FileInfo.light`."""
    notes: tuple[str, ...] = ()
    """Where the colours came from."""


def textured_surface(
    source: Source, simplified: Mesh | None, size: int | None, material: Material
) -> Textured:
    """Returns a surface with its textures.

    Args:
        source: the mesh.
        simplified: a surface with fewer faces; None for that of the source.
        size: side of the texture in pixels; None for that of the source.
        material: how it is to be shown. Where the light is known, `lit` wants the albedo and
            `unlit` what it shows under the light.
    """
    size = size or source.texture_px
    if simplified is None and size == source.texture_px:
        return _shown_as(material, source, _as_it_is(source))
    unwrapped = unwrap(simplified or source.whole, size)
    field = source.field()
    if field is None:
        return _shown_as(material, source, _resampled(source, unwrapped, size))
    if simplified is not None:
        surface = NearestSurface(source.textured.mesh)
        field = field.at(lambda x: surface.nearest(x).positions)  # it is trained there only
    texture, surface_map = bake_appearance(unwrapped, field, size, material)
    note = "texture baked from the run's texture field"
    return Textured(unwrapped, texture, surface_map, field.light_of(material), (note,))


def _as_it_is(source: Source) -> Textured:
    """The layout and textures of a file; its normals are computed as when it was written."""
    textured, uv = source.textured, source.textured.uv
    down = torch.stack([uv[:, 0], 1 - uv[:, 1]], 1)
    mesh = textured.mesh
    unwrapped = UnwrappedMesh(mesh.vertices, mesh.faces, textured.smooth_normals(), down)
    surface_map = textured.surface_map
    return Textured(
        unwrapped,
        _bytes(textured.texture),
        None if surface_map is None else _bytes(surface_map),
        source.light,
    )


def _shown_as(material: Material, source: Source, made: Textured) -> Textured:
    """Textures that are those of the source's material, turned into those of another."""
    if source.light is None or material == source.material:
        return made
    if made.surface_map is not None:
        size = len(made.texture)
        shown = bake_points(made.unwrapped, _appearance_of(source).seen, size)
        return replace(made, texture=shown, surface_map=None, light=None)
    return replace(made, texture=relit(made.unwrapped, made.texture, source.light, material))


def _appearance_of(source: Source) -> Appearance:
    """The material that the textures of a lit source hold."""
    textured = source.textured
    assert textured.surface_map is not None
    surface, uv = NearestSurface(textured.mesh), textured.uv
    base, rough_metal = (
        TextureColours(surface, textured.mesh.faces, uv, picture)
        for picture in (textured.texture, textured.surface_map)
    )

    def material_at(points: Float[Tensor, "p 3"]) -> SurfaceMaterial:
        _, rough, metal = rough_metal(points).unbind(1)
        return SurfaceMaterial(base(points), metal, rough)

    return Appearance(base, source.light, material_at)


def _resampled(source: Source, unwrapped: UnwrappedMesh, size: int) -> Textured:
    """Textures from those that are there."""
    textured = source.textured
    surface = NearestSurface(textured.mesh)

    def again(picture: Float[Tensor, "1 3 h w"]) -> UInt8[Tensor, "s s 3"]:
        colours = TextureColours(surface, textured.mesh.faces, textured.uv, picture)
        return bake(unwrapped, colours, size)

    surface_map = textured.surface_map
    return Textured(
        unwrapped,
        again(textured.texture),
        None if surface_map is None else again(surface_map),
        source.light,
        (f"texture resampled from that of {source.texture_px} pixels",),
    )


def _bytes(picture: Float[Tensor, "1 3 h w"]) -> UInt8[Tensor, "h w 3"]:
    return (picture[0] * 255).round().byte().movedim(0, -1).contiguous()
