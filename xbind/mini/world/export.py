"""Ground-truth meshes as files."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xbind.mini.world.world_mesh import WorldMesh


def y_up(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn [v, 3] from this project's z-up frame to glTF's y-up: (x, y, z) → (x, z, −y)."""
    return np.stack([vectors[:, 0], vectors[:, 2], -vectors[:, 1]], -1)


def export_glb(mesh: WorldMesh, path: Path) -> None:
    """Write a binary glTF file with normals and lit vertex colours."""
    import trimesh  # only evaluation writes meshes of the world

    # glTF's vertex colours are linear, while the world's are what a screen shows.
    linear = np.where(
        mesh.colours <= 0.04045, mesh.colours / 12.92, ((mesh.colours + 0.055) / 1.055) ** 2.4
    )
    alpha = np.ones((len(linear), 1))
    shape = trimesh.Trimesh(
        vertices=y_up(mesh.vertices),
        faces=mesh.faces,
        vertex_normals=y_up(mesh.normals),
        vertex_colors=np.round(255 * np.concatenate([linear, alpha], -1)).astype(np.uint8),
        process=False,
    )
    shape.export(path, file_type="glb")
