"""A residual network on 4×4 patches with dilated convolutions: image → a vector of outputs.

Unlike `ConvNet`, it halves the map only once, sees far by dilation, and keeps the largest value of
each channel beside the mean: a small fault is not averaged away.
"""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

PATCH = 4
"""Side of a patch, in pixels."""


class _DilatedResidual(nn.Module):
    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(8, channels), nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation),
            nn.GroupNorm(8, channels), nn.SiLU(), nn.Conv2d(channels, channels, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, x + self.layers(x))


class PatchConvNet(nn.Module):
    """Patches, dilated residual blocks, one halving, more such blocks, a linear head."""

    def __init__(
        self, widths: Sequence[int], dilations: Sequence[Sequence[int]], outputs: int
    ) -> None:
        """Build an untrained network.

        Args:
            widths: channels before and after the halving, multiples of 8.
            dilations: of the residual blocks before and after it.
            outputs: size of the output vector.
        """
        super().__init__()
        (first, second), (fine, coarse) = widths, dilations
        self.body = nn.Sequential(
            nn.Conv2d(3, first, PATCH, PATCH),
            *[_DilatedResidual(first, dilation) for dilation in fine],
            nn.Conv2d(first, second, 2, 2),
            *[_DilatedResidual(second, dilation) for dilation in coarse],
            nn.GroupNorm(8, second),
            nn.SiLU(),
        )
        self.head = nn.Linear(2 * second, outputs)

    def features(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b f"]:
        """Mean and maximum of each channel of the last map: the vector before the head."""
        maps = self.body(2 * x - 1)
        return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b o"]:
        """Images in [0, 1] to outputs. Differentiable in `x`."""
        return cast(Tensor, self.head(self.features(x)))
