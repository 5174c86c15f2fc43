"""A sky's light on surfaces against Monte Carlo estimates and closed forms."""

import numpy as np
import pytest
import torch

from tests.support.microfacets import SUN, ggx_halves, on_sphere, radiance
from xbind.scene.light import Light
from xbind.scene.sky import Sky, lobe_shares


def test_diffuse_light_is_the_cosine_weighted_mean():
    rng = torch.Generator().manual_seed(1)
    sky = Sky(torch.randn(9, generator=rng))
    incoming = on_sphere(400_000)
    values = radiance(sky.coefficients.double().numpy(), incoming)
    normals = on_sphere(6, seed=5)
    want = [(values * np.clip(incoming @ n, 0, None)).mean() * 4 for n in normals]
    found = sky.diffuse(torch.from_numpy(normals).float())
    np.testing.assert_allclose(found.numpy(), want, atol=0.02)


def test_half_lambert_is_a_sky_exactly():
    light = Light(SUN, ambient=0.42, wrap=1.0)
    normals = torch.from_numpy(on_sphere(100)).float()
    torch.testing.assert_close(Sky.under(light).diffuse(normals), light.on(normals))
    shown = radiance(Sky.under(light).coefficients.numpy(), on_sphere(1000))
    assert shown.min() > 0.25  # no part of it is darker than black


@pytest.mark.parametrize("wrap", [0.0, 0.3])
def test_other_lights_are_nearly_skies(wrap):
    light = Light(SUN, ambient=0.2, wrap=wrap)
    normals = torch.from_numpy(on_sphere(5000)).float()
    error = Sky.under(light).diffuse(normals) - light.on(normals)
    assert error.abs().max() < 0.1 * 0.8
    assert error.mean().abs() < 2e-3  # least squares: as much light in all


@pytest.mark.parametrize("roughness", [0.08, 0.3, 0.6, 0.9, 1.0])
def test_the_lobe_s_shares_are_means_over_its_microfacets(roughness):
    mu = 2 * ggx_halves(roughness**2, 1_000_000) ** 2 - 1
    mu = mu[mu > 0]
    want = [1.0, (mu * mu).sum() / mu.sum(), (mu * (1.5 * mu**2 - 0.5)).sum() / mu.sum()]
    found = lobe_shares(torch.tensor([roughness], dtype=torch.float64))[0]
    np.testing.assert_allclose(found.numpy(), want, atol=2e-3)


def test_a_smooth_mirror_blurs_nothing_and_a_rough_one_more():
    shares = lobe_shares(torch.linspace(0.0, 1.0, 20))
    torch.testing.assert_close(shares[0], torch.ones(3))
    assert (shares[1:, 1:] < shares[:-1, 1:]).all()


def test_reflections_are_differentiable():
    sky = Sky(torch.tensor([3.0, 0.2, 0.4, -0.3, 0.1, 0.2, 0.3, -0.1, 0.2], dtype=torch.float64))
    directions = torch.from_numpy(on_sphere(4)).requires_grad_()
    roughness = torch.tensor([0.1, 0.4, 0.7, 0.9], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(sky.specular, (directions, roughness))
