"""PLY: a mesh with one colour per vertex, for point-cloud and mesh-processing tools."""

import trimesh
from jaxtyping import Float
from torch import Tensor
from trimesh.exchange.ply import export_ply

from xbind.scene.mesh.mesh import Mesh
from xbind.scene.mesh.placement import Placement, y_up


def ply_bytes(mesh: Mesh, colours: Float[Tensor, "v 3"], placement: Placement) -> bytes:
    """Returns a binary little-endian PLY with colours as bytes and float32 positions, y-up.

    Args:
        mesh: one vertex per position, in the scene's frame.
        colours: of its vertices, in [0, 1].
        placement: applied to the positions.
    """
    surface = trimesh.Trimesh(
        placement.apply(y_up(mesh.vertices)),
        mesh.faces.numpy(),
        vertex_colors=(colours.clamp(0, 1) * 255).round().byte().numpy(),
        process=False,
    )
    data: bytes = export_ply(surface, vertex_normal=False)
    return data
