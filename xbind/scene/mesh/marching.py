"""Marching tetrahedra: the zero level of a function on a tetrahedral grid, as a triangle mesh."""

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64
from numpy.typing import NDArray
from torch import Tensor

from xbind.scene.mesh.mesh import Mesh

Impl = Literal["auto", "reference", "numba"]


def marching_tetrahedra(
    vertices: Float[Tensor, "v 3"],
    sdf: Float[Tensor, " v"],
    tets: Int64[Tensor, "t 4"],
    *,
    impl: Impl = "auto",
) -> Mesh:
    """Extract the surface that parts sdf < 0 (inside) from sdf ≥ 0, piecewise linear.

    Every grid edge from an inside end a to an outside end b carries one vertex, at
    p = p_a + s_a / (s_a − s_b) · (p_b − p_a). An exact zero is outside, so s_a − s_b < 0 always and
    nothing is divided by zero. On a conforming grid the mesh is closed and manifold, except for an
    open boundary where the surface leaves the grid.

    Args:
        vertices: grid positions, in scene units.
        sdf: signed values at the grid vertices, in any unit.
        tets: vertex indices of tetrahedra of positive volume (`tets.tetrahedral_grid`).
        impl: `auto` is numba for CPU tensors and plain torch elsewhere. Both return the same
            triangles in the same order; only the numbering of the mesh vertices differs.

    Returns:
        The mesh, wound so that a closed one has positive volume; empty when no sign changes.
        Differentiable in `vertices` and `sdf` (the choice of triangles is not).
    """
    triangles, counts = case_table()
    is_inside = sdf.detach() < 0
    if impl == "numba" or (impl == "auto" and sdf.device.type == "cpu"):
        from xbind.scene.mesh.marching_numba import surface_topology

        edges, faces = surface_topology(is_inside.numpy(), tets.numpy(), triangles, counts)
        return Mesh(_on_edges(vertices, sdf, torch.from_numpy(edges)), torch.from_numpy(faces))
    edge_ids, faces_ = _reference_topology(is_inside, tets, torch.from_numpy(triangles).to(tets))
    return Mesh(_on_edges(vertices, sdf, edge_ids), faces_)


@lru_cache(maxsize=1)
def case_table() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Triangles for each of the 16 ways to part a tetrahedron's corners.

    Bit k of a case says that corner k is inside. Derived on the tetrahedron (0, x, y, z), of
    positive volume: the cut edges in ring order, turned so that the normal points outside.

    Returns:
        [16, 2, 3, 2] the (inside, outside) corners of each triangle's edges, 0 where unused;
        [16] triangles per case.
    """
    table, counts = np.zeros((16, 2, 3, 2), np.int64), np.zeros(16, np.int64)
    for case in range(1, 15):
        ring = _outward_ring(case)
        fan = [(ring[0], ring[k], ring[k + 1]) for k in range(1, len(ring) - 1)]
        table[case, : len(fan)], counts[case] = fan, len(fan)
    return table, counts


def _outward_ring(case: int) -> list[tuple[int, int]]:
    """The cut edges of a case, as (inside, outside) corners, anticlockwise seen from outside."""
    inside = [k for k in range(4) if case >> k & 1]
    outside = [k for k in range(4) if not case >> k & 1]
    if len(inside) == 2:  # neighbours in the ring share a corner, hence a face of the tetrahedron
        (a, b), (c, d) = inside, outside
        ring = [(a, c), (a, d), (b, d), (b, c)]
    else:
        ring = [(a, c) for a in inside for c in outside]
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    p0, p1, p2 = (corners[list(edge)].mean(0) for edge in ring[:3])
    outward = corners[outside].mean(0) - corners[inside].mean(0)
    return ring if np.cross(p1 - p0, p2 - p0) @ outward > 0 else ring[::-1]


def _reference_topology(
    is_inside: Bool[Tensor, " v"], tets: Int64[Tensor, "t 4"], triangles: Int64[Tensor, "16 2 3 2"]
) -> tuple[Int64[Tensor, "e 2"], Int64[Tensor, "f 3"]]:
    """Cut edges, inside end first, and triangles over them: the definition, on any device."""
    bits = is_inside[tets].long() << torch.arange(4, device=tets.device)
    case = bits.sum(1)
    is_cut = (case > 0) & (case < 15)
    corners = triangles[case[is_cut]]  # [t', 2, 3, 2]
    ends = tets[is_cut].gather(1, corners.flatten(1)).view_as(corners)
    ends = ends[corners[..., 0].ne(corners[..., 1]).all(-1)]  # unused slots hold (0, 0)
    count = len(is_inside)
    keys, faces = torch.unique(ends[..., 0] * count + ends[..., 1], return_inverse=True)
    return torch.stack([keys // count, keys % count], 1), faces


def _on_edges(
    vertices: Float[Tensor, "v 3"], sdf: Float[Tensor, " v"], edges: Int[Tensor, "e 2"]
) -> Float[Tensor, "e 3"]:
    """Returns the zeros of `sdf`, interpolated linearly, on edges with one end inside and one
    outside."""
    inside, outside = edges.unbind(1)
    # index_select, because the backward of plain indexing adds in thread order: not deterministic.
    s_in, s_out = sdf.index_select(0, inside), sdf.index_select(0, outside)
    p_in, p_out = vertices.index_select(0, inside), vertices.index_select(0, outside)
    return torch.lerp(p_in, p_out, (s_in / (s_in - s_out))[:, None])
