"""L_nc and L_ls against regular solids, loops in plain Python, and finite differences."""

import math

import pytest
import torch
from surfaces import cube, icosahedron

from xbind.losses.regularizers import laplacian_loss, normal_consistency_loss
from xbind.scene.mesh.mesh import Mesh


def sheet(side=5, bump=0.0):
    """A square sheet with an open border, `side` vertices wide, in float64."""
    index = torch.arange(side * side).view(side, side)
    a, b, c, d = (
        x.flatten() for x in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:])
    )
    faces = torch.cat([torch.stack([a, b, c], 1), torch.stack([a, c, d], 1)])
    x, y = torch.meshgrid(*[torch.arange(side, dtype=torch.float64)] * 2, indexing="ij")
    generator = torch.Generator().manual_seed(0)
    z = bump * torch.randn(side, side, generator=generator, dtype=torch.float64)
    return Mesh(torch.stack([x, y, z], -1).view(-1, 3), faces)


def slow_normal_consistency(mesh):
    normals, values = [], []
    for a, b, c in mesh.vertices[mesh.faces]:
        n = torch.linalg.cross(b - a, c - a)
        normals.append(n / n.norm())
    corners = [set(f) for f in mesh.faces.tolist()]
    for i in range(len(corners)):
        for j in range(i):
            if len(corners[i] & corners[j]) == 2:
                values.append(1 - normals[i] @ normals[j])
    return sum(values) / len(values)


def slow_laplacian(mesh):
    neighbours = {i: set() for i in range(len(mesh.vertices))}
    for face in mesh.faces.tolist():
        for i in face:
            neighbours[i] |= set(face) - {i}
    total = 0.0
    for i, others in neighbours.items():
        middle = sum(mesh.vertices[j] for j in others) / len(others)
        total += ((middle - mesh.vertices[i]) ** 2).sum()
    return total / len(mesh.vertices)


def slow_vertex_normal_consistency(mesh):
    """threestudio's formula: 1 − cos of the vertex normals at the two ends of every edge."""
    sums = [torch.zeros(3, dtype=torch.float64) for _ in mesh.vertices]
    edges = set()
    for i, j, k in mesh.faces.tolist():
        a, b, c = mesh.vertices[i], mesh.vertices[j], mesh.vertices[k]
        for corner in (i, j, k):
            sums[corner] = sums[corner] + torch.linalg.cross(b - a, c - a)
        edges |= {tuple(sorted(pair)) for pair in ((i, j), (j, k), (k, i))}
    units = [n / n.norm() for n in sums]
    return sum(1 - units[i] @ units[j] for i, j in edges) / len(edges)


def slow_sum_laplacian(mesh):
    """threestudio's formula: ‖Σ_j (v_j − v_i)‖, the mean over vertices, from a dense L = D − A."""
    count = len(mesh.vertices)
    adjacency = torch.zeros(count, count, dtype=torch.float64)
    for face in mesh.faces.tolist():
        for i in face:
            for j in set(face) - {i}:
                adjacency[i, j] = 1
    laplacian = torch.diag(adjacency.sum(1)) - adjacency
    return (laplacian @ mesh.vertices).square().sum(1).sqrt().mean()


def vertex_normal_consistency(mesh):
    return normal_consistency_loss(mesh, "vertex")


def sum_laplacian(mesh):
    return laplacian_loss(mesh, "sum-norm")


def test_normal_consistency_of_regular_solids():
    # Cube: 12 edges at a right angle, 6 diagonals of its sides. Icosahedron: cos = √5/3 everywhere.
    assert normal_consistency_loss(cube()).item() == pytest.approx(12 / 18, abs=1e-12)
    expected = 1 - math.sqrt(5) / 3
    assert normal_consistency_loss(icosahedron()).item() == pytest.approx(expected, abs=1e-12)


def test_laplacian_of_the_icosahedron():
    # The five neighbours of a corner are at its height times 1/√5, and centred on its axis.
    expected = (1 - 1 / math.sqrt(5)) ** 2
    assert laplacian_loss(icosahedron()).item() == pytest.approx(expected, abs=1e-12)
    # summed, not averaged, over five neighbours, and not squared
    assert sum_laplacian(icosahedron()).item() == pytest.approx(5 * expected**0.5, abs=1e-12)


def test_vertex_normals_of_the_icosahedron():
    # Normals point at the corners; neighbours are arctan 2 apart.
    expected = 1 - 1 / math.sqrt(5)
    found = vertex_normal_consistency(icosahedron()).item()
    assert found == pytest.approx(expected, abs=1e-12)


def test_the_norm_of_a_vanishing_sum_has_no_gradient():
    vertices = sheet().vertices.requires_grad_()
    (slope,) = torch.autograd.grad(sum_laplacian(Mesh(vertices, sheet().faces)), vertices)
    assert torch.isfinite(slope).all()
    assert not slope.view(5, 5, 3)[2, 2].any()  # all its neighbours are inner vertices


@pytest.mark.parametrize(
    ("loss", "slow"),
    [
        (normal_consistency_loss, slow_normal_consistency),
        (vertex_normal_consistency, slow_vertex_normal_consistency),
        (laplacian_loss, slow_laplacian),
        (sum_laplacian, slow_sum_laplacian),
    ],
)
@pytest.mark.parametrize("mesh", [sheet(bump=0.5), icosahedron()], ids=["sheet", "icosahedron"])
def test_agrees_with_loops_and_finite_differences(loss, slow, mesh):
    noise = torch.randn(mesh.vertices.shape, generator=torch.Generator().manual_seed(1)).double()
    vertices = (mesh.vertices + 0.1 * noise).requires_grad_()
    torch.testing.assert_close(loss(Mesh(vertices, mesh.faces)), slow(Mesh(vertices, mesh.faces)))
    torch.autograd.gradcheck(lambda v: loss(Mesh(v, mesh.faces)), vertices)


def test_a_plane_is_free_of_both():
    flat = sheet()
    assert normal_consistency_loss(flat).item() == 0
    interior = torch.zeros(5, 5, dtype=torch.bool)
    interior[1:-1, 1:-1] = True
    vertices = flat.vertices.clone().requires_grad_()
    border = slow_laplacian(flat)
    torch.testing.assert_close(laplacian_loss(Mesh(vertices, flat.faces)), border)
    # Moving an inner vertex out of the plane is at a minimum when it is in the plane.
    (slope,) = torch.autograd.grad(laplacian_loss(Mesh(vertices, flat.faces)), vertices)
    assert slope[interior.flatten(), 2].abs().max() == 0


def test_half_precision_vertices_are_promoted():
    mesh = Mesh(icosahedron().vertices.half(), icosahedron().faces)
    assert laplacian_loss(mesh).dtype == torch.float32


def test_nothing_to_compare_is_zero():
    empty = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64))
    for loss in (
        normal_consistency_loss, vertex_normal_consistency, laplacian_loss, sum_laplacian,
    ):  # fmt: skip
        assert loss(empty).item() == 0
