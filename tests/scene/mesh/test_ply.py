"""PLY is read back by plyfile."""

import numpy as np
import plyfile
import torch

from tests.support.finished_runs import ball
from xbind.scene.mesh.placement import place
from xbind.scene.mesh.ply import ply_bytes


def test_positions_colours_and_faces_come_back(tmp_path):
    mesh = ball(2)
    colours = torch.rand(len(mesh.vertices), 3, generator=torch.Generator().manual_seed(0))
    colours[0] = torch.tensor([1.2, -0.1, 0.5])  # clipped
    path = tmp_path / "m.ply"
    path.write_bytes(ply_bytes(mesh, colours, place(mesh.vertices, "base", 0.2)))
    read = plyfile.PlyData.read(str(path))
    vertex = read["vertex"]
    positions = np.stack([vertex[k] for k in "xyz"], 1)
    y_up = 0.2 * mesh.vertices.double()[:, [1, 2, 0]].numpy()
    y_up -= [y_up[:, 0].mean(), y_up[:, 1].min(), y_up[:, 2].mean()]
    np.testing.assert_allclose(positions, y_up, atol=1e-6)
    bytes_ = np.stack([vertex[k] for k in ("red", "green", "blue")], 1)
    np.testing.assert_allclose(bytes_, colours.clamp(0, 1).numpy() * 255, atol=0.501)
    assert vertex["red"].dtype == np.uint8
    faces = np.vstack(read["face"]["vertex_indices"])
    np.testing.assert_array_equal(faces, mesh.faces.numpy())
