"""A tetrahedral grid in a box, and the surface of signed values on it."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from xbind.errors import XBindError
from xbind.scene.mesh.marching import marching_tetrahedra
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.mesh.tets import SAFE_OFFSET, cells_of, tetrahedral_grid

BOUNDARY_SDF = 1e-3
"""Least signed value on the surface of the box: the mesh is closed there, with a flat cap."""


class EmptySurface(XBindError):
    """There is no surface to extract."""


class TetShape(nn.Module):
    """A tetrahedral grid in a box, and the closed surface of signed values on it.

    `state_dict` holds the box and the cell counts.
    """

    box: Float[Tensor, "2 3"]
    cells: Int64[Tensor, " 3"]
    vertices: Float[Tensor, "v 3"]
    tets: Int64[Tensor, "t 4"]
    reach: Float[Tensor, "v 3"]
    is_boundary: Bool[Tensor, " v"]

    def __init__(
        self,
        box_min: Float[Tensor, " 3"],
        box_max: Float[Tensor, " 3"],
        resolution: int | tuple[int, int, int],
    ) -> None:
        """Fill a box with tetrahedra.

        Args:
            box_min: lowest corner, in scene units. Its device is the module's.
            box_max: highest corner.
            resolution: cells along the longest side (12 tetrahedra each), or along each axis.
        """
        super().__init__()
        cells = cells_of(box_min, box_max, resolution)
        self.register_buffer("box", torch.stack([box_min, box_max]))
        self.register_buffer("cells", torch.tensor(cells, device=box_min.device))
        for name in ("vertices", "tets", "reach", "is_boundary"):  # these follow from the two above
            self.register_buffer(name, None, persistent=False)
        self._build_grid()
        self.register_load_state_dict_post_hook(_rebuild_grid)  # type: ignore[no-untyped-call]

    @property
    def cell(self) -> float:
        """Mean side of a cell, in scene units."""
        return ((self.box[1] - self.box[0]) / self.cells).mean().item()

    def displaced(self, deformation: Float[Tensor, "v 3"]) -> Float[Tensor, "v 3"]:
        """Grid vertices, moved by tanh(`deformation`) times the largest offset at which no
        tetrahedron can turn over, and on the surface of the box not at all. Differentiable.
        """
        return self.vertices + deformation.tanh() * self.reach

    def surface_of(
        self, sdf: Float[Tensor, " v"], deformation: Float[Tensor, "v 3"], context: str
    ) -> Mesh:
        """The zero level of signed values as a closed mesh of positive volume.

        Args:
            sdf: negative inside. Values on the surface of the box are raised above 0.
            deformation: moves the grid's vertices: see `displaced`.
            context: what is going on, for the error message, such as "Phase II, step 120".

        Returns:
            The mesh, differentiable in both.

        Raises:
            EmptySurface: every signed value is positive.
        """
        inner = torch.where(self.is_boundary, sdf.clamp_min(BOUNDARY_SDF), sdf)
        mesh = marching_tetrahedra(self.displaced(deformation), inner, self.tets)
        if mesh.is_empty:
            raise EmptySurface(
                f"{context}: the surface is empty.\n"
                f"  wanted: a grid vertex inside the box with a negative signed value\n"
                f"  found:  {len(inner)} values from {inner.min():.3g} to {inner.max():.3g}\n"
                f"Lower the density threshold of the conversion, or the learning rate of this "
                f"phase if there was a surface before."
            )
        return mesh

    def _build_grid(self) -> None:
        """Fill the buffers that follow from the box and the cell counts."""
        x, y, z = self.cells.tolist()
        grid, device = tetrahedral_grid(self.box[0], self.box[1], (x, y, z)), self.box.device
        self.vertices, self.tets = grid.vertices.to(device), grid.tets.to(device)
        self.is_boundary = grid.is_boundary.to(device)
        is_free = ~self.is_boundary[:, None]
        self.reach = is_free * (SAFE_OFFSET * grid.cell.to(device))


def _rebuild_grid(module: nn.Module, _: object) -> None:
    """After a state was loaded: its box may be another one."""
    assert isinstance(module, TetShape)
    module._build_grid()
