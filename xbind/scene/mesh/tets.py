"""Tetrahedral grids, generated for any box at any resolution."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray
from torch import Tensor

SAFE_OFFSET = 0.225
"""Largest movement of an inner vertex along each axis, in cells, that inverts no tetrahedron.

A body-centred tetrahedron is half a cell wide across each pair of opposite edges, so two sides that
approach by a quarter of a cell each just meet; this is nine tenths of that.
"""

_QUAD = ((0, 0), (1, 0), (1, 1), (0, 1))
"""The corners of a cell's face, anticlockwise seen from the positive side of its axis."""


@dataclass(frozen=True, slots=True, eq=False)
class TetrahedralGrid:
    """A conforming mesh of tetrahedra that fills a box, every one of positive volume."""

    vertices: Float[Tensor, "v 3"]
    """World positions."""
    tets: Int64[Tensor, "t 4"]
    """Vertex indices; det(p1 − p0, p2 − p0, p3 − p0) > 0."""
    cell: Float[Tensor, " 3"]
    """Sides of one cell, in scene units."""
    is_boundary: Bool[Tensor, " v"]
    """True for vertices on the surface of the box."""


def cells_of(
    box_min: Float[Tensor, " 3"],
    box_max: Float[Tensor, " 3"],
    resolution: int | tuple[int, int, int],
) -> tuple[int, int, int]:
    """Cells along each axis: `resolution` along the longest side, nearly cubes along the others.

    Raises:
        ValueError: the box is empty or a resolution is below 1.
    """
    extent = (box_max - box_min).double()
    per_axis = resolution if isinstance(resolution, tuple) else (resolution,) * 3
    if min(per_axis) < 1 or not bool((extent > 0).all()):
        raise ValueError(f"no grid of resolution {resolution} in a box of sides {extent.tolist()}")
    if isinstance(resolution, tuple):
        return resolution
    x, y, z = (extent / extent.max() * resolution).round().clamp_min(1).long().tolist()
    return x, y, z


def tetrahedral_grid(
    box_min: Float[Tensor, " 3"],
    box_max: Float[Tensor, " 3"],
    resolution: int | tuple[int, int, int],
) -> TetrahedralGrid:
    """Fill a box with a body-centred cubic (BCC) grid of tetrahedra.

    The vertices are the corners and the centres of n = nx·ny·nz cells. Two cells that share a face
    give four tetrahedra around the segment between their centres, all congruent (dihedral angles
    60° and 90°); on the box's surface half of such a ring remains, cut in two. There are 12 n.

    Args:
        box_min: lowest corner, in scene units.
        box_max: highest corner.
        resolution: cells along the longest side, or along each axis.

    Returns:
        The grid on the CPU, vertices in float32.

    Raises:
        ValueError: the box is empty or the resolution below 1.
    """
    cells = cells_of(box_min, box_max, resolution)
    unit, is_boundary = _unit_vertices(cells)
    low, extent = box_min.double().cpu(), (box_max - box_min).double().cpu()
    return TetrahedralGrid(
        (low + torch.from_numpy(unit) * extent).float(),
        torch.from_numpy(np.concatenate([_tets_across(axis, cells) for axis in range(3)])),
        (extent / torch.tensor(cells, device=extent.device)).float(),
        torch.from_numpy(is_boundary),
    )


def _unit_vertices(
    cells: tuple[int, int, int],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Corners, then centres, of the cells of the unit cube [v, 3]; and which lie on its surface."""
    corners = np.indices([n + 1 for n in cells]).reshape(3, -1).T
    centres = np.indices(cells).reshape(3, -1).T + 0.5
    vertices = np.concatenate([corners, centres])
    is_boundary = ((vertices == 0) | (vertices == cells)).any(-1)
    return vertices / cells, is_boundary


def _tets_across(axis: int, cells: tuple[int, int, int]) -> NDArray[np.int64]:
    """All tetrahedra that touch the cell faces perpendicular to `axis`."""
    order = [axis, (axis + 1) % 3, (axis + 2) % 3]
    corners = (cells[0] + 1, cells[1] + 1, cells[2] + 1)
    corner_step, centre_step = _strides(corners)[order], _strides(cells)[order]
    faces = np.indices([cells[axis] + 1, *(cells[k] for k in order[1:])]).reshape(3, -1)
    quad = [corner_step @ faces + corner_step[1:] @ offset for offset in _QUAD]
    high = math.prod(corners) + centre_step @ faces
    low = high - centre_step[0]

    first, last = faces[0] == 0, faces[0] == cells[axis]  # no `low`, no `high` there
    inner = ~(first | last)
    rings = [np.stack([low, high, quad[k], quad[(k + 1) % 4]], -1)[inner] for k in range(4)]
    bottom = [np.stack([quad[0], quad[k], quad[k + 1], high], -1)[first] for k in (1, 2)]
    top = [np.stack([quad[0], quad[k + 1], quad[k], low], -1)[last] for k in (1, 2)]
    return np.concatenate(rings + bottom + top)


def _strides(shape: tuple[int, int, int]) -> NDArray[np.int64]:
    """Returns the strides of the axes in the flattened array."""
    return np.array([shape[1] * shape[2], shape[2], 1])
