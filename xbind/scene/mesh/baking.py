"""Textures of a mesh: unwrap it, bake its colours, light what was baked."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import xatlas
from jaxtyping import Bool, Float, Int64, UInt8
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from xbind.config.options import Material
from xbind.config.scene import UnwrapConfig
from xbind.kernels import interpolate, rasterize
from xbind.scene.appearance import Appearance
from xbind.scene.light import Light
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.mesh.placement import MeshFileError

SurfaceMap = UInt8[Tensor, "s s 3"]
"""Texture of a material as in glTF: green is roughness, blue is metalness, red is not used."""
ColourField = Callable[[Float[Tensor, "p 3"]], Float[Tensor, "p 3"]]
"""Colour in [0, 1] at world positions."""
PointColours = Callable[[Float[Tensor, "p 3"], Float[Tensor, "p 3"]], Float[Tensor, "p 3"]]
"""Colour in [0, 1] at world positions with their unit outward normals."""

CHUNK = 65_536
"""Positions for which a colour field is asked at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class UnwrappedMesh:
    """A mesh cut open along its seams, with a place in the texture for every corner. On the CPU."""

    vertices: Float[Tensor, "v 3"]
    """World positions; a vertex on a seam appears once per chart."""
    faces: Int64[Tensor, "f 3"]
    """The faces of the mesh before the cuts, in the same order."""
    normals: Float[Tensor, "v 3"]
    """Vertex normals of the mesh before the cuts, so that seams do not show."""
    uv: Float[Tensor, "v 2"]
    """Place in the texture in [0, 1]: to the right, and *down* from row 0."""


def unwrap(mesh: Mesh, size: int, config: UnwrapConfig | None = None) -> UnwrappedMesh:
    """Lay a mesh out flat with xatlas. The same mesh gives the same layout.

    What is laid out is a copy with evened triangles: the slivers of marching tetrahedra, whose
    normals point anywhere, would each become a chart of their own. The vertices stay as they are.

    Args:
        mesh: any triangles; about 1 s for 10 000 of them, more if the surface is rough.
        size: side of the texture in pixels, from which the gaps between charts follow.
        config: of xatlas and of what it is given; None for that of the preset `default`.

    Raises:
        MeshFileError: the mesh has no faces.
    """
    if mesh.is_empty:
        raise MeshFileError(
            "There is no mesh to export: it has 0 faces.\n"
            "Lower the density threshold of the conversion, or run the phases before for longer."
        )
    config = config or UnwrapConfig()
    mesh = Mesh(mesh.vertices.detach().cpu().float(), mesh.faces.cpu())
    atlas = xatlas.Atlas()
    atlas.add_mesh(
        _relaxed(mesh, config.relax_passes).vertices.numpy(), mesh.faces.numpy().astype(np.uint32)
    )
    charts, pack = xatlas.ChartOptions(), xatlas.PackOptions()
    charts.max_cost = config.chart_cost
    pack.resolution, pack.padding = round(config.used_share * size), config.gutter_px
    atlas.generate(charts, pack)
    source, faces, uv = atlas[0]
    origin = torch.from_numpy(source.astype(np.int64))
    return UnwrappedMesh(
        vertices=mesh.vertices[origin],
        faces=torch.from_numpy(faces.astype(np.int64)),
        normals=mesh.vertex_normals()[origin],
        uv=torch.from_numpy(uv),
    )


def bake(unwrapped: UnwrappedMesh, colour_at: ColourField, size: int) -> UInt8[Tensor, "s s 3"]:
    """Paint a texture with a colour field, evaluated where each texel's centre lies on the surface.

    A triangle that misses all centres still colours the texels of its corners and its middle.
    Texels outside all charts take the colour of the nearest one inside, so that filtering at a
    chart's border never meets a stray colour.

    Args:
        unwrapped: the surface.
        colour_at: asked without gradient, in chunks; its values are clamped to [0, 1].
        size: side of the texture in pixels.
    """
    return bake_points(unwrapped, lambda positions, _: colour_at(positions), size)


def bake_points(
    unwrapped: UnwrappedMesh, colour_at: PointColours, size: int
) -> UInt8[Tensor, "s s 3"]:
    """`bake` with three channels that also depend on the normal.

    Args:
        unwrapped: the surface.
        colour_at: asked without gradient, in chunks; its values are clamped to [0, 1].
        size: side of the texture in pixels.
    """
    positions, normals, is_inside = _texel_points(unwrapped, size)
    chunks = zip(
        *(torch.split(x[is_inside], CHUNK) for x in (positions, normals)), strict=True
    )  # fmt: skip
    with torch.no_grad():
        colours = torch.cat([colour_at(*part) for part in chunks]).cpu()
    texture = torch.zeros(size, size, 3, dtype=torch.uint8)
    texture[is_inside] = (colours.clamp(0, 1) * 255).round().to(torch.uint8)
    return _spread(texture, is_inside)


def bake_appearance(
    unwrapped: UnwrappedMesh, appearance: Appearance, size: int, material: Material
) -> tuple[UInt8[Tensor, "s s 3"], SurfaceMap | None]:
    """Bakes what a file of a material holds, as `bake` does.

    Args:
        unwrapped: the surface.
        appearance: of the surface.
        size: side of the textures in pixels.
        material: `unlit` for the colours under the appearance's light, each point seen along its
            normal; `lit` for its albedo or base colour, and the map of its material if it has one.
    """
    if material == "unlit":
        return bake_points(unwrapped, appearance.seen, size), None
    texture, material_at = bake(unwrapped, appearance.base_at, size), appearance.material_at
    if material_at is None:
        return texture, None

    def channels(positions: Tensor) -> Tensor:
        found = material_at(positions)
        return torch.stack([torch.zeros_like(found.roughness), found.roughness, found.metalness], 1)

    return texture, bake(unwrapped, channels, size)


def relit(
    unwrapped: UnwrappedMesh, texture: UInt8[Tensor, "s s 3"], light: Light, material: Material
) -> UInt8[Tensor, "s s 3"]:
    """The other texture of an object whose light is known, from one of the two.

    Args:
        unwrapped: the surface.
        texture: the albedo, or what it shows under `light`.
        light: L of a normal.
        material: of the result: `lit` divides the shown colours by L, up to white, `unlit`
            multiplies the albedo by L. Where L is below a level of a byte nothing is divided.
    """
    size = len(texture)
    _, normals, is_inside = _texel_points(unwrapped, size)
    factor = light.on(normals[is_inside])[:, None]
    colours = texture[is_inside].float()
    if material == "lit":
        colours = torch.where(factor * 255 > 1, colours / factor, colours)
    else:
        colours = colours * factor
    changed = torch.zeros_like(texture)
    changed[is_inside] = colours.clamp(0, 255).round().to(torch.uint8)
    return _spread(changed, is_inside)


def _spread(
    texture: UInt8[Tensor, "s s 3"], is_inside: Bool[Tensor, "s s"]
) -> UInt8[Tensor, "s s 3"]:
    """Every texel outside of all charts takes the colour of the nearest one inside."""
    nearest = ndimage.distance_transform_edt(
        ~is_inside.numpy(), return_distances=False, return_indices=True
    )
    rows, columns = torch.from_numpy(nearest).long()
    return texture[rows, columns]


def _texel_points(
    unwrapped: UnwrappedMesh, size: int
) -> tuple[Float[Tensor, "s s 3"], Float[Tensor, "s s 3"], Bool[Tensor, "s s"]]:
    """A place on the surface for every texel that has one, its unit normal, and which those are."""
    flat = 2 * unwrapped.uv - 1
    clip = torch.cat([flat, torch.zeros_like(flat[:, :1]), torch.ones_like(flat[:, :1])], 1)[None]
    rast = rasterize(clip, unwrapped.faces, (size, size))
    found = [
        interpolate(x, rast, unwrapped.faces)[0] for x in (unwrapped.vertices, unwrapped.normals)
    ]
    is_inside = rast[0, ..., 3] > 0
    places = _with_middles(unwrapped.uv, unwrapped.faces)
    columns, rows = (places * size).long().clamp(0, size - 1).unbind(1)
    is_missed = ~is_inside[rows, columns]
    missed = (rows[is_missed].numpy(), columns[is_missed].numpy())
    for values, of in zip(found, (unwrapped.vertices, unwrapped.normals), strict=True):
        # numpy: of two points in a texel, the last wins
        values.numpy()[missed] = _with_middles(of, unwrapped.faces)[is_missed]
    is_inside[missed] = True
    positions, normals = found
    return positions, functional.normalize(normals, dim=-1), is_inside


def _with_middles(
    values: Float[Tensor, "v c"], faces: Int64[Tensor, "f 3"]
) -> Float[Tensor, "n c"]:
    """Values in the middle of each face, then those at the vertices."""
    return torch.cat([values[faces].mean(1), values])


def _relaxed(mesh: Mesh, passes: int) -> Mesh:
    """Move each vertex within the surface, half way to the middle of its neighbours, repeatedly."""
    start, end = mesh.edges().unbind(1)
    uses = torch.bincount(torch.cat([start, end]), minlength=len(mesh.vertices)).clamp_min(1)
    for _ in range(passes):
        edge = mesh.vertices[end] - mesh.vertices[start]
        sums = torch.zeros_like(mesh.vertices).index_add(0, start, edge).index_add(0, end, -edge)
        step, normals = sums / (2 * uses[:, None]), mesh.vertex_normals()
        along = (step * normals).sum(1, keepdim=True) * normals
        mesh = Mesh(mesh.vertices + step - along, mesh.faces)
    return mesh
