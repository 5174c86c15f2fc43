"""Light and background of a stage's views, drawn for each iteration."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from xbind.config.terms import BackgroundConfig, ShadingConfig
from xbind.scene.cameras import Cameras
from xbind.scene.light import Light
from xbind.scene.nerf.background import LearnedBackground, draw_background
from xbind.scene.shading import ALBEDO, Shading, draw_shading


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """How the views of one iteration are lit, and what is behind the object."""

    shading: Shading = ALBEDO
    """Light on the object."""
    background: float | Float[Tensor, "b 3 h w"] = 1.0
    """Grey level, or colours; white is 1."""


class Looks:
    """Light and background of a stage."""

    def __init__(
        self,
        shading: ShadingConfig,
        background: BackgroundConfig,
        light: Light | None,
        generator: torch.Generator,
    ) -> None:
        """Draw the first weights of a learned background.

        Args:
            shading: kind of light, and chances.
            background: kind of background.
            light: known light of the bundle; None if it has none.
            generator: source of the weights.
        """
        self._shading, self._background = shading, background
        self.known_light = light
        """Known light of the bundle; None if it has none."""
        self.learned: LearnedBackground | None = None
        """The learned background; None for a white one."""
        if background.kind != "white":
            self.learned = LearnedBackground(background, generator=generator)
        self.light = light if shading.light == "bundle" else None
        """Light under which the object is seen at the end; None shows its colour alone."""

    def draw(
        self, cameras: Cameras, size: int, progress: float, generator: torch.Generator
    ) -> Look:
        """Draws the look of an iteration; nothing is drawn where light and background are fixed.

        Args:
            cameras: the views.
            size: their side, in pixels.
            progress: share of the stage, in [0, 1].
            generator: source of the draws.
        """
        return Look(
            draw_shading(self._shading, progress, cameras, self.known_light, generator),
            draw_background(self._background, self.learned, cameras, size, generator),
        )

    def still(self) -> Look:
        """The look of previews and of the reference view: on white, under the bundle's light."""
        return Look() if self.light is None else Look(Shading("lit", self.light))


PLAIN = Looks(ShadingConfig(), BackgroundConfig(), None, torch.Generator())
"""Colours alone, on white."""
