"""Light on a volume, against the same ball in closed form; and its samples."""

import pytest
import torch

from tests.support.balls import SMALL, Ball
from xbind.losses.regularizers import orientation_loss
from xbind.scene.cameras import orbit
from xbind.scene.light import Light, PointLights
from xbind.scene.nerf import render as render_module
from xbind.scene.nerf.field import HashField
from xbind.scene.nerf.render import render, sample_normals, surface_normals
from xbind.scene.nerf.shade import shade_views
from xbind.scene.shading import ALBEDO, Shading

SUN = Light((0.6, 0.0, 0.8), ambient=0.4, wrap=1.0)
SPACING = 0.02


@pytest.fixture
def field(rng):
    return HashField(SMALL, generator=rng)


def seen(ball, cameras, **options):
    return render(ball, None, cameras, 16, step=0.01, generator=None, **options)


def shaded(ball, views, shading):
    return shade_views(
        views, shading, lambda: surface_normals(ball, views, spacing=SPACING, least_opacity=0.5)
    )


def test_lit_colours_are_those_of_the_ball():
    ball, cameras = Ball(thick=100.0), orbit(3)
    views = seen(ball, cameras)
    image = shaded(ball, views, Shading("lit", SUN))
    normals = torch.nn.functional.normalize(views.surface, dim=1).view(3, 16, 16, 3)
    factor = SUN.ambient + (1 - SUN.ambient) * (0.5 + 0.5 * normals @ torch.tensor(SUN.direction))
    solid = views.mask[:, 0] > 0.5
    want = views.colour * factor[:, None] + 1 - views.mask
    torch.testing.assert_close(image.movedim(1, -1)[solid], want.movedim(1, -1)[solid],
                               atol=1e-3, rtol=0)  # fmt: skip
    assert torch.equal(image.movedim(1, -1)[~solid], views.image.movedim(1, -1)[~solid])
    assert factor[solid].std() > 0.05


def test_without_texture_only_the_light_is_seen():
    ball, cameras = Ball(thick=100.0), orbit(2)
    eyes = cameras.position()
    views = seen(ball, cameras, background=0.0)
    image = shaded(ball, views, Shading("textureless", PointLights(eyes, 0.1, 0.9)))
    assert torch.equal(image[:, 0], image[:, 1])
    points = views.surface.view(2, 16, 16, 3)
    normals = torch.nn.functional.normalize(points, dim=-1)
    towards = torch.nn.functional.normalize(eyes[:, None, None] - points, dim=-1)
    want = views.mask[:, 0] * (0.1 + 0.9 * (normals * towards).sum(-1).clamp_min(0))
    solid = views.mask[:, 0] > 0.5
    torch.testing.assert_close(image[:, 0][solid], want[solid], atol=2e-3, rtol=0)


def test_an_albedo_view_is_the_view_and_asks_for_no_normals():
    views = seen(Ball(), orbit(1))

    def fail():
        raise AssertionError("asked")

    assert shade_views(views, ALBEDO, fail) is views.image


def test_light_moves_the_density_through_the_normals(field):
    views = seen(field, orbit(1))
    normals = surface_normals(field, views, spacing=SPACING, least_opacity=0.5)
    lit = shade_views(views, Shading("lit", SUN), lambda: normals)
    (n_bar,) = torch.autograd.grad(lit.sum(), normals.normals, retain_graph=True)
    want = views.colour.sum(1, keepdim=True) * (1 - SUN.ambient) / 2 * normals.mask
    want = want * torch.tensor(SUN.direction).view(1, 3, 1, 1)
    torch.testing.assert_close(n_bar, want)
    (bar,) = torch.autograd.grad(lit.sum(), field.table)
    assert bar.abs().sum() > 0


def test_a_background_of_colours_lies_behind(rng):
    ball, cameras = Ball(), orbit(2)
    colours = torch.rand(2, 3, 16, 16, generator=rng, requires_grad=True)
    views = seen(ball, cameras, background=colours)
    torch.testing.assert_close(views.image, views.colour + (1 - views.mask) * colours)
    (bar,) = torch.autograd.grad(views.image.sum(), colours)
    torch.testing.assert_close(bar, (1 - views.mask).expand(-1, 3, -1, -1))
    grey = seen(ball, cameras, background=torch.full((2, 3, 16, 16), 0.3))
    torch.testing.assert_close(grey.image, seen(ball, cameras, background=0.3).image)


@pytest.mark.parametrize("at_once", [65_536, 100])
def test_samples_are_those_of_the_rays(monkeypatch, at_once):
    monkeypatch.setattr(render_module, "RAYS_AT_ONCE", at_once)
    cameras = orbit(2)
    views = seen(Ball(), cameras, keep_samples=True)
    samples = views.samples
    opacity = torch.zeros(512).index_add(0, samples.ray, samples.weights)
    torch.testing.assert_close(opacity, views.opacity)
    origins, directions = (x.reshape(-1, 3)[samples.ray] for x in cameras.rays(16))
    assert torch.equal(directions, samples.directions[samples.ray])
    off = torch.linalg.cross(samples.positions - origins, directions).norm(dim=1)
    assert off.max() < 1e-5


def test_samples_are_handed_out_on_request_only(rng):
    views = seen(Ball(), orbit(1))
    assert views.samples is None
    with pytest.raises(ValueError, match="keep_samples"):
        sample_normals(Ball(), views, share=0.5, spacing=SPACING, generator=rng)


def test_normals_of_samples_are_the_ball_s(rng):
    ball = Ball(centre=(0.1, 0.0, 0.0))
    views = seen(ball, orbit(1), keep_samples=True)
    found = sample_normals(ball, views, share=1.0, spacing=SPACING, generator=rng)
    kept = views.samples.weights > 0
    want = views.samples.positions[kept] - ball.centre
    torch.testing.assert_close(
        found.normals, torch.nn.functional.normalize(want, dim=1), atol=1e-3, rtol=0
    )
    assert found.rays == (views.opacity > 0).sum()


def test_a_share_of_the_rays_estimates_the_loss_of_all(rng):
    """Normals of the ball's far half face away from the camera."""
    ball = Ball()
    views = seen(ball, orbit(1), keep_samples=True)

    def loss(share):
        found = sample_normals(ball, views, share=share, spacing=SPACING, generator=rng)
        assert found.rays < 256
        return orientation_loss(
            found.weights, found.normals, found.directions, rays=found.rays
        ).item()

    whole = loss(1.0)
    assert whole > 0.01
    parts = torch.tensor([loss(0.125) for _ in range(200)])
    assert parts.std() > 0.01 * whole  # another share each time
    assert parts.mean().item() == pytest.approx(whole, rel=0.05)


def test_orientation_moves_the_density(field, rng):
    views = seen(field, orbit(1), keep_samples=True)
    found = sample_normals(field, views, share=0.5, spacing=SPACING, generator=rng)
    loss = orientation_loss(found.weights, found.normals, found.directions, rays=found.rays)
    (bar,) = torch.autograd.grad(loss, field.table)
    assert bar.abs().sum() > 0
