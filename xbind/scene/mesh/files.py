"""Mesh files: unwrap, bake the colours into a texture, write GLB and OBJ.

Files are y-up, as glTF asks for: a point (x, y, z) of our z-up frame becomes (y, z, x), a rotation
that turns the front from +x to +z and the top from +z to +y; a `Placement` then shifts and scales
it. Colours are stored as they are, the values of the rendered images; no transfer curve is applied.
Rendered images hold the light that the networks saw in their training pictures, and so does the
texture: it is written as unlit unless asked otherwise.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
import xatlas
from jaxtyping import Bool, Float, Int64, UInt8
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor
from trimesh.exchange.gltf import export_glb
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

from xbind.config.options import Material
from xbind.config.scene import UnwrapConfig
from xbind.files import atomic_write, disk_errors
from xbind.kernels import interpolate, rasterize
from xbind.scene.mesh.gltf import GENERATOR, complete, with_checksum
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.mesh.placement import IN_PLACE, MeshFileError, Placement, y_up

ColourField = Callable[[Float[Tensor, "p 3"]], Float[Tensor, "p 3"]]
"""Colour in [0, 1] at world positions."""

CHUNK = 65_536
"""Positions for which a colour field is asked at a time."""


@dataclass(frozen=True, slots=True)
class ObjNames:
    """Names of the three files of an OBJ."""

    mesh: str = "mesh.obj"
    material: str = "mesh.mtl"
    texture: str = "texture.png"


@dataclass(frozen=True, slots=True)
class FileInfo:
    """Metadata of a mesh file, and the object's placement in it."""

    material: Material = "unlit"
    """`unlit`: viewers show the texture as it is; `lit`: they light it, as a rough surface."""
    placement: Placement = IN_PLACE
    about: Mapping[str, Any] = field(default_factory=dict)
    """Provenance of the object: plain data, written to `extras.xbind` and as OBJ comments."""


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
    positions, is_inside = _texel_positions(unwrapped, size)
    with torch.no_grad():
        colours = torch.cat(
            [colour_at(part) for part in torch.split(positions[is_inside], CHUNK)]
        ).cpu()
    texture = torch.zeros(size, size, 3, dtype=torch.uint8)
    texture[is_inside] = (colours.clamp(0, 1) * 255).round().to(torch.uint8)
    nearest = ndimage.distance_transform_edt(
        ~is_inside.numpy(), return_distances=False, return_indices=True
    )
    rows, columns = torch.from_numpy(nearest).long()
    return texture[rows, columns]


def _texel_positions(
    unwrapped: UnwrappedMesh, size: int
) -> tuple[Float[Tensor, "s s 3"], Bool[Tensor, "s s"]]:
    """A place on the surface for every texel that has one, and which those are."""
    flat = 2 * unwrapped.uv - 1
    clip = torch.cat([flat, torch.zeros_like(flat[:, :1]), torch.ones_like(flat[:, :1])], 1)[None]
    rast = rasterize(clip, unwrapped.faces, (size, size))
    positions = interpolate(unwrapped.vertices, rast, unwrapped.faces)[0]
    is_inside = rast[0, ..., 3] > 0
    points, places = (
        torch.cat([x[unwrapped.faces].mean(1), x]) for x in (unwrapped.vertices, unwrapped.uv)
    )
    columns, rows = (places * size).long().clamp(0, size - 1).unbind(1)
    is_missed = ~is_inside[rows, columns]
    missed = (rows[is_missed].numpy(), columns[is_missed].numpy())
    positions.numpy()[missed] = points[is_missed]  # numpy: of two points in a texel, the last wins
    is_inside[missed] = True
    return positions, is_inside


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


def write_glb(
    path: Path,
    unwrapped: UnwrappedMesh,
    texture: UInt8[Tensor, "s s 3"],
    info: FileInfo | None = None,
) -> None:
    """Write the file of `glb_bytes`.

    Raises:
        DiskError: the file cannot be written. An earlier file is then still whole.
    """
    _write(path, glb_bytes(unwrapped, texture, info))


def glb_bytes(
    unwrapped: UnwrappedMesh,
    texture: UInt8[Tensor, "s s 3"],
    info: FileInfo | None = None,
    *,
    jpeg: bool = False,
) -> bytes:
    """Returns one glTF binary: rough, not metallic, single-sided, with the texture inside.

    `xbind.scene.mesh.gltf` says which metadata it holds.

    Args:
        unwrapped: the surface, in the scene's frame.
        texture: its colours.
        info: material, placement and metadata; by default unlit, in place, without any.
        jpeg: store the texture as JPEG, which is smaller and loses detail, instead of PNG.
    """
    info = info or FileInfo()
    image = Image.fromarray(texture.numpy())
    if jpeg:
        encoded = BytesIO()
        image.save(encoded, "JPEG")
        image = Image.open(encoded)  # trimesh writes JPEG what was read from JPEG
    material = PBRMaterial(
        name="surface",
        baseColorTexture=image,
        metallicFactor=0.0,
        roughnessFactor=1.0,
        doubleSided=False,
    )
    uv = upward(unwrapped.uv)
    surface = trimesh.Trimesh(
        vertices=info.placement.apply(y_up(unwrapped.vertices)),
        faces=unwrapped.faces.numpy(),
        vertex_normals=y_up(unwrapped.normals),
        visual=TextureVisuals(uv=uv, material=material),
        process=False,  # keep every vertex, in its order
    )
    scene = trimesh.Scene(surface)

    def finish(tree: dict[str, Any]) -> None:
        complete(tree, info.material, info.placement, info.about)

    glb: bytes = export_glb(scene, include_normals=True, tree_postprocessor=finish)
    return with_checksum(glb)


def write_obj(
    folder: Path,
    unwrapped: UnwrappedMesh,
    texture: UInt8[Tensor, "s s 3"],
    info: FileInfo | None = None,
    names: ObjNames | None = None,
) -> None:
    """Write an OBJ with its material and texture beside it; the same geometry as the GLB.

    An unlit material has illumination model 0, "color on and ambient off": Kd is the colour.

    Args:
        folder: made if it is not there.
        unwrapped: the surface, in the scene's frame.
        texture: its colours.
        info: material, placement and metadata; by default unlit, in place, without any.
        names: of the three files, without spaces; by default mesh.obj, mesh.mtl, texture.png.

    Raises:
        DiskError: a file cannot be written. Each file is then whole, old or new.
    """
    info, names = info or FileInfo(), names or ObjNames()
    png = BytesIO()
    Image.fromarray(texture.numpy()).save(png, "PNG")
    _write(folder / names.texture, png.getvalue())
    _write(folder / names.material, _mtl(info.material, names.texture).encode())
    lines = [*_comments(info), f"mtllib {names.material}", "usemtl surface"]
    positions = info.placement.apply(y_up(unwrapped.vertices))
    lines += [f"v {x:.7g} {y:.7g} {z:.7g}" for x, y, z in positions.tolist()]
    lines += [f"vt {u:.7g} {v:.7g}" for u, v in upward(unwrapped.uv).tolist()]
    lines += [f"vn {x:.4g} {y:.4g} {z:.4g}" for x, y, z in y_up(unwrapped.normals).tolist()]
    corners = (unwrapped.faces + 1).tolist()
    lines += [f"f {a}/{a}/{a} {b}/{b}/{b} {c}/{c}/{c}" for a, b, c in corners]
    _write(folder / names.mesh, ("\n".join(lines) + "\n").encode())


def _mtl(material: Material, texture: str) -> str:
    note = "# The texture holds the object's shading: show it unlit.\n"
    model = 0 if material == "unlit" else 1
    return (
        f"# {GENERATOR}\n{note if material == 'unlit' else ''}newmtl surface\n"
        f"Ka 0 0 0\nKd 1 1 1\nKs 0 0 0\nillum {model}\nmap_Kd {texture}\n"
    )


def _comments(info: FileInfo) -> list[str]:
    """The metadata as comments, in ASCII: no line of text may become a line of OBJ."""
    values = {**info.about, "material": info.material, "placement": info.placement.plain()}
    return [f"# {GENERATOR}", *(f"# {name}: {json.dumps(x)}" for name, x in values.items())]


def upward(uv: Float[Tensor, "v 2"]) -> NDArray[np.float32]:
    """From v downwards, as in images, to v upwards, as in OBJ (trimesh turns it back for glTF)."""
    return torch.stack([uv[:, 0], 1 - uv[:, 1]], 1).numpy()


def _write(path: Path, data: bytes) -> None:
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, data)
