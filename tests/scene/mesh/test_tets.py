"""The generated grid against what a filling of a box must satisfy."""

import itertools
from collections import Counter

import pytest
import torch
from surfaces import cube_grid

from xbind.scene.mesh.tets import SAFE_OFFSET, tetrahedral_grid

LOW, HIGH = torch.tensor([-1.0, 0.5, 2.0]), torch.tensor([0.2, 1.1, 2.9])


def sixfold_volumes(points):
    a, b, c = (points[:, 1:] - points[:, :1]).unbind(1)
    return (a * torch.linalg.cross(b, c)).sum(-1)


@pytest.mark.parametrize("resolution", [1, 5, (2, 1, 3)])
def test_fills_the_box_with_equal_positive_volumes(resolution):
    grid = tetrahedral_grid(LOW, HIGH, resolution)
    volumes = sixfold_volumes(grid.vertices.double()[grid.tets]) / 6
    box = (HIGH - LOW).double().prod()
    torch.testing.assert_close(
        volumes, (box / len(grid.tets)).expand_as(volumes), rtol=1e-4, atol=0
    )
    torch.testing.assert_close(grid.cell.double().prod() / 12, volumes[0], rtol=1e-4, atol=0)
    torch.testing.assert_close(grid.vertices.amin(0), LOW)
    torch.testing.assert_close(grid.vertices.amax(0), HIGH)


@pytest.mark.parametrize("resolution", [1, 4, (1, 3, 2)])
def test_faces_are_shared_by_two_tets_or_lie_on_the_box(resolution):
    grid = tetrahedral_grid(LOW, HIGH, resolution)
    uses = Counter(
        tuple(sorted(face)) for tet in grid.tets.tolist() for face in itertools.combinations(tet, 3)
    )
    assert set(uses.values()) <= {1, 2}
    outer = torch.tensor([face for face, n in uses.items() if n == 1])
    a, b, c = grid.vertices[outer].unbind(1)
    x, y, z = HIGH - LOW
    found = torch.linalg.cross(b - a, c - a).norm(dim=-1).sum() / 2
    torch.testing.assert_close(found, 2 * (x * y + y * z + z * x))
    is_outer = torch.zeros(len(grid.vertices), dtype=torch.bool)
    is_outer[outer] = True
    assert torch.equal(is_outer, grid.is_boundary)


def test_every_point_is_in_exactly_one_tet():
    grid = tetrahedral_grid(LOW, HIGH, 3)
    generator = torch.Generator().manual_seed(0)
    points = LOW + (HIGH - LOW) * torch.rand(300, 3, generator=generator)
    corners = grid.vertices.double()[grid.tets]
    sides = (corners[:, 1:] - corners[:, :1]).transpose(1, 2)
    weights = torch.linalg.solve(sides, (points.double() - corners[:, :1]).transpose(1, 2))
    inside = (weights > 0).all(1) & (weights.sum(1) < 1)
    assert inside.sum(0).tolist() == [1] * 300


def test_cells_are_nearly_cubes_and_vertices_distinct():
    grid = tetrahedral_grid(torch.zeros(3), torch.tensor([2.0, 1.05, 0.3]), 20)
    assert grid.cell.max() / grid.cell.min() < 1.2
    assert len(torch.unique(grid.vertices, dim=0)) == len(grid.vertices)


def test_no_offset_within_reach_turns_a_tet_over():
    # The volume is affine in each single coordinate, so its minimum is at extreme offsets.
    grid = cube_grid(3)
    corners = (grid.vertices / grid.cell).double()[grid.tets]
    is_free = (~grid.is_boundary).double()[grid.tets][..., None]
    shapes = torch.cat([corners - corners[:, :1], is_free], -1)
    shapes = torch.unique(shapes.mul(2).round().div(2), dim=0)
    extremes = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=12))).view(-1, 4, 3)
    for shape in shapes:
        assert sixfold_volumes(shape[:, :3] + SAFE_OFFSET * shape[:, 3:] * extremes).min() > 0


@pytest.mark.parametrize(("high", "resolution"), [([1.0, 1.0, 0.0], 4), ([1.0, 1.0, 1.0], 0)])
def test_refuses_an_empty_box(high, resolution):
    with pytest.raises(ValueError, match="no grid of resolution"):
        tetrahedral_grid(torch.zeros(3), torch.tensor(high), resolution)
