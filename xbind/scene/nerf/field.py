"""The radiance field: density and colour at any point, from a hash grid and small MLPs."""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from xbind.config.scene import FieldConfig
from xbind.kernels import grid_mlp, hash_encode


class HashNetwork(nn.Module):
    """A hash grid with MLPs behind it, over the cube [−radius, radius]³.

    It is on the device of the generator given.
    """

    def __init__(
        self, config: FieldConfig, heads: Sequence[int], *, generator: torch.Generator
    ) -> None:
        """Draw the first weights; the outputs then lie within about `table_spread` of 0.

        Args:
            config: grid, width and depth.
            heads: outputs of each MLP.
            generator: source of the weights.
        """
        super().__init__()
        self.config = config
        levels, entries = len(config.resolutions), 2**config.log2_entries
        bound = config.table_spread
        self.table = uniform_weights((levels, entries, config.features), bound, generator)
        self.heads = nn.ModuleList([mlp_weights(config.widths, n, generator) for n in heads])

    def raw(self, x: Float[Tensor, "n 3"], outputs: int) -> Float[Tensor, "n o"]:
        """Returns the first outputs of all heads at world positions, from as few MLPs as it takes.

        Differentiable in the parameters and in `x`.
        """
        unit = x / (2 * self.config.radius) + 0.5
        resolutions = self.config.resolutions
        if len(self.heads) == 1 and self.config.hidden_layers == 1:
            hidden, last = self._layers(0)
            return grid_mlp(unit, self.table, hidden, last[:outputs], resolutions)
        encoded = hash_encode(unit, self.table, resolutions)
        found: list[Tensor] = []
        for head in range(len(self.heads)):
            if outputs > 0:
                *inner, last = self._layers(head)
                found.append(mlp(encoded, [*inner, last[:outputs]]))
                outputs -= len(last)
        return torch.cat(found, 1)

    def _layers(self, head: int) -> list[Tensor]:
        return list(cast(nn.ParameterList, self.heads[head]))


class HashField(HashNetwork):
    """Density and colour in the cube [−radius, radius]³, on the device of the generator given."""

    def __init__(self, config: FieldConfig, *, generator: torch.Generator) -> None:
        super().__init__(config, config.heads, generator=generator)

    def forward(self, x: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 3"]]:
        """Density (per scene unit, ≥ 0) and colour (in [0, 1]) at world positions.

        Differentiable in the parameters and in `x`.
        """
        output = self.raw(x, sum(self.config.heads))
        return self._density(output[:, 0] + self._blob(x)), output[:, 1:].sigmoid()

    def density(self, x: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        """Density alone: the scaled softplus of `raw_density`."""
        return self._density(self.raw_density(x))

    def raw_density(self, x: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        """Returns the input of the density's softplus: the network's first output plus the blob.

        Blob (Magic3D):  blob_density · (1 − |x| / blob_radius)
        """
        return self.raw(x, 1)[:, 0] + self._blob(x)

    def _density(self, raw: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        return self.config.density_scale * functional.softplus(raw)

    def _blob(self, x: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        return self.config.blob_density * (1 - x.norm(dim=-1) / self.config.blob_radius)


def uniform_weights(
    shape: tuple[int, ...], bound: float, generator: torch.Generator
) -> nn.Parameter:
    """A parameter drawn uniformly in ±bound."""
    drawn = torch.rand(shape, generator=generator, device=generator.device)
    return nn.Parameter((2 * drawn - 1) * bound)


def mlp_weights(
    widths: Sequence[int], outputs: int, generator: torch.Generator
) -> nn.ParameterList:
    """Weights [out, in] of each layer of an MLP without biases.

    He's bound for a layer that a ReLU follows; the last layer keeps the variance.

    Args:
        widths: inputs of each layer.
        outputs: of the last one.
        generator: source of the weights.
    """
    shapes = [*zip((*widths[1:], outputs), widths, strict=True)]
    gains = [6.0] * (len(shapes) - 1) + [3.0]
    return nn.ParameterList(
        [
            uniform_weights(shape, (gain / shape[1]) ** 0.5, generator)
            for shape, gain in zip(shapes, gains, strict=True)
        ]
    )


def mlp(x: Float[Tensor, "*n i"], layers: Sequence[Tensor]) -> Float[Tensor, "*n o"]:
    """Layers without biases, with a ReLU between two of them."""
    for weight in layers[:-1]:
        x = functional.relu(x @ weight.T)
    y: Tensor = x @ layers[-1].T
    return y
