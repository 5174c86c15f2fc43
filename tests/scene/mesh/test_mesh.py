"""`Mesh`: spheres and boxes have normals, volumes and edges that are known."""

import itertools
import math

import pytest
import torch
from spheres import sphere

from xbind.scene.mesh.mesh import Mesh


def box(sides):
    """Twelve triangles around [0, sides], wound outward."""
    corners = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3))) * torch.tensor(sides)
    quads = torch.tensor(
        [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    )
    return Mesh(corners, torch.cat([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]))


def test_box():
    mesh = box([2.0, 3.0, 0.5])
    torch.testing.assert_close(mesh.volume(), torch.tensor(3.0))
    normals = mesh.face_normals()
    assert torch.equal(normals.abs().sort(-1).values, torch.eye(3)[2].expand(12, 3))
    centres = mesh.vertices[mesh.faces].mean(1) - mesh.vertices.mean(0)
    assert ((centres * normals).sum(-1) > 0).all()
    assert len(mesh.edges()) == 18
    assert len(mesh.edge_faces()) == 18
    inside_out = Mesh(mesh.vertices, mesh.faces.flip(1))
    torch.testing.assert_close(inside_out.volume(), torch.tensor(-3.0))


def test_sphere():
    vertices, faces = sphere(4, radius=0.5)
    mesh = Mesh(vertices + torch.tensor([1.0, -2.0, 0.5]), faces)
    # Triangles around a vertex differ in size, so the error is of first order in theirs.
    torch.testing.assert_close(mesh.vertex_normals(), 2 * vertices, rtol=0, atol=0.02)
    torch.testing.assert_close(mesh.volume().item(), math.pi / 6, rtol=1e-2, atol=0)
    assert len(mesh.vertices) - len(mesh.edges()) + len(faces) == 2


def test_edges_and_their_faces_are_neighbours():
    vertices, faces = sphere(2)
    mesh = Mesh(vertices, faces)
    edges, pairs = mesh.edges(), mesh.edge_faces()
    sides = {frozenset(p) for face in faces.tolist() for p in itertools.combinations(face, 2)}
    assert {frozenset(edge) for edge in edges.tolist()} == sides
    assert len(edges) == len(sides)
    assert (edges[:, 0] < edges[:, 1]).all()
    shared = {
        frozenset(faces[a].tolist()) & frozenset(faces[b].tolist()) for a, b in pairs.tolist()
    }
    assert shared == sides
    assert (pairs[:, 0] < pairs[:, 1]).all()


def test_normals_weigh_faces_by_area():
    # At vertex 0: area ½ facing z, and area 1 facing x.
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 2]])
    normals = Mesh(vertices, torch.tensor([[0, 1, 2], [0, 2, 3]])).vertex_normals()
    torch.testing.assert_close(normals[0], torch.tensor([2.0, 0, 1]) / 5**0.5)


def test_faces_without_area_have_no_normal_and_no_gradient():
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [0, 1, 0], [5, 5, 5]])
    vertices.requires_grad_()
    faces = torch.tensor([[0, 1, 2], [1, 1, 3], [0, 2, 3]])
    mesh = Mesh(vertices, faces)
    face_normals, vertex_normals = mesh.face_normals(), mesh.vertex_normals()
    up = torch.tensor([0.0, 0, 1])
    assert torch.equal(face_normals, torch.stack([0 * up, 0 * up, up]))
    assert torch.equal(vertex_normals, torch.stack([up, 0 * up, up, up, 0 * up]))
    bar = torch.arange(9.0).view(3, 3)
    (vertices_bar,) = torch.autograd.grad(face_normals, vertices, bar)
    assert vertices_bar.isfinite().all()
    assert not vertices_bar[[1, 4]].any()


@pytest.mark.parametrize("vertices", [0, 3])
def test_empty(vertices):
    mesh = Mesh(torch.zeros(vertices, 3), torch.zeros(0, 3, dtype=torch.int64))
    assert mesh.is_empty
    assert not sphere_mesh().is_empty
    assert mesh.vertex_normals().shape == (vertices, 3)
    assert mesh.face_normals().shape == (0, 3)
    assert mesh.edges().shape == (0, 2)
    assert mesh.edge_faces().shape == (0, 2)
    assert mesh.volume() == 0


def sphere_mesh():
    return Mesh(*sphere(0))


def test_gradient_of_normals_matches_finite_differences():
    vertices, faces = sphere(1)
    vertices = vertices.double().requires_grad_()
    bar = torch.randn(vertices.shape, generator=torch.Generator().manual_seed(0)).double()
    for normals in (Mesh.vertex_normals, Mesh.face_normals):
        assert torch.autograd.gradcheck(
            lambda v, normals=normals: (
                normals(Mesh(v, faces))[: len(bar)] * bar[: len(faces)]
            ).sum(),
            vertices,
        )
