"""Surfaces whose area, volume and shape are known, and what a mesh must satisfy to be one."""

from collections import Counter

import torch

from xbind.scene.mesh.mesh import Mesh
from xbind.scene.mesh.tets import TetrahedralGrid, tetrahedral_grid

GOLDEN = (1 + 5**0.5) / 2


def cube_grid(resolution, half=1.0) -> TetrahedralGrid:
    return tetrahedral_grid(-half * torch.ones(3), half * torch.ones(3), resolution)


def sphere_sdf(x, radius=0.7):
    return x.norm(dim=-1) - radius


def torus_sdf(x, major=0.6, minor=0.25):
    return torch.hypot(torch.hypot(x[:, 0], x[:, 1]) - major, x[:, 2]) - minor


def icosahedron() -> Mesh:
    """Of circumradius 1, in float64, wound outward."""
    signs = [(a, b) for a in (-1.0, 1.0) for b in (-1.0, 1.0)]
    corners = [p for a, b in signs for p in ((0, a, b * GOLDEN), (a, b * GOLDEN, 0))]
    corners += [(b * GOLDEN, 0, a) for a, b in signs]
    vertices = torch.tensor(corners, dtype=torch.float64)
    near = torch.cdist(vertices, vertices).sub(2).abs() < 1e-9  # the sides are 2 long
    faces = []
    for a in range(12):
        for b in range(a + 1, 12):
            for c in range(b + 1, 12):
                if near[a, b] and near[b, c] and near[a, c]:
                    outward = torch.linalg.det(vertices[[a, b, c]]) > 0
                    faces.append((a, b, c) if outward else (a, c, b))
    return Mesh(vertices / vertices[0].norm(), torch.tensor(faces))


def cube() -> Mesh:
    """The cube [−1, 1]³ of 12 triangles, in float64, wound outward."""
    bits = torch.arange(8)[:, None] >> torch.arange(3) & 1
    quads = [(0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5)]
    faces = [f for a, b, c, d in quads for f in ((a, b, c), (a, c, d))]
    return Mesh(2.0 * bits.double() - 1, torch.tensor(faces))


def half_edges(mesh: Mesh) -> Counter:
    """How often each directed side occurs."""
    return Counter(side for a, b, c in mesh.faces.tolist() for side in ((a, b), (b, c), (c, a)))


def is_closed_manifold(mesh: Mesh) -> bool:
    """Every directed side once, its reverse once, and one fan of faces around each vertex."""
    sides = half_edges(mesh)
    if set(sides.values()) != {1} or any((b, a) not in sides for a, b in sides):
        return False
    following = {(a, b): c for f in mesh.faces.tolist() for a, b, c in _turns(f)}
    degree = Counter(a for a, _ in sides)
    return all(_fan_size(following, a, b) == degree[a] for a, b in sides)


def euler_characteristic(mesh: Mesh) -> int:
    undirected = {frozenset(side) for side in half_edges(mesh)}
    return len(set(mesh.faces.flatten().tolist())) - len(undirected) + len(mesh.faces)


def area(mesh: Mesh) -> float:
    a, b, c = mesh.vertices.detach().double()[mesh.faces].unbind(1)
    return torch.linalg.cross(b - a, c - a).norm(dim=-1).sum().item() / 2


def _turns(face):
    a, b, c = face
    return (a, b, c), (b, c, a), (c, a, b)


def _fan_size(following, centre, start):
    """Faces met when walking around `centre` from the side (centre, start) back to it."""
    size, at = 1, following[centre, start]
    while at != start:
        size, at = size + 1, following[centre, at]
    return size
