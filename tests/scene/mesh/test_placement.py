"""Pivot and height of a mesh file, and the way back to the scene."""

import math

import numpy as np
import pytest
import torch

from xbind.scene.mesh.placement import MeshFileError, Placement, place, y_up, z_up

BOX = torch.tensor([[-0.3, 0.1, -0.2], [0.5, 0.4, 0.6]])
"""Two opposite corners, z-up: y-up the box is from (0.1, -0.2, -0.3) to (0.4, 0.6, 0.5)."""


@pytest.mark.parametrize(
    ("pivot", "height", "low", "high"),
    [
        ("base", None, (-0.15, 0, -0.4), (0.15, 0.8, 0.4)),
        ("center", None, (-0.15, -0.4, -0.4), (0.15, 0.4, 0.4)),
        ("base", 0.1, (-0.01875, 0, -0.05), (0.01875, 0.1, 0.05)),
        ("center", 16.0, (-3, -8, -8), (3, 8, 8)),
    ],
)
def test_bounds_in_the_file(pivot, height, low, high):
    placement = place(BOX, pivot, height)
    found = placement.apply(y_up(BOX))
    np.testing.assert_allclose(found, [low, high], rtol=1e-6, atol=1e-7)
    if pivot == "base":
        assert found[0, 1] == 0  # not a rounding error below the floor
    again = Placement.from_plain(placement.plain())
    assert again == placement
    np.testing.assert_allclose(z_up(again.undo(found)), BOX.numpy(), atol=1e-7)


def test_the_same_vertex_twice_stays_the_same():
    vertices = torch.randn(100, 3, generator=torch.Generator().manual_seed(0)).repeat(2, 1)
    placement = place(vertices, "base", 0.037)
    moved = placement.undo(placement.apply(y_up(vertices)))
    assert np.array_equal(moved[:100], moved[100:])


def test_a_flat_mesh_cannot_be_given_a_height():
    flat = torch.tensor([[0.0, 0, 0.5], [1, 0, 0.5], [0, 1, 0.5]])
    with pytest.raises(MeshFileError, match="flat"):
        place(flat, "base", 1.0)
    assert place(flat, "base").apply(y_up(flat))[:, 1].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "value",
    [
        None, 1, [], {}, {"scale": 1.0}, {"scale": 0.0, "origin": [0, 0, 0]},
        {"scale": math.nan, "origin": [0, 0, 0]}, {"scale": 1.0, "origin": [0, 0]},
        {"scale": 1.0, "origin": [0, 0, math.inf]}, {"scale": "x", "origin": [0, 0, 0]},
        {"scale": 1.0, "origin": [[0], [0], [0]]},
    ],
)  # fmt: skip
def test_what_is_no_placement_is_refused(value):
    with pytest.raises(ValueError, match=r"no placement|could not convert|inhomogeneous"):
        Placement.from_plain(value)
