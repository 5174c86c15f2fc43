"""A surface whose signed values and offsets are outputs of a network (Fantasia3D)."""

import torch
from jaxtyping import Float
from torch import Tensor

from xbind.config.scene import FieldConfig
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.mesh.tet_shape import TetShape
from xbind.scene.nerf.field import HashNetwork

_OUTPUTS = 4  # a signed value and three offsets


class NetworkSdf(TetShape):
    """A closed surface in a cube, differentiable in the parameters of a network.

    The signed value of a grid vertex is the network's first output, in cells, plus the distance to
    an ellipsoid in cells; the other three are its deformation. The network begins near zero, so the
    shape begins as the ellipsoid, without the fit to it that Fantasia3D does first.
    """

    def __init__(
        self,
        field: FieldConfig,
        radii: tuple[float, float, float],
        half_side: float,
        resolution: int,
        *,
        generator: torch.Generator,
    ) -> None:
        """Draw the network's first weights, on the generator's device.

        Args:
            field: of the network; its cube must hold that of the grid.
            radii: half axes of the ellipsoid along x, y and z, in scene units.
            half_side: half the side of the grid's cube, in scene units.
            resolution: cells along a side.
            generator: source of the weights.

        Raises:
            ValueError: the grid reaches out of the network's cube, or the ellipsoid out of the
                grid's.
        """
        if half_side > field.radius:
            raise ValueError(f"half_side must be at most {field.radius:g}, got {half_side:g}")
        if max(radii) > half_side:
            raise ValueError(f"radii must be at most {half_side:g}, got {radii}")
        corner = torch.full((3,), half_side, device=generator.device)
        super().__init__(-corner, corner, resolution)
        self.network = HashNetwork(field, field.heads, generator=generator)
        self._radii = radii

    def extract(self, context: str = "NetworkSdf") -> Mesh:
        """The surface as a closed mesh of positive volume, differentiable in the parameters.

        The network is asked at every vertex of the grid.

        Args:
            context: what is going on, for the error message, such as "Phase II, step 120".

        Raises:
            EmptySurface: every signed value is positive.
        """
        output = self.network.raw(self.vertices, _OUTPUTS)
        start = ellipsoid_distance(self.vertices, self._radii) / self.cell
        return self.surface_of(start + output[:, 0], output[:, 1:], context)


def ellipsoid_distance(
    x: Float[Tensor, "n 3"], radii: tuple[float, float, float]
) -> Float[Tensor, " n"]:
    """Distance to an ellipsoid around the origin, negative inside, to first order.

    With s the half axes:  d = k (k − 1) / |x / s²|,  k = |x / s|

    On the surface value and slope are those of the distance; for a sphere it is exact.

    Args:
        x: world positions.
        radii: s, in scene units.

    Returns:
        d in scene units; −min(s) at the centre, where the formula has no value.
    """
    s = x.new_tensor(radii)
    k = (x / s).norm(dim=-1)
    slope = (x / s**2).norm(dim=-1)
    is_centre = slope == 0
    distance = k * (k - 1) / torch.where(is_centre, 1.0, slope)
    return torch.where(is_centre, -min(radii), distance)
