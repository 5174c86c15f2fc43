"""Physically based material: base colour, metalness and roughness under a sky (Fantasia3D).

The metallic-roughness model of glTF 2.0 with the split sum (Karis 2013) of light and reflectance:

    colour = (1 − m) b · E_diffuse(n) + (F_0 A + B) · E_specular(r, ρ),   F_0 = f (1 − m) + m b

b is the base colour, m the metalness, ρ the roughness, r the mirror direction of the view.
"""

import math
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from xbind.config.scene import FieldConfig
from xbind.config.terms import PbrConfig
from xbind.scene.nerf.field import HashNetwork
from xbind.scene.sky import Sky

_OUTPUTS = 5  # three of the base colour, metalness, roughness
_TABLE = (32, 64, 96, 24)
"""Steps of roughness and cosine; nodes of the integral over the microfacets' angle and azimuth."""


@dataclass(frozen=True, slots=True, eq=False)
class SurfaceMaterial:
    """Material at `n` surface points."""

    base_colour: Float[Tensor, "n 3"]
    """b in [0, 1]."""
    metalness: Float[Tensor, " n"]
    """m in [0, 1]."""
    roughness: Float[Tensor, " n"]
    """ρ in [0, 1]; α = ρ²."""


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

    With h drawn by the GGX microfacets, l the reflection of v about h, and c = 1 − v · h
    (Karis 2013, Eq. 8):

        A = E[g (1 − c⁵)],  B = E[g c⁵],  g = G(l) G(v) v·h / (n·h n·v)

    Read off a table of these means, which is integrated on first use.

    Args:
        cosine: n · v in [0, 1], v towards the camera.
        roughness: in [0, 1].

    Returns:
        Both, within 0.01 but for cosines below 0.05; differentiable.
    """
    rows = _TABLE[0]
    row = (roughness * (rows - 1) + 0.5) / rows  # grid_sample counts from the edge of a cell
    at = torch.stack([2 * cosine - 1, 2 * row - 1], -1)[None, None]
    table = reflectance_table().to(at)
    found = functional.grid_sample(table, at, padding_mode="border", align_corners=False)[0, :, 0]
    return found[0], found[1]


@cache
def reflectance_table() -> Float[Tensor, "1 2 roughness cosine"]:
    """A and B at roughnesses from 0 to 1, and in the middles of equal steps of the cosine.

    The midpoint rule over the microfacets' cumulated distribution and their azimuth.
    """
    steps_r, steps_c, nodes_u, nodes_turn = _TABLE

    def middles(count: int) -> Tensor:
        return (torch.arange(count, dtype=torch.float64) + 0.5) / count

    alpha = torch.linspace(0, 1, steps_r, dtype=torch.float64)[:, None, None, None] ** 2
    n_v = middles(steps_c)[:, None, None]
    u, turn = middles(nodes_u)[:, None], math.pi * middles(nodes_turn)
    n_h = ((1 - u) / (1 + (alpha**2 - 1) * u)).sqrt()
    v_h = ((1 - n_v**2) * (1 - n_h**2)).sqrt() * turn.cos() + n_v * n_h
    n_l = 2 * v_h * n_h - n_v
    seen = (n_l > 0) & (v_h > 0)
    weight = _smith(n_l.clamp_min(0), alpha) * _smith(n_v, alpha) * v_h / (n_h * n_v)
    weight = torch.where(seen, weight, 0.0)
    fresnel = (1 - v_h.clamp(0, 1)) ** 5
    means = [(weight * share).mean((-1, -2)) for share in (1 - fresnel, fresnel)]
    return torch.stack(means)[None].float()


def _smith(cosine: Tensor, alpha: Tensor) -> Tensor:
    """Smith's masking of GGX along one direction."""
    return 2 * cosine / (cosine + (alpha**2 + (1 - alpha**2) * cosine**2).sqrt())


def _within(bounds: tuple[float, float], share: Tensor) -> Tensor:
    return bounds[0] + (bounds[1] - bounds[0]) * share
