"""Lights against closed forms, and a bundle's light as data."""

import json
import math

import numpy as np
import pytest
import torch

from xbind.mini.world.world_mesh import lit, world_light
from xbind.networks.manifest import SHIPPED
from xbind.scene.light import Light, PointLights, lights_in_cone, lights_near_cameras

ABOVE = (0.0, 0.0, 1.0)
PLAIN = {"direction": [0.6, 0.0, 0.8], "ambient": 0.3, "wrap": 0.5, "textureless": True}


def directions(count, rng):
    return torch.nn.functional.normalize(torch.randn(count, 3, generator=rng).double(), dim=1)


@pytest.mark.parametrize("degrees", [0, 30, 60, 90, 120, 150, 180])
def test_wrap_bends_the_light_around(degrees):
    angle = math.radians(degrees)
    normal = torch.tensor([[math.sin(angle), 0.0, math.cos(angle)]])
    lambert = Light(ABOVE, ambient=0.2, wrap=0.0).on(normal).item()
    half = Light(ABOVE, ambient=0.2, wrap=1.0).on(normal).item()
    assert lambert == pytest.approx(0.2 + 0.8 * max(math.cos(angle), 0), abs=1e-6)
    assert half == pytest.approx(0.2 + 0.8 * math.cos(angle / 2) ** 2, abs=1e-6)


def test_the_light_is_differentiable_in_normals(rng):
    normals = directions(8, rng).requires_grad_()
    assert torch.autograd.gradcheck(Light.from_plain(PLAIN).on, normals)


def test_a_point_light_lights_a_sphere_by_lambert_s_cosine(rng):
    """Seen from the light at distance D, the cosine on a unit sphere is (D μ − 1) / |p − x|."""
    normals = directions(200, rng)
    lights = PointLights(torch.tensor([[0.0, 0.0, 3.0], [0.0, 2.0, 0.0]]).double(), 0.1, 0.7)
    for view, (axis, distance) in enumerate([(2, 3.0), (1, 2.0)]):
        factor = lights.factor(normals, normals, torch.full((200,), view))
        mu = normals[:, axis]
        towards = (distance**2 - 2 * distance * mu + 1).sqrt()
        cosine = ((distance * mu - 1) / towards).clamp_min(0)
        torch.testing.assert_close(factor, 0.1 + 0.7 * cosine)
        assert 20 < (cosine > 0).sum() < 180


def test_lights_near_cameras_follow_them(rng):
    cameras = torch.tensor([[2.5, 0.0, 0.0]]).expand(4000, 3)
    exact = lights_near_cameras(cameras, (0.8, 1.5), 0.0, rng)
    torch.testing.assert_close(exact[:, 1:], torch.zeros(4000, 2))
    lengths = exact.norm(dim=1)
    assert 0.8 <= lengths.min() < 0.81
    assert 1.49 < lengths.max() <= 1.5
    spread = lights_near_cameras(cameras, (1.0, 1.0), 1.0, rng)
    drawn = np.random.default_rng(0).normal((2.5, 0.0, 0.0), 1.0, (100_000, 3))
    want = (drawn[:, 0] / np.linalg.norm(drawn, axis=1)).mean()
    assert spread[:, 0].mean().item() == pytest.approx(want, abs=0.01)


@pytest.mark.parametrize("camera", [[0.0, 0.0, 2.0], [1.0, -2.0, 0.5]])
def test_lights_in_a_cone_have_a_uniform_angle(rng, camera):
    cameras = torch.tensor([camera]).expand(4000, 3)
    lights = lights_in_cone(cameras, (0.5, 2.0), 60.0, rng)
    unit = torch.nn.functional.normalize(lights, dim=1)
    axis = torch.nn.functional.normalize(cameras, dim=1)
    degrees = torch.rad2deg((unit * axis).sum(1).clamp(-1, 1).acos())
    assert degrees.max() <= 60.01
    quarters = degrees.quantile(torch.tensor([0.25, 0.5, 0.75]))
    torch.testing.assert_close(quarters, torch.tensor([15.0, 30.0, 45.0]), atol=1.5, rtol=0)
    aside = (unit - (unit * axis).sum(1, keepdim=True) * axis).mean(0)
    assert aside.norm() < 0.03  # every turn around the axis is as likely
    assert lights.norm(dim=1).mean().item() == pytest.approx(1.25, abs=0.03)


def test_a_light_survives_json():
    light = Light.from_plain(PLAIN)
    assert light == Light((0.6, 0.0, 0.8), 0.3, 0.5, textureless=True)
    assert Light.from_plain(json.loads(json.dumps(light.plain()))) == light


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"direction": [1, 0]}, "three numbers"),
        ({"direction": [1, 1, 0]}, "length 1.41"),
        ({"direction": [1, 0, True]}, "finite numbers"),
        ({"ambient": 1.5}, "ambient is 1.5"),
        ({"wrap": -0.1}, "wrap is -0.1"),
        ({"wrap": float("nan")}, "finite numbers"),
        ({"ambient": None}, "finite numbers"),
        ({"textureless": 1}, "neither true nor false"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_no_light_is_refused(change, why):
    with pytest.raises(ValueError, match=why):
        Light.from_plain(PLAIN | change)


def test_a_list_is_no_light():
    with pytest.raises(ValueError, match="not an object"):
        Light.from_plain([1, 2])


def test_the_mini_bundle_names_the_light_of_its_world(rng):
    raw = json.loads((SHIPPED / "mini" / "bundle.json").read_text())
    light = Light.from_plain(raw["light"])
    assert light == world_light()
    assert not light.textureless
    normals = directions(50, rng)
    albedo = torch.rand(50, 3, generator=rng).double()
    np.testing.assert_allclose(
        (albedo * light.on(normals)[:, None]).numpy(), lit(albedo.numpy(), normals.numpy()),
        rtol=1e-12,
    )  # fmt: skip
