"""The split sum against Monte Carlo estimates of the microfacet model under the same sky."""

import numpy as np
import pytest
import torch

from tests.support.microfacets import SUN, ggx_halves, radiance
from xbind.config.scene import FieldConfig
from xbind.config.terms import PbrConfig
from xbind.scene.light import Light
from xbind.scene.materials import MaterialField, SurfaceMaterial, pbr, split_sum_reflectance
from xbind.scene.sky import Sky

COUNT = 60_000
FIELD = FieldConfig(resolutions=(4, 8), log2_entries=8, hidden=8)


def smith(cosine, alpha):
    """Smith's masking of one direction for GGX."""
    return 2 * cosine / (cosine + np.sqrt(alpha**2 + (1 - alpha**2) * cosine**2))


def microfacets(cosine, roughness, seed=0):
    """Lights l drawn by the microfacets, in the frame of the normal: v·h, weight of F, l."""
    alpha = roughness**2
    half = ggx_halves(alpha, COUNT, seed)
    turn = 2 * np.pi * np.random.default_rng(seed + 1).random(COUNT)
    side = np.sqrt(1 - half**2)
    h = np.stack([side * np.cos(turn), side * np.sin(turn), half], 1)
    v = np.array([np.sqrt(1 - cosine**2), 0.0, cosine])
    vh = h @ v
    light = 2 * vh[:, None] * h - v
    up = light[:, 2]
    seen = (up > 0) & (vh > 0)
    safe = np.where(seen, up, 1.0)
    weight = smith(cosine, alpha) * smith(safe, alpha) * vh / (half * cosine)
    return np.clip(vh, 0, 1), np.where(seen, weight, 0.0), light


@pytest.mark.parametrize("roughness", [0.08, 0.15, 0.4, 0.7, 0.9, 1.0])
@pytest.mark.parametrize("cosine", [0.1, 0.2, 0.5, 0.95])
def test_reflectance_is_the_integral(cosine, roughness):
    vh, weight, _ = microfacets(cosine, roughness)
    fresnel = (1 - vh) ** 5
    want = (weight * (1 - fresnel)).mean(), (weight * fresnel).mean()
    scale, bias = split_sum_reflectance(torch.tensor([cosine]), torch.tensor([roughness]))
    assert scale.item() == pytest.approx(want[0], abs=0.012)
    assert bias.item() == pytest.approx(want[1], abs=0.012)


@pytest.mark.parametrize("metal", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("roughness", [0.2, 0.5, 0.9])
def test_colours_are_those_of_the_microfacet_model(roughness, metal):
    """Under a sky that varies: three points of view on one normal."""
    light, base = Light(SUN, ambient=0.42, wrap=1.0), np.array([0.7, 0.4, 0.2])
    sky = Sky.under(light)
    coefficients = sky.coefficients.double().numpy()
    for cosine, turn in ((0.95, 0.3), (0.7, 2.0), (0.5, 4.0)):
        # the frame of the normal is that of the world, turned about z
        spin = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0],
                         [0, 0, 1]])  # fmt: skip
        vh, weight, lights = microfacets(cosine, roughness)
        shown = radiance(coefficients, lights @ spin.T)
        f_0 = 0.04 * (1 - metal) + metal * base
        fresnel = f_0 + (1 - f_0) * ((1 - vh) ** 5)[:, None]
        gloss = (weight[:, None] * fresnel * shown[:, None]).mean(0)
        flat = np.random.default_rng(7).random((COUNT, 2))
        up, around = np.sqrt(flat[:, 0]), 2 * np.pi * flat[:, 1]
        side = np.sqrt(1 - up**2)
        diffuse = np.stack([side * np.cos(around), side * np.sin(around), up], 1)
        want = (1 - metal) * base * radiance(coefficients, diffuse).mean() + gloss
        v = spin @ np.array([np.sqrt(1 - cosine**2), 0.0, cosine])
        found = pbr(
            SurfaceMaterial(torch.tensor(base)[None].float(), torch.tensor([metal]),
                            torch.tensor([roughness])),
            torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor(v)[None].float(), sky, reflectance=0.04,
        )[0]  # fmt: skip
        np.testing.assert_allclose(found.numpy(), np.clip(want, 0, 1), atol=0.05)


def test_what_is_not_metal_and_rough_shows_the_diffuse_light():
    light = Light(SUN, ambient=0.42, wrap=1.0)
    normals = torch.nn.functional.normalize(torch.randn(50, 3), dim=1)
    matter = SurfaceMaterial(torch.full((50, 3), 0.5), torch.zeros(50), torch.full((50,), 0.9))
    shown = pbr(matter, normals, normals, Sky.under(light), reflectance=0.0)
    plain = 0.5 * light.on(normals)[:, None].expand(-1, 3)
    torch.testing.assert_close(shown, plain, atol=0.02, rtol=0)  # B of the fit is not quite 0


def test_colours_are_differentiable():
    rng = torch.Generator().manual_seed(2)
    normals, towards = (
        torch.nn.functional.normalize(torch.randn(3, 3, generator=rng).double(), dim=1)
        for _ in range(2)
    )
    towards = towards * (normals * towards).sum(1, keepdim=True).sign()
    sky = Sky(Sky.under(Light(SUN, 0.4, 1.0)).coefficients.double())

    def colours(base, metal, rough, n, v):
        return pbr(SurfaceMaterial(base, metal, rough), n, v, sky, reflectance=0.04)

    inputs = [
        0.2 + 0.5 * torch.rand(3, 3, generator=rng).double(),
        torch.rand(3, generator=rng).double(),
        0.2 + 0.6 * torch.rand(3, generator=rng).double(), normals, towards,
    ]  # fmt: skip
    assert torch.autograd.gradcheck(colours, [x.requires_grad_() for x in inputs])


def test_the_field_keeps_to_its_ranges(rng):
    ranges = PbrConfig(metallic=(0.1, 0.2), roughness=(0.3, 0.35))
    field = MaterialField(FIELD, ranges, generator=rng)
    with torch.no_grad():
        field.table.mul_(1e6)
    found = field(torch.rand(500, 3, generator=rng) - 0.5)
    assert found.base_colour.min() < 0.05 < 0.95 < found.base_colour.max()
    for values, (low, high) in (
        (found.metalness, ranges.metallic), (found.roughness, ranges.roughness),
    ):  # fmt: skip
        assert low - 1e-6 <= values.min() < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < values.max() <= high + 1e-6
    sum(x.sum() for x in (found.base_colour, found.metalness, found.roughness)).backward()
    assert field.table.grad.abs().sum() > 0
