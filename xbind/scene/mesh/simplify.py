"""Fewer triangles on the same surface, by quadric edge collapses (Garland and Heckbert 1997)."""

import fast_simplification
import numpy as np
import torch

from xbind.scene.mesh.mesh import Mesh


def simplify(mesh: Mesh, faces: int) -> Mesh:
    """Returns a mesh of at most `faces` triangles where the surface allows it.

    A closed mesh stays closed. Collapses that would fold the surface are left out, so that a very
    small target may not be reached.

    Args:
        mesh: one vertex per position; texture seams would tear.
        faces: the wanted number of triangles, below that of the mesh.

    Returns:
        A new mesh on the CPU, float32, without unused vertices.
    """
    vertices, triangles = fast_simplification.simplify(
        mesh.vertices.detach().cpu().numpy().astype(np.float32),
        mesh.faces.cpu().numpy().astype(np.int32),
        target_count=faces,
    )
    return Mesh(
        torch.from_numpy(np.asarray(vertices, np.float32)),
        torch.from_numpy(np.asarray(triangles, np.int64)),
    )
