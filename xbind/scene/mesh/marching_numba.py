"""The combinatorial half of marching tetrahedra on the CPU, compiled on first use."""

from typing import no_type_check

import numpy as np
from numpy.typing import NDArray

from xbind.system.jit import cached_njit

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2⁶⁴ / golden ratio: the top bits of its multiples are spread evenly (Fibonacci hashing)."""


@cached_njit()
@no_type_check  # numba cannot compile what a run-time type checker has wrapped
def _cut_tets(is_inside: NDArray[np.uint8], tets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices of the tetrahedra with corners on both sides."""
    cut = np.empty(tets.shape[0] + 1, np.int64)
    count = 0
    for i in range(tets.shape[0]):
        inside = 0
        for k in range(4):
            inside += is_inside[tets[i, k]]
        cut[count] = i  # stored always and kept by the count: no branch to mispredict
        count += (inside > 0) & (inside < 4)
    return cut[:count]


@cached_njit()
@no_type_check  # numba cannot compile what a run-time type checker has wrapped
def _triangulate(
    is_inside: NDArray[np.uint8],
    tets: NDArray[np.int64],
    cut: NDArray[np.int64],
    triangles: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Triangles of the cut tetrahedra over edges that are numbered by first appearance.

    An edge is found again in a hash table with linear probing, keyed by its two end points.
    """
    bits = 4
    while (1 << bits) < 8 * cut.size:  # at most four edges each: never more than half full
        bits += 1
    keys, ids = np.full(1 << bits, -1, np.int64), np.empty(1 << bits, np.int64)
    edges = np.empty((4 * cut.size, 2), np.int64)
    faces = np.empty((2 * cut.size, 3), np.int64)
    e = f = 0
    for i in cut:
        case = 0
        for k in range(4):
            case |= np.int64(is_inside[tets[i, k]]) << k
        for j in range(counts[case]):
            for corner in range(3):
                a = tets[i, triangles[case, j, corner, 0]]
                b = tets[i, triangles[case, j, corner, 1]]
                key = a * len(is_inside) + b
                slot = (np.uint64(key) * GOLDEN) >> np.uint64(64 - bits)
                while keys[slot] != -1 and keys[slot] != key:
                    slot = (slot + np.uint64(1)) & np.uint64((1 << bits) - 1)
                if keys[slot] == -1:
                    keys[slot], ids[slot] = key, e
                    edges[e, 0], edges[e, 1] = a, b
                    e += 1
                faces[f, corner] = ids[slot]
            f += 1
    return edges[:e].copy(), faces[:f].copy()


def surface_topology(
    is_inside: NDArray[np.bool_],
    tets: NDArray[np.int64],
    triangles: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut edges [e, 2] (inside end first, by first appearance) and triangles [f, 3] over them.

    Args:
        is_inside: per vertex [v].
        tets: vertex indices [t, 4].
        triangles: the case table [16, 2, 3, 2]: case, triangle, corner, (inside, outside) end.
        counts: triangles per case [16].
    """
    inside = is_inside.view(np.uint8)
    edges, faces = _triangulate(inside, tets, _cut_tets(inside, tets), triangles, counts)
    return edges, faces
