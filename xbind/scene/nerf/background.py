"""Backgrounds of a volume: colours behind it."""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xbind.config.terms import BackgroundConfig
from xbind.scene.cameras import Cameras
from xbind.scene.harmonics import real_harmonics
from xbind.scene.nerf.field import mlp, mlp_weights


class LearnedBackground(nn.Module):
    """A colour for every direction: spherical harmonics of the direction, an MLP, a sigmoid."""

    def __init__(self, config: BackgroundConfig, *, generator: torch.Generator) -> None:
        """Draw the first weights; the colours then lie around grey.

        Args:
            config: degree and network.
            generator: source of the weights, on the module's device.
        """
        super().__init__()
        self.inputs = config.degree**2
        widths = (self.inputs, *(config.hidden,) * config.hidden_layers)
        self.layers = mlp_weights(widths, 3, generator)

    def forward(self, directions: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
        """Colours in [0, 1] at unit directions away from the camera, in the world frame."""
        encoded = real_harmonics(directions)[..., : self.inputs]
        return mlp(encoded, list(self.layers)).sigmoid()

    def image(self, cameras: Cameras, size: int) -> Float[Tensor, "b 3 h w"]:
        """Square views of it, `size` pixels a side."""
        _, directions = cameras.rays(size)
        colours: Tensor = self(directions)
        return colours.movedim(-1, 1)


def draw_background(
    config: BackgroundConfig,
    learned: LearnedBackground | None,
    cameras: Cameras,
    size: int,
    generator: torch.Generator,
) -> float | Float[Tensor, "b 3 h w"]:
    """The background of an iteration's views, as `render` and `shade` take it.

    Args:
        config: `white`; `learned`; or `learned_or_random`, where each view has one random colour
            instead with the chance `p_random`.
        learned: the network; not used for `white`.
        cameras: the views.
        size: their side, in pixels.
        generator: source of the draws; nothing is drawn but for `learned_or_random`.

    Returns:
        1 for white, else images, differentiable in the parameters of `learned`.
    """
    if config.kind == "white":
        return 1.0
    image = cast(LearnedBackground, learned).image(cameras, size)
    if config.kind == "learned":
        return image
    count, device = len(cameras), generator.device
    is_random = torch.rand(count, 1, 1, 1, generator=generator, device=device) < config.p_random
    colour = torch.rand(count, 3, 1, 1, generator=generator, device=device)
    return torch.where(is_random, colour, image)
