"""Mesh files: GLB and OBJ with their textures.

Files are y-up, as glTF asks for: a point (x, y, z) of our z-up frame becomes (y, z, x), a rotation
that turns the front from +x to +z and the top from +z to +y; a `Placement` then shifts and scales
it. Colours are stored as they are, the values of the rendered images; no transfer curve is applied.
Rendered images hold the light that the networks saw in their training pictures, and so does the
texture: it is written as unlit unless asked otherwise.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from trimesh.exchange.gltf import export_glb
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

from xbind.config.options import Material
from xbind.files import atomic_write, disk_errors
from xbind.scene.light import Light
from xbind.scene.mesh.baking import SurfaceMap, UnwrappedMesh
from xbind.scene.mesh.gltf import GENERATOR, complete, with_checksum
from xbind.scene.mesh.placement import IN_PLACE, Placement, y_up


@dataclass(frozen=True, slots=True)
class ObjNames:
    """Names of the files of an OBJ; the last two are written for a material that has them."""

    mesh: str = "mesh.obj"
    material: str = "mesh.mtl"
    texture: str = "texture.png"
    roughness: str = "roughness.png"
    metalness: str = "metalness.png"


@dataclass(frozen=True, slots=True)
class FileInfo:
    """Metadata of a mesh file, and the object's placement in it."""

    material: Material = "unlit"
    """`unlit`: viewers show the texture as it is; `lit`: they light it, as a rough surface."""
    placement: Placement = IN_PLACE
    about: Mapping[str, Any] = field(default_factory=dict)
    """Provenance of the object: plain data, written to `extras.xbind` and as OBJ comments."""
    light: Light | None = None
    """Known light on the object: an `unlit` texture shows the albedo under it, a `lit` one holds
    the albedo. None where only one texture is known."""


def write_glb(
    path: Path,
    unwrapped: UnwrappedMesh,
    texture: UInt8[Tensor, "s s 3"],
    info: FileInfo | None = None,
    *,
    surface_map: SurfaceMap | None = None,
) -> None:
    """Write the file of `glb_bytes`.

    Raises:
        DiskError: the file cannot be written. An earlier file is then still whole.
    """
    _write(path, glb_bytes(unwrapped, texture, info, surface_map=surface_map))


def glb_bytes(
    unwrapped: UnwrappedMesh,
    texture: UInt8[Tensor, "s s 3"],
    info: FileInfo | None = None,
    *,
    surface_map: SurfaceMap | None = None,
    jpeg: bool = False,
) -> bytes:
    """Returns one glTF binary: single-sided, with its textures inside.

    Without a `surface_map` the surface is rough and not metallic.

    `xbind.scene.mesh.gltf` says which metadata it holds.

    Args:
        unwrapped: the surface, in the scene's frame.
        texture: its colours.
        info: material, placement and metadata; by default unlit, in place, without any.
        surface_map: roughness and metalness; only for a `lit` material.
        jpeg: store the textures as JPEG, which is smaller and loses detail, instead of PNG.
    """
    info = info or FileInfo()
    material = PBRMaterial(
        name="surface",
        baseColorTexture=_picture(texture, jpeg),
        metallicRoughnessTexture=None if surface_map is None else _picture(surface_map, jpeg),
        metallicFactor=0.0 if surface_map is None else 1.0,
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
        complete(tree, info.material, info.placement, info.about, info.light)

    glb: bytes = export_glb(scene, include_normals=True, tree_postprocessor=finish)
    return with_checksum(glb)


def _picture(texture: UInt8[Tensor, "s s 3"], jpeg: bool) -> Image.Image:
    image = Image.fromarray(texture.numpy())
    if not jpeg:
        return image
    encoded = BytesIO()
    image.save(encoded, "JPEG")
    return Image.open(encoded)  # trimesh writes as JPEG what was read from JPEG


def write_obj(
    folder: Path,
    unwrapped: UnwrappedMesh,
    texture: UInt8[Tensor, "s s 3"],
    info: FileInfo | None = None,
    names: ObjNames | None = None,
    *,
    surface_map: SurfaceMap | None = None,
) -> None:
    """Write an OBJ with its material and textures beside it; the same geometry as the GLB.

    An unlit material has illumination model 0, "color on and ambient off": Kd is the colour.

    Args:
        folder: made if it is not there.
        unwrapped: the surface, in the scene's frame.
        texture: its colours.
        info: material, placement and metadata; by default unlit, in place, without any.
        names: of the files, without spaces; by default those of `ObjNames`.
        surface_map: roughness and metalness, which are written as a grey picture each (`map_Pr`,
            `map_Pm`); only for a `lit` material.

    Raises:
        DiskError: a file cannot be written. Each file is then whole, old or new.
    """
    info, names = info or FileInfo(), names or ObjNames()
    _write(folder / names.texture, png_bytes(texture))
    if surface_map is not None:
        _write(folder / names.roughness, png_bytes(surface_map[..., 1]))
        _write(folder / names.metalness, png_bytes(surface_map[..., 2]))
    mtl = _mtl(info.material, names, has_map=surface_map is not None)
    _write(folder / names.material, mtl.encode())
    lines = [*_comments(info), f"mtllib {names.material}", "usemtl surface"]
    positions = info.placement.apply(y_up(unwrapped.vertices))
    lines += [f"v {x:.7g} {y:.7g} {z:.7g}" for x, y, z in positions.tolist()]
    lines += [f"vt {u:.7g} {v:.7g}" for u, v in upward(unwrapped.uv).tolist()]
    lines += [f"vn {x:.4g} {y:.4g} {z:.4g}" for x, y, z in y_up(unwrapped.normals).tolist()]
    corners = (unwrapped.faces + 1).tolist()
    lines += [f"f {a}/{a}/{a} {b}/{b}/{b} {c}/{c}/{c}" for a, b, c in corners]
    _write(folder / names.mesh, ("\n".join(lines) + "\n").encode())


def _mtl(material: Material, names: ObjNames, *, has_map: bool) -> str:
    note = "# The texture holds the object's shading: show it unlit.\n"
    model = 0 if material == "unlit" else 1
    maps = f"Pr 1\nPm 1\nmap_Pr {names.roughness}\nmap_Pm {names.metalness}\n"
    return (
        f"# {GENERATOR}\n{note if material == 'unlit' else ''}newmtl surface\n"
        f"Ka 0 0 0\nKd 1 1 1\nKs 0 0 0\nillum {model}\nmap_Kd {names.texture}\n"
        f"{maps if has_map else ''}"
    )


def _comments(info: FileInfo) -> list[str]:
    """The metadata as comments, in ASCII: no line of text may become a line of OBJ."""
    values = {**info.about, "material": info.material, "placement": info.placement.plain()}
    return [f"# {GENERATOR}", *(f"# {name}: {json.dumps(x)}" for name, x in values.items())]


def png_bytes(picture: UInt8[Tensor, "h w *c"]) -> bytes:
    """A PNG file of a grey or RGB picture."""
    encoded = BytesIO()
    Image.fromarray(picture.contiguous().numpy()).save(encoded, "PNG")
    return encoded.getvalue()


def upward(uv: Float[Tensor, "v 2"]) -> NDArray[np.float32]:
    """From v downwards, as in images, to v upwards, as in OBJ (trimesh turns it back for glTF)."""
    return torch.stack([uv[:, 0], 1 - uv[:, 1]], 1).numpy()


def _write(path: Path, data: bytes) -> None:
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, data)
