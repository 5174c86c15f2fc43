"""Which shading is drawn how often, and what it shows."""

import pytest
import torch

from xbind.config.terms import ShadingConfig
from xbind.scene.cameras import orbit
from xbind.scene.light import Light, PointLights
from xbind.scene.shading import ALBEDO, Shading, draw_shading

SUN = Light((0.0, 0.0, 1.0), ambient=0.4, wrap=1.0, textureless=True)
COLOURED = Light((0.0, 0.0, 1.0), ambient=0.4, wrap=1.0, textureless=False)
CAMERAS = orbit(2)


def kinds(config, light, rng, *, progress=1.0, count=2000):
    drawn = [draw_shading(config, progress, CAMERAS, light, rng) for _ in range(count)]
    return {k: sum(s.kind == k for s in drawn) / count for k in ("albedo", "lit", "textureless")}


def test_chances_are_threestudio_s(rng):
    config = ShadingConfig(light="bundle", albedo_until=0.2)
    found = kinds(config, SUN, rng)
    assert found["albedo"] == pytest.approx(0.25, abs=0.03)
    assert found["textureless"] == pytest.approx(0.375, abs=0.03)
    assert kinds(config, SUN, rng, progress=0.19, count=50)["albedo"] == 1
    assert kinds(config, SUN, rng, progress=0.2, count=50)["albedo"] < 1


def test_priors_that_know_no_grey_are_not_shown_any(rng):
    for kind in ("bundle", "magic3d"):
        found = kinds(ShadingConfig(light=kind), COLOURED, rng, count=300)
        assert found["textureless"] == 0
        assert found["lit"] == pytest.approx(0.75, abs=0.1)
    assert kinds(ShadingConfig(light="dreamfusion"), None, rng, count=300)["textureless"] > 0.2


@pytest.mark.parametrize(("kind", "light"), [("none", SUN), ("bundle", None)])
def test_nothing_is_drawn_where_there_is_no_light(rng, kind, light):
    before = rng.get_state()
    assert draw_shading(ShadingConfig(light=kind), 1.0, CAMERAS, light, rng) is ALBEDO
    assert torch.equal(rng.get_state(), before)


def test_nothing_is_drawn_for_a_light_that_is_always_there(rng):
    """Such a run has the cameras of the one without light: the two can be compared in pairs."""
    config = ShadingConfig(light="bundle", p_lit=1.0, p_textureless=0.0, albedo_until=0.5)
    before = rng.get_state()
    found = [draw_shading(config, progress, CAMERAS, SUN, rng) for progress in (0.4, 0.5)]
    assert torch.equal(rng.get_state(), before)
    assert found[0] is ALBEDO
    assert (found[1].kind, found[1].light) == ("lit", SUN)


@pytest.mark.parametrize("kind", ["bundle", "dreamfusion", "magic3d"])
def test_draws_do_not_depend_on_their_outcome(kind):
    """A run that changes a chance keeps its cameras."""
    states = []
    for p_lit, progress in ((0.1, 0.5), (0.9, 0.5), (0.9, 0.0)):
        rng = torch.Generator().manual_seed(3)
        config = ShadingConfig(light=kind, p_lit=p_lit, albedo_until=0.2)
        draw_shading(config, progress, CAMERAS, SUN, rng)
        states.append(rng.get_state())
    assert torch.equal(states[0], states[1])
    assert torch.equal(states[0], states[2])


def test_soft_light_is_another_in_each_iteration(rng):
    bundle = ShadingConfig(light="bundle", p_lit=1.0, p_textureless=0.0, soft=True)
    lights = [draw_shading(bundle, 1.0, CAMERAS, SUN, rng).light for _ in range(400)]
    ambient = torch.tensor([light.ambient for light in lights])
    assert ambient.mean().item() == pytest.approx(0.5, abs=0.05)
    assert {(light.direction, light.wrap) for light in lights} == {((0.0, 0.0, 1.0), 1.0)}
    point = ShadingConfig(light="magic3d", p_lit=1.0, soft=True)
    lights = [draw_shading(point, 1.0, CAMERAS, SUN, rng).light for _ in range(20)]
    assert all(light.ambient + light.diffuse == pytest.approx(1) for light in lights)
    assert len({light.ambient for light in lights}) == 20


def test_a_hard_light_has_the_shares_of_the_configuration(rng):
    config = ShadingConfig(light="dreamfusion", p_lit=1.0, ambient=0.25, diffuse=0.5)
    light = draw_shading(config, 1.0, CAMERAS, None, rng).light
    assert isinstance(light, PointLights)
    assert (light.ambient, light.diffuse) == (0.25, 0.5)
    assert light.positions.shape == (2, 3)
    bundle = ShadingConfig(light="bundle", p_lit=1.0, p_textureless=0.0, soft=False)
    assert draw_shading(bundle, 1.0, CAMERAS, SUN, rng).light is SUN


def test_what_each_kind_shows():
    albedo = torch.tensor([[0.2, 0.4, 0.8], [0.2, 0.4, 0.8]])
    normals = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    where = (normals, normals, torch.zeros(2, dtype=torch.int64))
    assert torch.equal(ALBEDO(albedo, *where), albedo)
    seen = Shading("lit", SUN)(albedo, *where)
    torch.testing.assert_close(seen, albedo * torch.tensor([[1.0], [0.4]]))
    grey = Shading("textureless", SUN)(albedo, *where)
    torch.testing.assert_close(grey, torch.tensor([[1.0] * 3, [0.4] * 3]))
