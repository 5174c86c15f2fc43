"""STL and 3MF: closed solids in millimetres, as slicers and printers read them.

Both are z-up with the front towards −y: the build plate is z = 0 and its near edge has the least
y. Neither holds colours here.
"""

import zipfile
from io import BytesIO
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from trimesh.exchange.stl import export_stl

from xbind.kernels import edge_table
from xbind.scene.mesh.gltf import GENERATOR
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.mesh.placement import MeshFileError

MILLIMETRES = 1000.0
"""Millimetres in a metre."""

_CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_MODEL = "3D/3dmodel.model"
_VERTEX = '<vertex x="%.9g" y="%.9g" z="%.9g"/>'  # nine digits hold every float32
_TRIANGLE = '<triangle v1="%d" v2="%d" v3="%d"/>'
_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
_INSTEAD = "Choose --format glb, obj, ply or usdz, or repair it in a mesh editor."
_TYPES = (
    f'{_XML}<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.'
    'relationships+xml"/>'
    '<Default Extension="model" ContentType="application/vnd.ms-package.3dmanufacturing-'
    '3dmodel+xml"/></Types>\n'
)
_RELATIONS = (
    f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Target="/{_MODEL}" Id="rel0" '
    'Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/></Relationships>\n'
)


def solid_in_millimetres(mesh: Mesh, scale: float) -> Mesh:
    """Returns the mesh as it stands on a printer's plate: centred on x = y = 0, lowest z = 0.

    Args:
        mesh: in the scene's frame (z-up, front +x).
        scale: metres in one scene unit.

    Raises:
        MeshFileError: it is not a closed solid that is wound outwards.
    """
    x, y, z = (mesh.vertices.double() * scale * MILLIMETRES).unbind(1)
    turned = torch.stack([y, -x, z], 1)  # a rotation by −90° about z: +x becomes −y
    low, high = turned.amin(0), turned.amax(0)
    middle = (low + high) / 2
    solid = Mesh((turned - torch.stack([middle[0], middle[1], low[2]])).float(), mesh.faces)
    _check_solid(solid)
    return solid


def stl_bytes(solid: Mesh) -> bytes:
    """Returns a binary STL; its numbers are those of the mesh, in millimetres by convention."""
    data: bytes = export_stl(
        trimesh.Trimesh(solid.vertices.numpy(), solid.faces.numpy(), process=False)
    )
    return f"{GENERATOR}, millimetres, z up".encode().ljust(80) + data[80:]


def threemf_bytes(solid: Mesh, title: str) -> bytes:
    """Returns a 3MF package (core specification 1.3) of one object, unit millimetre.

    The same mesh gives the same bytes.

    Args:
        solid: as from `solid_in_millimetres`.
        title: printable text on one line.
    """
    model = (
        f'{_XML}<model unit="millimeter" xml:lang="en" xmlns="{_CORE}">\n'
        f'<metadata name="Title">{escape(title)}</metadata>\n'
        f'<metadata name="Application">{escape(GENERATOR)}</metadata>\n'
        f'<resources><object id="1" type="model" name={quoteattr(title)}><mesh>\n<vertices>\n'
        f"{_elements(_VERTEX, solid.vertices)}"
        "</vertices>\n<triangles>\n"
        f"{_elements(_TRIANGLE, solid.faces)}"
        "</triangles>\n</mesh></object></resources>\n"
        '<build><item objectid="1"/></build>\n</model>\n'
    )
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
        for name, text in (
            ("[Content_Types].xml", _TYPES), ("_rels/.rels", _RELATIONS), (_MODEL, model),
        ):  # fmt: skip
            entry = zipfile.ZipInfo(name)  # dated 1980, so that the bytes repeat
            entry.compress_type = zipfile.ZIP_DEFLATED
            package.writestr(entry, text)
    return buffer.getvalue()


def _elements(element: str, rows: Tensor) -> str:
    return "".join(f"{element % tuple(row)}\n" for row in rows.tolist())


def _check_solid(mesh: Mesh) -> None:
    """Refuses what a slicer would have to repair.

    Raises:
        MeshFileError: edges without a second face, corners that float32 cannot tell apart, or
            faces that are wound inwards.
    """
    positions: Float[NDArray[np.float32], "v 3"] = mesh.vertices.numpy()
    unique = len(np.unique(positions, axis=0))
    if unique < len(positions):
        raise MeshFileError(
            f"{len(positions) - unique} vertices of the mesh coincide at this size.\n"
            f"Give a larger --height, or fewer --faces."
        )
    open_sides = int((edge_table(mesh.faces) < 0).sum())
    if open_sides:
        raise MeshFileError(
            f"The mesh is not closed: {open_sides} sides of its faces do not continue in "
            f"exactly one other face, so it cannot be printed.\n{_INSTEAD}"
        )
    surface = trimesh.Trimesh(positions, mesh.faces.numpy(), process=False)
    volume = float(mesh.volume())
    if volume <= 0 or not surface.is_winding_consistent:
        raise MeshFileError(
            f"The faces of the mesh are not all wound outwards (it encloses {volume:.3g} mm³), so "
            f"it cannot be printed.\n{_INSTEAD}"
        )
