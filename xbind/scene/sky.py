"""Light from all directions: radiance as spherical harmonics of degree 2, and what surfaces make
of it.

A diffuse surface sees the radiance through Lambert's cosine, a rough mirror through the lobe of its
microfacets; both are low-pass filters, a factor per degree.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from xbind.scene.harmonics import DEGREES, real_harmonics
from xbind.scene.light import Light

LAMBERT = (1.0, 2 / 3, 1 / 4)
"""Cosine lobe's factor of each degree, as a share of the degree 0's, π (Ramamoorthi and Hanrahan
2001)."""
_NODES = 24
"""Points of the Gauss-Legendre quadratures; their error is below float32's."""


@dataclass(frozen=True, slots=True, eq=False)
class Sky:
    """White radiance from all directions, in units in which a white diffuse surface shows the
    irradiance over π."""

    coefficients: Float[Tensor, " 9"]
    """Of `real_harmonics`, in the order of that function."""

    @classmethod
    @cache
    def under(cls, light: Light, device: torch.device | str = "cpu") -> "Sky":
        """The sky whose light on a diffuse surface is nearest to `light.on` of its normal.

        It is the least-squares fit over the sphere: exact for half-Lambert (`wrap` = 1), where it
        is a gradient from the bright to the dark side. For Lambert's law (`wrap` = 0) the light on
        a diffuse surface is off by 0.1 (1 − a) at most, and part of the sky is darker than black.
        """
        nodes, weights = (torch.from_numpy(x) for x in np.polynomial.legendre.leggauss(_NODES))
        # in pieces, since the light has a kink where it ends: n · l = −wrap
        pieces = ((-1.0, -light.wrap), (-light.wrap, 1.0)) if light.wrap < 1 else ((-1.0, 1.0),)
        zonal = [0.0, 0.0, 0.0]
        axis = torch.tensor(light.direction, dtype=torch.float64)
        aside = torch.linalg.cross(axis, torch.eye(3, dtype=torch.float64)[axis.abs().argmin()])
        aside = aside / aside.norm()
        for low, high in pieces:
            cosine = (low + high) / 2 + (high - low) / 2 * nodes
            sine = (1 - cosine**2).sqrt()
            on = light.on(cosine[:, None] * axis + sine[:, None] * aside)
            for degree, legendre in enumerate(_legendre(cosine)):
                share = (high - low) / 2 * (weights * on * legendre).sum().item()
                zonal[degree] += 2 * math.pi * share / LAMBERT[degree]
        per_degree = torch.tensor([zonal[n] for n in DEGREES], dtype=torch.float64)
        return cls((per_degree * real_harmonics(axis)).float().to(device))

    def diffuse(self, normals: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        """Irradiance over π at unit normals, differentiable in them."""
        return real_harmonics(normals) @ (self.coefficients * self._by_degree(LAMBERT))

    def specular(
        self, directions: Float[Tensor, "n 3"], roughness: Float[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Radiance around mirror directions, blurred by the microfacets' lobe.

        Args:
            directions: r, unit.
            roughness: in [0, 1].

        Returns:
            Radiance, at least 0; differentiable in both.
        """
        share = lobe_shares(roughness)
        degree = torch.tensor(DEGREES, device=share.device)
        blurred = real_harmonics(directions) * self.coefficients * share[:, degree]
        return blurred.sum(-1).clamp_min(0)

    def _by_degree(self, values: tuple[float, ...]) -> Float[Tensor, " 9"]:
        return self.coefficients.new_tensor([values[n] for n in DEGREES])


def lobe_shares(roughness: Float[Tensor, " n"]) -> Float[Tensor, "n 3"]:
    """Returns the factors of the degrees 0, 1 and 2 by which a rough mirror blurs the radiance.

    The lobe is that of the split sum (Karis 2013), seen along the normal: directions l at 2θ from
    the mirror direction, θ the angle of a GGX microfacet with α = roughness², weighted by cos 2θ:

        k_n = ∫ P_n(cos 2θ) max(0, cos 2θ) D(θ) cos θ dω / ∫ max(0, cos 2θ) D(θ) cos θ dω

    With u the cumulated distribution of θ, cos²θ = (1 − u) / (1 + (α² − 1) u), and cos 2θ > 0 for
    u < 1 / (1 + α²). The integral over u is smooth and taken by quadrature.

    Args:
        roughness: in [0, 1]; 0 is a mirror.

    Returns:
        Factors in (0, 1], of which the first is 1; differentiable.
    """
    nodes, weights = _quadrature()
    alpha2 = roughness[:, None] ** 4
    u = nodes.to(roughness) / (1 + alpha2)
    cosine = 2 * (1 - u) / (1 + (alpha2 - 1) * u) - 1
    weighted = weights.to(roughness) * cosine
    total = weighted.sum(-1)
    return torch.stack([(weighted * p).sum(-1) / total for p in _legendre(cosine)], -1)


def _legendre(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Legendre polynomials of degree 0, 1 and 2."""
    return torch.ones_like(x), x, 1.5 * x * x - 0.5


@cache
def _quadrature() -> tuple[Tensor, Tensor]:
    """Nodes in [0, 1] and weights of the Gauss-Legendre rule."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return torch.from_numpy((nodes + 1) / 2), torch.from_numpy(weights / 2)
