"""A triangle mesh: vertices, faces, and what follows from them. No rendering, no files."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from xbind.kernels import edge_table

TINY = 1e-12
"""Twice the area, in squared scene units, below which float32 corners define no normal."""


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """Triangles wound counter-clockwise when seen from outside, in world coordinates."""

    vertices: Float[Tensor, "v 3"]
    """Positions in scene units; may require a gradient."""
    faces: Int[Tensor, "f 3"]
    """Indices into `vertices`, int64."""

    def to(self, device: torch.device | str) -> "Mesh":
        """The same mesh on another device."""
        return Mesh(self.vertices.to(device), self.faces.to(device))

    @property
    def is_empty(self) -> bool:
        """True if the mesh has no faces."""
        return len(self.faces) == 0

    def corners(self) -> Float[Tensor, "f 3 3"]:
        """The three corner positions of every face."""
        return _rows(self.vertices, self.faces)

    def face_normals(self) -> Float[Tensor, "f 3"]:
        """Unit outward normals; zero for a face without area. Differentiable in `vertices`."""
        return _unit(_doubled_areas(self.corners()))

    def vertex_normals(self) -> Float[Tensor, "v 3"]:
        """Area-weighted mean of the adjacent faces' normals, of unit length.

        Zero for a vertex without an adjacent face that has an area. Differentiable in `vertices`.
        """
        per_corner = _doubled_areas(self.corners()).repeat_interleave(3, 0)
        sums = torch.zeros_like(self.vertices).index_add(0, self.faces.flatten(), per_corner)
        return _unit(sums)

    def edges(self) -> Int[Tensor, "e 2"]:
        """Every edge once, as (lower, higher) vertex index, in increasing order."""
        keys = torch.unique(self._edge_keys())
        count = len(self.vertices)
        return torch.stack([keys // count, keys % count], -1)

    def edge_faces(self) -> Int[Tensor, "p 2"]:
        """The two faces at every edge that exactly two faces share, lower index first."""
        beyond = edge_table(self.faces).flatten()
        here = torch.arange(len(beyond), device=beyond.device)
        return torch.stack([here, beyond], -1)[here < beyond] // 3

    def volume(self) -> Float[Tensor, ""]:
        """Signed enclosed volume, positive when a closed mesh is wound outward."""
        a, b, c = self.corners().unbind(1)
        return (a * torch.linalg.cross(b, c)).sum() / 6

    def _edge_keys(self) -> Int[Tensor, " n"]:
        """Returns an index per undirected edge, for each face's three sides in turn."""
        start, end = self.faces, self.faces.roll(-1, 1)
        low, high = torch.minimum(start, end), torch.maximum(start, end)
        return (low * len(self.vertices) + high).flatten()


def _rows(values: Float[Tensor, "v c"], index: Int[Tensor, "f 3"]) -> Float[Tensor, "f 3 c"]:
    # index_select, because the backward of plain indexing adds in thread order: not deterministic.
    return values.index_select(0, index.flatten()).view(*index.shape, values.shape[-1])


def _doubled_areas(corners: Float[Tensor, "f 3 3"]) -> Float[Tensor, "f 3"]:
    """Normals as long as twice the face's area."""
    a, b, c = corners.unbind(1)
    return torch.linalg.cross(b - a, c - a)


def _unit(x: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """Unit vectors; zero, with zero gradient, where `x` has no length."""
    squared = (x * x).sum(-1, keepdim=True)
    has_length = squared > TINY * TINY
    # The inner `where` keeps sqrt away from 0, where its gradient is infinite.
    return torch.where(has_length, x * torch.where(has_length, squared, 1.0).rsqrt(), 0.0)
