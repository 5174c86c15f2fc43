"""Spheres of triangles."""

import itertools

import torch


def sphere(subdivisions, radius=1.0):
    """Vertices and faces of an octahedron, each face split in four `subdivisions` times.

    Closed, wound outward, its vertices on the sphere of `radius`: 8 · 4ⁿ faces.
    """
    corners = torch.stack([_octant(*signs) for signs in itertools.product((1, -1), repeat=3)])
    for _ in range(subdivisions):
        a, b, c = corners.unbind(1)
        ab, bc, ca = (
            torch.nn.functional.normalize(x + y, dim=-1) for x, y in ((a, b), (b, c), (c, a))
        )
        parts = ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))
        corners = torch.cat([torch.stack(part, 1) for part in parts])
    flat = corners.reshape(-1, 3)
    _, faces = (flat * 2**20).round().unique(dim=0, return_inverse=True)
    vertices = torch.zeros(int(faces.max()) + 1, 3, dtype=flat.dtype)
    vertices[faces] = flat
    return radius * vertices.float(), faces.view(-1, 3)


def _octant(x, y, z):
    """The face between three half-axes, wound outward."""
    axes = torch.diag(torch.tensor([x, y, z], dtype=torch.float64))
    return axes if x * y * z > 0 else axes.flip(0)
