"""A small strided residual network: image → a vector of outputs."""

from collections.abc import Sequence
from typing import cast

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

SIDE = 64
"""Side of the images that it sees, in pixels."""
LOG_ZOOM = 4.0
"""Scale of the pose estimator's last output, which is that times log₂ zoom: the factor by which the
object would be larger at the distance of the reference camera."""


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(8, channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(8, channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, x + self.layers(x))


class ConvNet(nn.Module):
    """Four halvings of a 64×64 image, a residual block after each but the first, a linear head.

    Square images of another size are resized to 64×64 first.
    """

    def __init__(self, widths: Sequence[int], outputs: int, *, pooled: bool = True) -> None:
        """Build an untrained network.

        Args:
            widths: channels after each of the four strided convolutions, multiples of 8.
            outputs: size of the output vector.
            pooled: average the last map (what is there) or flatten it (where it is).
        """
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for i, width in enumerate(widths):
            layers.append(nn.Conv2d(channels, width, 4, 2, 1))
            layers.append(_Residual(width) if i else nn.SiLU())
            channels = width
        self.body = nn.Sequential(*layers, nn.GroupNorm(8, channels), nn.SiLU())
        self.pooled = pooled
        self.head = nn.Linear(channels if pooled else 16 * channels, outputs)

    def features(self, x: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b f"]:
        """The vector before the head."""
        if x.shape[-1] != SIDE:
            x = interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True)
        maps = self.body(2 * x - 1)
        return cast(Tensor, maps.mean((2, 3)) if self.pooled else maps.flatten(1))

    def forward(self, x: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b o"]:
        """Images in [0, 1] to outputs. Differentiable in `x`."""
        return cast(Tensor, self.head(self.features(x)))
