"""Spherical harmonics: orthonormal by quadrature, and those of scipy."""

import numpy as np
import torch
from scipy import special

from xbind.scene.harmonics import DEGREES, real_harmonics


def quadrature():
    """Directions and weights that integrate polynomials of degree 8 over the sphere exactly."""
    z, w = np.polynomial.legendre.leggauss(8)
    turn = 2 * np.pi * np.arange(16) / 16
    z, turn = (x.ravel() for x in np.meshgrid(z, turn, indexing="ij"))
    r = np.sqrt(1 - z**2)
    directions = np.stack([r * np.cos(turn), r * np.sin(turn), z], 1)
    return torch.from_numpy(directions), torch.from_numpy(np.repeat(w, 16) * 2 * np.pi / 16)


def test_they_are_orthonormal():
    directions, weights = quadrature()
    values = real_harmonics(directions)
    torch.testing.assert_close(values.T @ (weights[:, None] * values), torch.eye(9).double())


def test_they_are_the_real_parts_of_scipy_s(rng):
    x = torch.nn.functional.normalize(torch.randn(20, 3, generator=rng).double(), dim=1)
    polar, turn = np.arccos(x[:, 2].numpy()), np.arctan2(x[:, 1].numpy(), x[:, 0].numpy())
    want = []
    for degree in (0, 1, 2):
        for m in range(-degree, degree + 1):
            complex_ = special.sph_harm_y(degree, abs(m), polar, turn)
            part = complex_.real if m >= 0 else complex_.imag
            want.append((-1) ** m * part * (np.sqrt(2) if m else 1))
    np.testing.assert_allclose(real_harmonics(x).T.numpy(), want, atol=1e-12)


def test_degrees_are_counted():
    assert [DEGREES.count(degree) for degree in (0, 1, 2)] == [1, 3, 5]
