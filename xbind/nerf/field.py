"""The radiance field: density and colour at any point, from a hash grid and a small MLP."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from xbind.kernels import grid_mlp

TABLE_SPREAD = 1e-4
"""The features start uniformly in ± this (Instant-NGP), so the field starts as its blob."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldConfig:
    """Size of the field and the shape it starts from."""

    radius: float = 0.85
    """Half the side of the cube that the hash grid covers, and radius of the ball that is rendered,
    in scene units."""
    levels: int = 6
    """Resolutions of the hash grid."""
    features: int = 2
    """Learned numbers per grid vertex."""
    base_resolution: int = 12
    """Cells along a side of the coarsest grid."""
    finest_resolution: int = 96
    """Cells along a side of the finest grid."""
    log2_entries: int = 15
    """Binary logarithm of each level's table size; a level with more vertices is hashed."""
    hidden: int = 32
    """Width of the MLP's one hidden layer."""
    density_scale: float = 10.0
    """What the softplus is multiplied with (not in the paper): within a few hundred steps the raw
    density moves by a few units, and a surface has to grow hard by then."""
    blob_density: float = 5.0
    """Added to the raw density at the centre (Magic3D: 10, without a scale)."""
    blob_radius: float = 0.4
    """Distance from the centre at which nothing is added, in scene units (Magic3D: 0.5)."""

    def __post_init__(self) -> None:
        if not 1 <= self.base_resolution <= self.finest_resolution:
            raise ValueError(
                f"base_resolution must be in 1 … finest_resolution = {self.finest_resolution}, "
                f"got {self.base_resolution}"
            )
        sizes = ("radius", "levels", "features", "log2_entries", "hidden")
        for name in (*sizes, "density_scale", "blob_radius"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Of each level, in geometric progression from the coarsest to the finest."""
        growth = self.finest_resolution / self.base_resolution
        steps = max(self.levels - 1, 1)
        return tuple(
            round(self.base_resolution * growth ** (k / steps)) for k in range(self.levels)
        )


class HashField(nn.Module):
    """Density and colour in the cube [−radius, radius]³, on the device of the generator given."""

    def __init__(self, config: FieldConfig, *, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        encoded = config.levels * config.features

        def uniform(bound: float, *shape: int) -> nn.Parameter:
            drawn = torch.rand(shape, generator=generator, device=generator.device)
            return nn.Parameter((2 * drawn - 1) * bound)

        self.table = uniform(TABLE_SPREAD, config.levels, 2**config.log2_entries, config.features)
        # He's bound for a layer that a ReLU follows; the last layer keeps the variance
        self.hidden_weight = uniform((6 / encoded) ** 0.5, config.hidden, encoded)
        self.output_weight = uniform((3 / config.hidden) ** 0.5, 4, config.hidden)

    def forward(self, x: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 3"]]:
        """Density (per scene unit, ≥ 0) and colour (in [0, 1]) at world positions.

        Differentiable in the parameters and in `x`.
        """
        output = self._network(x)
        return self._density(output[:, 0] + self._blob(x)), output[:, 1:].sigmoid()

    def density(self, x: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        """Density alone: the scaled softplus of `raw_density`."""
        return self._density(self.raw_density(x))

    def raw_density(self, x: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        """What the softplus is given: the network's first output plus the blob.

        Blob (Magic3D):  blob_density · (1 − |x| / blob_radius)
        """
        return self._network(x, outputs=1)[:, 0] + self._blob(x)

    def _density(self, raw: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        return self.config.density_scale * functional.softplus(raw)

    def _network(self, x: Float[Tensor, "n 3"], outputs: int = 4) -> Float[Tensor, "n o"]:
        unit = x / (2 * self.config.radius) + 0.5
        return grid_mlp(
            unit, self.table, self.hidden_weight, self.output_weight[:outputs],
            self.config.resolutions,
        )  # fmt: skip

    def _blob(self, x: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        return self.config.blob_density * (1 - x.norm(dim=-1) / self.config.blob_radius)
