"""Simplified surfaces against the one that they stand for."""

import numpy as np
import pytest
import torch
import trimesh

from tests.support.finished_runs import ball
from xbind.scene.mesh.simplify import simplify


@pytest.mark.parametrize("faces", [1500, 400, 100])
def test_a_closed_surface_stays_closed_and_where_it_was(faces):
    mesh = ball(4)
    fewer = simplify(mesh, faces)
    assert len(fewer.faces) <= faces < len(mesh.faces)
    assert (fewer.vertices.dtype, fewer.faces.dtype) == (torch.float32, torch.int64)
    solid = trimesh.Trimesh(fewer.vertices.numpy(), fewer.faces.numpy(), process=False)
    assert solid.is_watertight
    assert solid.is_winding_consistent
    # an inscribed polyhedron of f faces loses a share of about 1/f of an egg's volume, times 5
    assert float(fewer.volume()) == pytest.approx(float(mesh.volume()), rel=8 / faces)
    inside = (fewer.vertices - torch.tensor([0.1, -0.05, 0.2])) / torch.tensor([0.4, 0.3, 0.5])
    np.testing.assert_allclose(inside.norm(dim=1), 1, atol=0.05)


def test_no_vertex_is_left_over_or_there_twice():
    fewer = simplify(ball(4), 300)
    assert len(torch.unique(fewer.faces)) == len(fewer.vertices)
    assert len(torch.unique(fewer.vertices, dim=0)) == len(fewer.vertices)
