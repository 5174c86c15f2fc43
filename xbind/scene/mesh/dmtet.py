"""DMTet: a surface as signed values and small offsets on a tetrahedral grid."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from xbind.errors import XBindError
from xbind.scene.mesh.marching import marching_tetrahedra
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.mesh.tets import SAFE_OFFSET, cells_of, tetrahedral_grid

DensityField = Callable[[Float[Tensor, "n 3"]], Float[Tensor, " n"]]
"""Density, in inverse scene units, at world positions."""

CHUNK = 65_536
"""Positions for which a density field is asked at a time."""
BOUNDARY_SDF = 1e-3
"""Least signed value on the surface of the box: the mesh is closed there, with a flat cap."""


class EmptySurface(XBindError):
    """There is no surface to extract."""


class DMTet(nn.Module):
    """A closed surface inside a box, differentiable in its parameters.

    `sdf` is negative inside. `deformation` moves each grid vertex by tanh(·) times the largest
    offset at which no tetrahedron can turn over, and vertices on the box's surface not at all.
    `state_dict` holds the box and the cell counts, so a saved state is complete (`from_state`).
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
        """An empty box: every signed value is 1.

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
        self.sdf = nn.Parameter(self.vertices.new_ones(len(self.vertices)))
        self.deformation = nn.Parameter(torch.zeros_like(self.vertices))
        self.register_load_state_dict_post_hook(_rebuild_grid)  # type: ignore[no-untyped-call]

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> "DMTet":
        """Rebuild from a `state_dict`, whatever its box and resolution."""
        x, y, z = state["cells"].tolist()
        module = cls(state["box"][0], state["box"][1], (x, y, z))
        module.load_state_dict(state)
        return module

    @classmethod
    def from_density(
        cls,
        density_at: DensityField,
        box_min: Float[Tensor, " 3"],
        box_max: Float[Tensor, " 3"],
        resolution: int,
        *,
        threshold: float,
        smoothing: int,
    ) -> "DMTet":
        """Start from the level set of a density: sdf = clamp(−(density − threshold), −1, 1).

        A trained density passes the threshold within a fraction of a cell, so the clamp leaves
        little but signs: a surface of steps in the middle of the grid edges, whose face normals are
        33° off (root mean square, sphere of 28 cells). `smooth_sdf` makes distances of it: 5° after
        3 passes.

        Args:
            density_at: asked without gradient, in chunks.
            box_min: lowest corner of the grid (see `find_box`), in scene units.
            box_max: highest corner.
            resolution: cells along the longest side.
            threshold: density of the surface. 10 belongs to a softplus density on a scene of
                radius 1.
            smoothing: passes of `smooth_sdf` (not in the paper); 0 leaves the clamped field.
        """
        module = cls(box_min, box_max, resolution)
        with torch.no_grad():
            sdf = (threshold - _in_chunks(density_at, module.vertices)).clamp(-1, 1)
            module.sdf.copy_(module._smoothed(sdf, smoothing) if smoothing else sdf)
        return module

    def positions(self) -> Float[Tensor, "v 3"]:
        """Grid vertices, displaced. Differentiable in `deformation`."""
        return self.vertices + self.deformation.tanh() * self.reach

    def extract(self, context: str = "DMTet") -> Mesh:
        """The surface as a closed mesh of positive volume, differentiable in both parameters.

        Args:
            context: what is going on, for the error message, such as "Phase II, step 120".

        Raises:
            EmptySurface: every signed value is positive.
        """
        sdf = torch.where(self.is_boundary, self.sdf.clamp_min(BOUNDARY_SDF), self.sdf)
        mesh = marching_tetrahedra(self.positions(), sdf, self.tets)
        if mesh.is_empty:
            raise EmptySurface(
                f"{context}: the surface is empty.\n"
                f"  wanted: a grid vertex inside the box with a negative signed value\n"
                f"  found:  {len(sdf)} values from {sdf.min():.3g} to {sdf.max():.3g}\n"
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

    def _smoothed(self, sdf: Float[Tensor, " v"], passes: int) -> Float[Tensor, " v"]:
        cell = ((self.box[1] - self.box[0]) / self.cells).mean()
        return smooth_sdf(sdf, self.vertices, self.tets, cell.item(), passes)


def _rebuild_grid(module: nn.Module, _: object) -> None:
    """After a state was loaded: its box may be another one."""
    assert isinstance(module, DMTet)
    module._build_grid()


def smooth_sdf(
    sdf: Float[Tensor, " v"],
    vertices: Float[Tensor, "v 3"],
    tets: Int64[Tensor, "t 4"],
    cell: float,
    passes: int,
) -> Float[Tensor, " v"]:
    """Blur a field of signs over the grid and rescale it to distances from its zero level.

    Each pass averages over the tetrahedra around a vertex, a blur of variance 5/24 cell². The
    result is divided by the median slope at the surface and clamped to [−1, 1]: about the signed
    distance in cells, which is also a good scale to optimise in. A convex part shrinks, by passes ·
    5/48 cell² times the sum of its principal curvatures: after 3 passes a ball 20 cells across has
    lost a sixteenth of a cell all around. Not in the paper.

    Args:
        sdf: signed values, negative inside.
        vertices: positions of the grid, in scene units.
        tets: its tetrahedra.
        cell: side of a cell, in scene units.
        passes: how often to average.

    Returns:
        A new field; unchanged in meaning when there is no surface to measure the slope at.
    """
    uses = torch.bincount(tets.flatten(), minlength=len(sdf))
    for _ in range(passes):
        per_corner = sdf[tets].mean(1, keepdim=True).expand(-1, 4)
        sums = torch.zeros_like(sdf).index_add_(0, tets.flatten(), per_corner.flatten())
        sdf = sums / uses
    corners, values = vertices[tets], sdf[tets]
    is_cut = (values < 0).any(1) & (values >= 0).any(1)
    if not is_cut.any():
        return sdf
    sides, rise = (x[is_cut, 1:] - x[is_cut, :1] for x in (corners, values[..., None]))
    slope: Tensor = torch.linalg.solve(sides, rise).norm(dim=1).median()
    return (sdf / (slope * cell)).clamp(-1, 1)


def find_box(
    density_at: DensityField,
    radius: float,
    threshold: float,
    *,
    resolution: int,
    margin: float,
    context: str = "Converting the density to a mesh",
    device: torch.device | str = "cpu",
) -> tuple[Float[Tensor, " 3"], Float[Tensor, " 3"]]:
    """The tight box around a density's level set, widened.

    Args:
        density_at: asked without gradient on a regular lattice over the cube.
        radius: half the side of the cube [−radius, radius]³, in scene units.
        threshold: density of the surface.
        resolution: lattice points along each side; smaller parts may be missed.
        margin: widening on each side, as a share of the box's sides. The cube limits it.
        context: what is going on, for the error message.
        device: where the density is asked.

    Returns:
        Lowest and highest corner, in scene units.

    Raises:
        EmptySurface: the density is nowhere above the threshold.
    """
    line = torch.linspace(-radius, radius, resolution, device=device)
    lattice = torch.cartesian_prod(line, line, line)
    with torch.no_grad():
        density = _in_chunks(density_at, lattice)
    solid = lattice[density > threshold]
    if len(solid) == 0:
        raise EmptySurface(
            f"{context}: the surface is empty.\n"
            f"  wanted: density above {threshold:g} somewhere within {radius:g} of the centre\n"
            f"  found:  {density.max():.3g} at most\n"
            f"Lower the threshold, or run the phase before for longer."
        )
    spacing = 2 * radius / (resolution - 1)  # the level set may lie this far beyond the last point
    low, high = solid.amin(0) - spacing, solid.amax(0) + spacing
    pad = margin * (high - low)
    return (low - pad).clamp_min(-radius), (high + pad).clamp_max(radius)


def _in_chunks(field: DensityField, positions: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
    return torch.cat([field(part) for part in torch.split(positions, CHUNK)])
