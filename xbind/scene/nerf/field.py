"""The radiance field: density and colour at any point, from a hash grid and small MLPs."""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from xbind.config.scene import FieldConfig
from xbind.kernels import grid_mlp, hash_encode


class HashField(nn.Module):
    """Density and colour in the cube [−radius, radius]³, on the device of the generator given."""

    def __init__(self, config: FieldConfig, *, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config

        def uniform(bound: float, *shape: int) -> nn.Parameter:
            drawn = torch.rand(shape, generator=generator, device=generator.device)
            return nn.Parameter((2 * drawn - 1) * bound)

        levels = len(config.resolutions)
        self.table = uniform(config.table_spread, levels, 2**config.log2_entries, config.features)

        def mlp(outputs: int) -> nn.ParameterList:
            """Weights [out, in] of each layer. He's bound for a layer that a ReLU follows; the last
            layer keeps the variance."""
            *inner, last = config.widths
            layers = [uniform((6 / width) ** 0.5, config.hidden, width) for width in inner]
            return nn.ParameterList([*layers, uniform((3 / last) ** 0.5, outputs, last)])

        self.heads = nn.ModuleList([mlp(outputs) for outputs in config.heads])

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
        """Returns the input of the density's softplus: the network's first output plus the blob.

        Blob (Magic3D):  blob_density · (1 − |x| / blob_radius)
        """
        return self._network(x, outputs=1)[:, 0] + self._blob(x)

    def _density(self, raw: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        return self.config.density_scale * functional.softplus(raw)

    def _network(self, x: Float[Tensor, "n 3"], outputs: int = 4) -> Float[Tensor, "n o"]:
        """The first `outputs` of raw density and three raw colours."""
        unit = x / (2 * self.config.radius) + 0.5
        resolutions = self.config.resolutions
        if len(self.heads) == 1 and self.config.hidden_layers == 1:
            hidden, last = self._layers(0)
            return grid_mlp(unit, self.table, hidden, last[:outputs], resolutions)
        encoded = hash_encode(unit, self.table, resolutions)
        if len(self.heads) == 1:
            *inner, last = self._layers(0)
            return _mlp(encoded, [*inner, last[:outputs]])
        needed = range(1 if outputs == 1 else 2)
        return torch.cat([_mlp(encoded, self._layers(k)) for k in needed], 1)

    def _layers(self, head: int) -> list[Tensor]:
        return list(cast(nn.ParameterList, self.heads[head]))

    def _blob(self, x: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        return self.config.blob_density * (1 - x.norm(dim=-1) / self.config.blob_radius)


def _mlp(x: Float[Tensor, "n i"], layers: list[Tensor]) -> Float[Tensor, "n o"]:
    """Layers without biases, with a ReLU between two of them."""
    for weight in layers[:-1]:
        x = functional.relu(x @ weight.T)
    y: Tensor = x @ layers[-1].T
    return y
