"""DMTet: a surface as free signed values and small offsets on a tetrahedral grid."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from xbind.scene.mesh.mesh import Mesh
from xbind.scene.mesh.tet_shape import EmptySurface, TetShape

DensityField = Callable[[Float[Tensor, "n 3"]], Float[Tensor, " n"]]
"""Density, in inverse scene units, at world positions."""
SignedDistance = Callable[[Float[Tensor, "n 3"]], Float[Tensor, " n"]]
"""Distance to a surface at world positions, in scene units, negative inside."""

CHUNK = 65_536
"""Positions for which a density field is asked at a time."""


class DMTet(TetShape):
    """A closed surface inside a box, differentiable in its parameters.

    `sdf` and `deformation` are free numbers at the grid's vertices: see `TetShape.surface_of`.
    A saved state is complete (`from_state`).
    """

    def __init__(
        self,
        box_min: Float[Tensor, " 3"],
        box_max: Float[Tensor, " 3"],
        resolution: int | tuple[int, int, int],
    ) -> None:
        """An empty box: every signed value is 1. The arguments are those of `TetShape`."""
        super().__init__(box_min, box_max, resolution)
        self.sdf = nn.Parameter(self.vertices.new_ones(len(self.vertices)))
        self.deformation = nn.Parameter(torch.zeros_like(self.vertices))

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

    @classmethod
    def from_sdf(
        cls,
        sdf_at: SignedDistance,
        box_min: Float[Tensor, " 3"],
        box_max: Float[Tensor, " 3"],
        resolution: int,
    ) -> "DMTet":
        """Start from the zero level of a signed distance: sdf = clamp(distance / cell, −1, 1).

        Args:
            sdf_at: asked without gradient, in chunks.
            box_min: lowest corner of the grid, in scene units.
            box_max: highest corner.
            resolution: cells along the longest side.
        """
        module = cls(box_min, box_max, resolution)
        with torch.no_grad():
            distance = _in_chunks(sdf_at, module.vertices)
            module.sdf.copy_((distance / module.cell).clamp(-1, 1))
        return module

    def positions(self) -> Float[Tensor, "v 3"]:
        """Grid vertices, displaced. Differentiable in `deformation`."""
        return self.displaced(self.deformation)

    def extract(self, context: str = "DMTet") -> Mesh:
        """The surface as a closed mesh of positive volume, differentiable in both parameters.

        Args:
            context: what is going on, for the error message, such as "Phase II, step 120".

        Raises:
            EmptySurface: every signed value is positive.
        """
        return self.surface_of(self.sdf, self.deformation, context)

    def _smoothed(self, sdf: Float[Tensor, " v"], passes: int) -> Float[Tensor, " v"]:
        return smooth_sdf(sdf, self.vertices, self.tets, self.cell, passes)


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
    lattice = _lattice(radius, resolution, device)
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


def mean_density(
    density_at: DensityField,
    radius: float,
    *,
    resolution: int,
    least_density: float,
    device: torch.device | str = "cpu",
) -> float:
    """Mean of the densities above `least_density`: threestudio's level `auto` of a surface.

    Args:
        density_at: asked without gradient on the lattice of `find_box`.
        radius: half the side of the cube [−radius, radius]³, in scene units.
        resolution: lattice points along each side.
        least_density: in inverse scene units (threestudio: 1e-5).
        device: where the density is asked.

    Returns:
        The mean, in inverse scene units; `least_density` where nothing exceeds it.
    """
    with torch.no_grad():
        density = _in_chunks(density_at, _lattice(radius, resolution, device))
    counted = density[density > least_density]
    return counted.mean().item() if len(counted) > 0 else least_density


def _lattice(radius: float, resolution: int, device: torch.device | str) -> Float[Tensor, "n 3"]:
    """Points at equal steps over the cube."""
    line = torch.linspace(-radius, radius, resolution, device=device)
    return torch.cartesian_prod(line, line, line)


def _in_chunks(field: DensityField, positions: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
    return torch.cat([field(part) for part in torch.split(positions, CHUNK)])
