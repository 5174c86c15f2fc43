import numpy as np
import torch
import trimesh

from xbind.mini.world.categories import build
from xbind.mini.world.export import export_glb


def test_glb_stands_upright_in_gltf_with_its_colours(tmp_path):
    mesh = build("rocket", "red", torch.Generator().manual_seed(0))
    export_glb(mesh, tmp_path / "rocket.glb")
    (loaded,) = trimesh.load_scene(tmp_path / "rocket.glb").geometry.values()
    assert len(loaded.faces) == len(mesh.faces)
    x, y, z = mesh.vertices.T
    np.testing.assert_allclose(loaded.vertices, np.stack([x, z, -y], -1), atol=1e-6)
    linear = loaded.visual.vertex_colors[:, :3] / 255.0
    # sRGB decoding is within 0.04 of a power of 2.2.
    np.testing.assert_allclose(linear, mesh.colours**2.2, atol=0.04)
    assert loaded.volume > 0
