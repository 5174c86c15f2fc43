"""Physically based material: base colour, metalness and roughness under a sky (Fantasia3D).

The metallic-roughness model of glTF 2.0 with the split sum (Karis 2013) of light and reflectance:

    colour = (1 − m) b · E_diffuse(n) + (F_0 A + B) · E_specular(r, ρ),   F_0 = f (1 − m) + m b

b is the base colour, m the metalness, ρ the roughness, r the mirror direction of the view.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from xbind.config.scene import FieldConfig
from xbind.config.terms import PbrConfig
from xbind.scene.nerf.field import HashNetwork
from xbind.scene.sky import Sky

_OUTPUTS = 5  # three of the base colour, metalness, roughness


@dataclass(frozen=True, slots=True, eq=False)
class SurfaceMaterial:
    """Material at `n` surface points."""

    base_colour: Float[Tensor, "n 3"]
    """b in [0, 1]."""
    metalness: Float[Tensor, " n"]
    """m in [0, 1]."""
    roughness: Float[Tensor, " n"]
    """ρ in (0, 1]; α = ρ²."""


class MaterialField(HashNetwork):
    """Material at any point of a cube, on the device of the generator given."""

    def __init__(
        self, config: FieldConfig, ranges: PbrConfig, *, generator: torch.Generator
    ) -> None:
        super().__init__(config, (_OUTPUTS,), generator=generator)
        self.ranges = ranges

    def forward(self, x: Float[Tensor, "n 3"]) -> SurfaceMaterial:
        """Material at world positions, differentiable in the parameters and in `x`."""
        output = self.raw(x, _OUTPUTS).sigmoid()
        return SurfaceMaterial(
            output[:, :3],
            _within(self.ranges.metallic, output[:, 3]),
            _within(self.ranges.roughness, output[:, 4]),
        )


def pbr(
    material: SurfaceMaterial,
    normals: Float[Tensor, "n 3"],
    towards: Float[Tensor, "n 3"],
    sky: Sky,
    *,
    reflectance: float,
) -> Float[Tensor, "n 3"]:
    """Colours of a material under a sky, by the split sum.

    Args:
        material: of each point.
        normals: unit outward normals, in the world frame.
        towards: unit directions from the points to the camera.
        sky: the light.
        reflectance: f, of what is not metal at normal incidence (glTF 2.0: 0.04).

    Returns:
        Colours clamped to [0, 1], differentiable in all but `reflectance`.
    """
    cosine = (normals * towards).sum(-1)
    mirror = 2 * cosine[:, None] * normals - towards
    scale, bias = split_sum_reflectance(cosine.clamp(0, 1), material.roughness)
    metal, base = material.metalness[:, None], material.base_colour
    f_0 = reflectance * (1 - metal) + metal * base
    diffuse = (1 - metal) * base * sky.diffuse(normals)[:, None]
    glossy = sky.specular(mirror, material.roughness)[:, None]
    return (diffuse + (f_0 * scale[:, None] + bias[:, None]) * glossy).clamp(0, 1)


def split_sum_reflectance(
    cosine: Float[Tensor, " n"], roughness: Float[Tensor, " n"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Returns A and B of the split sum: F_0 A + B is what is reflected of a white sky.

    An analytic fit to the integral over the GGX lobe (Karis 2014, *Physically Based Shading on
    Mobile*, after Lazarov 2013), off by a few hundredths.

    Args:
        cosine: n · v in [0, 1], v towards the camera.
        roughness: in (0, 1].
    """
    falloff = 1 - roughness
    edge = torch.minimum(falloff.square(), torch.exp2(-9.28 * cosine)) * falloff
    bump = edge + 0.0425 - 0.0275 * roughness
    scale = 1.04 - 0.572 * roughness - 1.04 * bump
    return scale, 1.04 * bump - 0.04 + 0.022 * roughness


def _within(bounds: tuple[float, float], share: Tensor) -> Tensor:
    return bounds[0] + (bounds[1] - bounds[0]) * share
