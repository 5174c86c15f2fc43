"""Shading: a view shows the albedo of a surface, its albedo under light, or the light alone."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from xbind.config.terms import ShadingConfig
from xbind.scene.cameras import Cameras
from xbind.scene.light import (
    Light,
    LightSource,
    PointLights,
    lights_in_cone,
    lights_near_cameras,
)

ShadingKind = Literal["albedo", "lit", "textureless"]
"""Shown is the albedo, albedo · L, or L as grey."""


@dataclass(frozen=True, slots=True, eq=False)
class Shading:
    """Shading of all views of an iteration."""

    kind: ShadingKind
    light: LightSource | None
    """L; None exactly for `albedo`."""

    def __call__(
        self,
        albedo: Float[Tensor, "n 3"],
        normals: Float[Tensor, "n 3"],
        points: Float[Tensor, "n 3"],
        view: Int64[Tensor, " n"],
    ) -> Float[Tensor, "n 3"]:
        """Returns the colours of surface points, differentiable in all but `view`.

        Args:
            albedo: in [0, 1].
            normals: unit outward normals, in the world frame.
            points: world positions.
            view: index of the view that shows each point.
        """
        if self.light is None:
            return albedo
        factor = self.light.factor(normals, points, view)[:, None]
        return factor.expand(-1, 3) if self.kind == "textureless" else albedo * factor


ALBEDO = Shading("albedo", None)
"""No light at all."""


def draw_shading(
    config: ShadingConfig,
    progress: float,
    cameras: Cameras,
    light: Light | None,
    generator: torch.Generator,
) -> Shading:
    """Draws the shading of one iteration's views.

    Until `albedo_until` it is the albedo. After that it is lit with the chance `p_lit`, and a lit
    iteration is textureless with the chance `p_textureless`, if the bundle's priors make sense of
    grey pictures: those of a bundle without a known light are taken to.

    Args:
        config: kind of light, and chances. Nothing is drawn for the kind `none`, nor for `bundle`
            where the bundle has no known light: the shading is then `ALBEDO`. Nor is anything drawn
            for a light of the bundle that is always there, whole and on the colours.
        progress: share of the stage, in [0, 1].
        cameras: the views.
        light: known light of the bundle; None if it has none.
        generator: source of the draws, whose number does not depend on their outcome.
    """
    if config.light == "none" or (config.light == "bundle" and light is None):
        return ALBEDO
    if config.light == "bundle" and (config.p_lit, config.p_textureless, config.soft) == (1, 0, 0):
        return ALBEDO if progress < config.albedo_until else Shading("lit", light)
    lit, textureless, diffuse = torch.rand(3, generator=generator, device=generator.device).tolist()
    source = _source(config, cameras, light, diffuse, generator)
    if progress < config.albedo_until or lit >= config.p_lit:
        return ALBEDO
    shows_grey = (light is None or light.textureless) and textureless < config.p_textureless
    return Shading("textureless" if shows_grey else "lit", source)


def _source(
    config: ShadingConfig,
    cameras: Cameras,
    light: Light | None,
    diffuse: float,
    generator: torch.Generator,
) -> LightSource:
    """The light of one iteration; `diffuse` is the draw of a soft one."""
    if config.light == "bundle":
        assert light is not None
        return replace(light, ambient=1 - diffuse) if config.soft else light
    eyes = cameras.position()
    if config.light == "magic3d":
        at = lights_in_cone(eyes, config.light_distance, config.light_cone_deg, generator)
    else:
        at = lights_near_cameras(eyes, config.light_distance, config.light_spread, generator)
    if config.soft:
        return PointLights(at, 1 - diffuse, diffuse)
    return PointLights(at, config.ambient, config.diffuse)
