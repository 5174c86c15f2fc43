"""The start of Phase III: fair surface samples, and colours as a view would show them."""

import torch

from tests.support.spheres import sphere
from xbind.algorithm.texture_init import fit_texture_field, sample_surface, seen_colours
from xbind.config.scene import FieldConfig, TextureFitConfig
from xbind.scene.mesh.mesh import Mesh

RADIUS = 0.5
FIT = TextureFitConfig()
RED, GREEN = torch.tensor([0.9, 0.1, 0.1]), torch.tensor([0.1, 0.9, 0.1])


class Hazy:
    """A red ball under a thin haze of green, as Phase I leaves it: at RADIUS all is still green."""

    config = FieldConfig()

    def __init__(self, haze=0.5):
        self.haze = haze

    def __call__(self, x):
        distance = x.norm(dim=1)
        solid = distance < RADIUS - 0.02
        density = torch.where(solid, 200.0, torch.where(distance < RADIUS + 0.1, self.haze, 0.0))
        return density, torch.where(solid[:, None], RED, GREEN)


class Striped(Hazy):
    """A dense ball whose colour changes with z."""

    def __call__(self, x):
        density, _ = super().__call__(x)
        return density, torch.stack([0.5 + 0.4 * (4 * x[:, 2]).sin()] * 3, 1)


def test_surface_points_are_uniform_by_area(rng):
    vertices = torch.tensor([[0.0, 0, 0], [3, 0, 0], [0, 3, 0], [0, 0, 0], [0, 0, 1], [0, 1, 0]])
    mesh = Mesh(vertices, torch.tensor([[0, 1, 2], [3, 4, 5]]))  # areas 4.5 and 0.5
    points, normals = sample_surface(mesh, 20_000, rng)
    on_first = points[:, 2] == 0
    assert abs(float(on_first.float().mean()) - 0.9) < 0.01
    first = points[on_first]
    torch.testing.assert_close(first.mean(0), torch.tensor([1.0, 1, 0]), atol=0.03, rtol=0)
    assert (first[:, :2].sum(1) <= 3 + 1e-5).all()
    assert (first >= 0).all()
    want = torch.where(on_first[:, None], torch.tensor([0.0, 0, 1]), torch.tensor([-1.0, 0, 0]))
    torch.testing.assert_close(normals, want)


def test_colour_is_what_lies_under_the_haze(rng):
    points, normals = sample_surface(Mesh(*sphere(4, RADIUS)), 500, rng)
    assert (Hazy()(points)[1] == GREEN).float().mean() > 0.9  # at the surface itself
    colours, opacity = seen_colours(Hazy(), points, normals, FIT)
    # Beer-Lambert: 0.08 of haze at 0.5 hides 4 %, give or take half a step
    share = (colours[:, 1] - RED[1]) / (GREEN[1] - RED[1])
    assert 0.02 < float(share.mean()) < 0.06
    assert opacity.min() > 0.99


def test_a_ray_that_meets_nothing_has_no_weight(rng):
    points, normals = sample_surface(Mesh(*sphere(2, 0.8)), 50, rng)
    colours, opacity = seen_colours(Hazy(), points, -normals, FIT)  # outwards, and away
    assert opacity.max() == 0
    assert torch.equal(colours, torch.full((50, 3), 0.5))


def test_fitted_field_shows_the_colours(rng):
    mesh = Mesh(*sphere(4, RADIUS))
    config = FieldConfig(resolutions=(12, 17, 23, 32))
    field = fit_texture_field(config, FIT, Striped(haze=0.0), mesh, rng)
    points, _ = sample_surface(mesh, 2000, rng)
    with torch.no_grad():
        error = field(points)[1][:, 0] - (0.5 + 0.4 * (4 * points[:, 2]).sin())
    assert error.abs().mean() < 0.02


def test_the_same_generator_gives_the_same_field():
    mesh = Mesh(*sphere(2, RADIUS))
    config = FieldConfig(resolutions=(12, 16))

    def table():
        return fit_texture_field(config, FIT, Hazy(), mesh, torch.Generator().manual_seed(3)).table

    assert torch.equal(table(), table())
