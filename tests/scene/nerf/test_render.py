"""Rendering against balls of constant density, whose images have a closed form; and a fit."""

import pytest
import torch

from tests.support.balls import SMALL, Ball
from xbind.config.scene import OccupancyConfig
from xbind.losses.regularizers import normal_vector_loss, z_variance_loss
from xbind.scene.cameras import orbit
from xbind.scene.nerf import render as render_module
from xbind.scene.nerf.field import HashField
from xbind.scene.nerf.occupancy import OccupancyGrid
from xbind.scene.nerf.render import render, surface_normals

NORMALS = {"spacing": 1.7 / 24, "least_opacity": 0.5}
STEP = 0.04


def chords(ball, cameras, size):
    """Entry and exit distance of every ray, equal where it misses, [b, 1, h, w]."""
    origins, directions = cameras.rays(size)
    from_centre = origins - ball.centre
    along = (from_centre * directions).sum(-1)
    half = ball.ball_radius**2 - from_centre.square().sum(-1) + along**2
    half = half.clamp_min(0).sqrt()
    return (-along - half)[:, None], (-along + half)[:, None]


def test_ball_in_closed_form():
    ball, cameras = Ball(), orbit(3, elevation_deg=20.0)
    views = render(ball, None, cameras, 16, step=0.004, generator=None)
    near, far = chords(ball, cameras, 16)
    left = torch.exp(-5.0 * (far - near))
    assert views.image.shape == (3, 3, 16, 16)
    # opacity: one sample more or less at each end of the chord, 5 · 0.004
    torch.testing.assert_close(views.mask, 1 - left, rtol=0, atol=0.02)
    mean = near + 1 / 5.0 - (far - near) * left / (1 - left).clamp_min(1e-3)
    torch.testing.assert_close(
        views.depth, torch.where(left < 1, mean, 0.0) * (1 - left), rtol=0, atol=0.06
    )
    torch.testing.assert_close(views.opacity, views.mask.flatten())
    torch.testing.assert_close(views.image[:, 1:2], left, rtol=0, atol=0.02)  # green: background


def test_z_variance_is_that_of_a_cut_exponential():
    ball, cameras = Ball(), orbit(1, elevation_deg=0.0)
    views = render(ball, None, cameras, 9, step=0.002, generator=None)
    near, far = (x[0, 0, 4, 4] for x in chords(ball, cameras, 9))
    length, left = far - near, torch.exp(-5.0 * (far - near))
    want = 1 / 5.0**2 - length**2 * left / (1 - left) ** 2
    assert views.z_variance.view(9, 9)[4, 4].item() == pytest.approx(want.item(), rel=0.02)
    assert views.z_variance.view(9, 9)[0, 0] == 0


def test_orientation_and_background():
    # a ball above, and in front of a camera at azimuth 0 to its right (+y)
    views = render(
        Ball((0.0, 0.4, 0.4), 0.2, 50.0), None, orbit(1, elevation_deg=0.0), 16,
        step=STEP, generator=None, background=0.0,
    )  # fmt: skip
    mask = views.mask[0, 0] > 0.5
    rows, columns = mask.nonzero().float().mean(0).tolist()
    assert rows < 6
    assert columns > 9
    assert not views.image[0][:, ~(views.mask[0, 0] > 0)].any()
    red = views.image[0, 0][mask]
    assert (red > 0.45).all()


def test_surface_lies_on_the_ball():
    ball, cameras = Ball(thick=400.0), orbit(2)
    views = render(ball, None, cameras, 16, step=0.003, generator=None)
    solid = views.opacity > 0.99
    assert solid.sum() > 20
    torch.testing.assert_close(
        views.surface[solid].norm(dim=-1), torch.full((int(solid.sum()),), 0.4), rtol=0, atol=0.01
    )
    # half-transparent: the mean position is inside, although depth is not divided by opacity
    views = render(Ball(thick=2.0), None, cameras, 16, step=0.003, generator=None)
    some = (views.opacity > 0.3) & (views.opacity < 0.7)
    assert some.sum() > 20
    assert (views.surface[some].norm(dim=-1) < 0.41).all()


def test_surface_is_a_constant(rng):
    field = HashField(SMALL, generator=rng)
    views = render(field, None, orbit(1), 8, step=STEP, generator=None)
    assert views.image.requires_grad
    assert not views.surface.requires_grad


def test_normals_point_outwards():
    ball, cameras = Ball((0.1, 0.0, -0.1), thick=100.0), orbit(2, elevation_deg=30.0)
    views = render(ball, None, cameras, 16, step=STEP, generator=None)
    seen = surface_normals(ball, views, **NORMALS)
    assert torch.equal(seen.mask, views.mask > 0.5)
    want = torch.nn.functional.normalize(views.surface - ball.centre, dim=-1)
    want = want.view(2, 16, 16, 3).permute(0, 3, 1, 2)
    torch.testing.assert_close(seen.normals, want * seen.mask, rtol=0, atol=1e-3)


def test_normals_are_differentiable_in_the_parameters(rng):
    field = HashField(SMALL, generator=rng)
    views = render(field, None, orbit(1), 12, step=STEP, generator=None)
    seen = surface_normals(field, views, **NORMALS)
    normal_vector_loss(seen.normals, taps=9, sigma=1.7).backward()
    assert field.table.grad.isfinite().all()
    assert field.table.grad.any()


def test_normals_of_nothing_are_zero(rng):
    field = Ball(thick=0.0)
    views = render(field, None, orbit(1), 12, step=STEP, generator=rng)
    seen = surface_normals(field, views, **NORMALS)
    assert not seen.normals.any()
    assert not seen.mask.any()
    assert z_variance_loss(views.z_variance, views.opacity, least_opacity=0.5) == 0


def test_chunks_do_not_show(monkeypatch, rng):
    field = HashField(SMALL, generator=rng)
    want = render(field, None, orbit(2), 10, step=STEP, generator=torch.Generator().manual_seed(3))
    monkeypatch.setattr(render_module, "RAYS_AT_ONCE", 37)
    got = render(field, None, orbit(2), 10, step=STEP, generator=torch.Generator().manual_seed(3))
    for name in ("image", "mask", "depth", "z_variance", "surface"):
        torch.testing.assert_close(getattr(got, name), getattr(want, name))


def test_occupancy_skips_only_what_is_empty(rng):
    ball = Ball()
    occupancy = OccupancyGrid(OccupancyConfig(resolution=16), radius=SMALL.radius)
    for _ in range(16):
        occupancy.update(lambda x: ball(x)[0], rng)
    assert occupancy.cells.float().mean() < 0.2
    want = render(ball, None, orbit(1), 12, step=STEP, generator=None)
    got = render(ball, occupancy, orbit(1), 12, step=STEP, generator=None)
    # a cell that the ball only grazes may never have been hit by a look
    assert (got.image - want.image).abs().mean() < 2e-3
    assert (got.image - want.image).abs().max() < 0.25


def test_fits_the_views_of_a_ball(rng):
    cameras = orbit(4)
    target = render(Ball(thick=60.0), None, cameras, 16, step=STEP, generator=None)
    field = HashField(SMALL, generator=rng)
    occupancy = OccupancyGrid(OccupancyConfig(resolution=16), radius=SMALL.radius)
    optimizer = torch.optim.Adam(field.parameters(), lr=0.02, betas=(0.9, 0.99), eps=1e-15)
    errors = []
    for iteration in range(30):
        occupancy.maintain(iteration, field.density, rng)
        views = render(field, occupancy, cameras, 16, step=STEP, generator=rng)
        loss = (views.image - target.image).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append(loss.item())
    assert errors[-1] < 0.15 * errors[0]
