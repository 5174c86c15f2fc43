"""Renderings of a sphere, which the camera's own rays can check."""

import math

import pytest
import torch
from spheres import sphere

from xbind.scene.cameras import Cameras, orbit
from xbind.scene.light import Light, PointLights
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.mesh.render import (
    render_mask,
    render_normals,
    shade,
    shade_with,
    surface_points,
)
from xbind.scene.shading import Shading

RADIUS = 0.7
EMPTY = Mesh(torch.zeros(4, 3, requires_grad=True), torch.zeros(0, 3, dtype=torch.int64))


@pytest.fixture
def ball():
    return Mesh(*sphere(4, RADIUS))


@pytest.fixture
def cameras():
    return Cameras(
        torch.tensor([20.0, -35.0]),
        torch.tensor([0.0, 130.0]),
        torch.tensor([2.5, 2.0]),
        torch.tensor([40.0, 50.0]),
    )


def hits(cameras, size):
    """Where the camera's rays meet the sphere: [b, h, w, 3], and whether they do."""
    origins, directions = cameras.rays(size)
    half_b = (origins * directions).sum(-1)
    inside = half_b**2 - (origins**2).sum(-1) + RADIUS**2
    along = -half_b - inside.clamp_min(0).sqrt()
    return origins + along[..., None] * directions, inside > 0


def test_surface_points_lie_on_the_cameras_rays(ball, cameras):
    points = surface_points(ball, cameras, 32)
    want, hit = hits(cameras, 32)
    assert (points.mask != hit).float().mean() < 0.01  # a polyhedron is a little smaller
    off = (points.positions - want)[points.mask & hit].norm(dim=-1)
    # A chord's height below the sphere, seen at up to a grazing angle.
    assert off.median() < 4e-3
    origins, directions = cameras.rays(32)
    across = torch.linalg.cross(points.positions - origins, directions)[points.mask]
    assert across.abs().max() < 1e-5
    assert not points.positions[~points.mask].any()


def test_normals_are_the_spheres_own(ball, cameras):
    normals, mask = render_normals(ball, cameras, 32)
    want, _ = hits(cameras, 32)
    inside = mask[:, 0] == 1
    inside &= torch.nn.functional.avg_pool2d(inside.float(), 3, 1, 1) > 0.99  # not smoothed
    assert inside.float().mean() > 0.2
    error = normals.movedim(1, -1) - (want / RADIUS + 1) / 2
    assert error[inside].abs().max() < 0.02
    assert not normals.movedim(1, -1)[mask[:, 0] == 0].any()
    assert normals[:, 2, 8].amax() > normals[:, 2, -8].amax()  # z is up, row 0 is the top


def test_normals_keep_their_length_between_distant_vertices(cameras):
    normals, mask = render_normals(Mesh(*sphere(0, RADIUS)), cameras, 32)
    inside = torch.nn.functional.avg_pool2d((mask == 1).float(), 3, 1, 1)[:, 0] > 0.99
    lengths = (2 * normals - 1).norm(dim=1)[inside]
    torch.testing.assert_close(lengths, torch.ones_like(lengths))


def test_mask_is_the_discs_area(ball):
    cameras = orbit(3, distance=2.5, fov_y_deg=40.0)
    pixels = 20 / math.tan(math.radians(20)) * math.tan(math.asin(RADIUS / 2.5))
    mask = render_mask(ball, cameras, 40)
    assert mask.shape == (3, 1, 40, 40)
    area = mask.sum((1, 2, 3))
    torch.testing.assert_close(area, torch.full((3,), math.pi * pixels**2), rtol=5e-3, atol=0)


def test_shade_colours_covered_pixels_only(ball, cameras):
    points = surface_points(ball, cameras, 24)
    tint = torch.tensor([0.2, 0.5, 0.9], requires_grad=True)
    seen = []

    def colour_at(positions):
        seen.append(positions)
        return tint.expand(len(positions), 3)

    image, mask = shade(points, ball, colour_at)
    assert len(seen) == 1
    assert torch.equal(seen[0], points.positions[points.mask])
    torch.testing.assert_close(image, mask * tint.view(3, 1, 1) + (1 - mask))  # white behind
    black, _ = shade(points, ball, colour_at, background=0.0)
    torch.testing.assert_close(black, mask * tint.view(3, 1, 1))
    (tint_bar,) = torch.autograd.grad(image.sum(), tint)
    torch.testing.assert_close(tint_bar, mask.sum().expand(3))


def test_empty_mesh_is_background(cameras):
    normals, mask = render_normals(EMPTY, cameras, 8)
    assert not normals.any()
    assert not mask.any()
    image, mask = shade(surface_points(EMPTY, cameras, 8), EMPTY, lambda x: x)
    assert (image == 1).all()
    assert not mask.any()
    (vertices_bar,) = torch.autograd.grad(image.sum() + normals.sum(), EMPTY.vertices)
    assert not vertices_bar.any()


def test_gradient_of_normals_matches_finite_differences(ball, cameras):
    vertices = ball.vertices.clone().requires_grad_()
    rng = torch.Generator().manual_seed(0)
    weight = torch.randn(2, 3, 4, 4, generator=rng)
    weight = torch.nn.functional.interpolate(weight, size=(32, 32), mode="bilinear")
    bend = torch.randn(3, 3, generator=rng)

    def loss(moved):
        return (render_normals(Mesh(moved, ball.faces), cameras, 32)[0] * weight).sum()

    (vertices_bar,) = torch.autograd.grad(loss(vertices), vertices)
    step = ball.vertices @ bend  # a linear map of the whole ball: outline and normals change
    with torch.no_grad():
        slope = (loss(vertices + 0.03 * step) - loss(vertices - 0.03 * step)) / 0.06
    torch.testing.assert_close((vertices_bar * step).sum(), slope, rtol=0.03, atol=0)


def test_outline_alone_recovers_place_and_size():
    vertices, faces = sphere(3, 1.0)
    cameras = orbit(3)
    with torch.no_grad():
        target = render_mask(
            Mesh(0.5 * vertices + torch.tensor([0.15, -0.1, 0.05]), faces), cameras, 32
        )
    place = torch.zeros(3, requires_grad=True)
    size = torch.tensor(0.3, requires_grad=True)
    optimizer = torch.optim.Adam([place, size], lr=0.02)
    for _ in range(60):
        mask = render_mask(Mesh(size * vertices + place, faces), cameras, 32)
        optimizer.zero_grad()
        (mask - target).square().mean().backward()
        optimizer.step()
    torch.testing.assert_close(size.item(), 0.5, rtol=0, atol=0.01)
    torch.testing.assert_close(place.tolist(), [0.15, -0.1, 0.05], rtol=0, atol=0.01)


def test_a_lit_surface_shows_albedo_times_light(ball, cameras):
    sun = Light((0.0, 0.6, 0.8), ambient=0.3, wrap=0.0)
    points, tint = surface_points(ball, cameras, 32), torch.tensor([0.2, 0.5, 0.9])
    image, mask = shade(points, ball, lambda x: tint.expand(len(x), 3), shading=Shading("lit", sun))
    where, hit = hits(cameras, 32)
    inside = hit & (torch.nn.functional.avg_pool2d((mask == 1).float(), 3, 1, 1)[:, 0] > 0.99)
    cosine = (where / RADIUS) @ torch.tensor(sun.direction)
    want = tint * (0.3 + 0.7 * cosine.clamp_min(0))[..., None]
    assert (image.movedim(1, -1) - want)[inside].abs().max() < 0.02
    assert (cosine[inside] < 0).any()


def test_each_view_has_its_own_light(ball, cameras):
    eyes = cameras.position()
    shading = Shading("textureless", PointLights(eyes, 0.0, 1.0))
    points = surface_points(ball, cameras, 33)
    image, _ = shade(points, ball, torch.zeros_like, shading=shading)
    assert torch.equal(image[:, 0], image[:, 2])
    assert (image[:, 0, 16, 16] > 0.99).all()  # the middle faces the light in both views


def test_shaders_are_told_where_and_from_where(ball, cameras):
    points = surface_points(ball, cameras, 24)

    def shader(positions, normals, view):
        assert (normals * positions).sum(1).min() > 0.99 * RADIUS
        return torch.stack([view / 2, 0.5 + positions[:, 2] / 2, normals.norm(dim=1)], 1)

    image, mask = shade_with(points, ball, shader, background=0.0)
    full = torch.nn.functional.avg_pool2d((mask == 1).float(), 3, 1, 1)[:, 0] > 0.99
    assert (image[0, 0][full[0]] == 0).all()
    assert (image[1, 0][full[1]] == 0.5).all()
    height = 0.5 + points.positions[..., 2] / 2
    torch.testing.assert_close(image[:, 1][full], height[full])
    torch.testing.assert_close(image[:, 2][full], torch.ones(int(full.sum())))


def test_colours_lie_behind_a_mesh(ball, cameras, rng):
    colours = torch.rand(2, 3, 24, 24, generator=rng, requires_grad=True)
    points = surface_points(ball, cameras, 24)
    image, mask = shade(points, ball, torch.zeros_like, background=colours)
    empty = (mask == 0).expand_as(image)
    assert torch.equal(image[empty], colours[empty])
    (bar,) = torch.autograd.grad(image.sum(), colours)
    torch.testing.assert_close(bar.sum(), (3 * (1 - mask)).sum(), rtol=0.02, atol=0)


def test_light_moves_vertices_through_the_normals(cameras):
    """Against differences: a stretched sphere under a light from above."""
    sun = Light((0.0, 0.0, 1.0), ambient=0.2, wrap=1.0)
    vertices, faces = sphere(3, RADIUS)
    stretch = torch.tensor(1.0, requires_grad=True)

    def brightness(factor):
        scale = torch.cat([torch.ones(2), factor[None]])
        mesh = Mesh(vertices * scale, faces)
        points = surface_points(mesh, cameras, 48)
        image, mask = shade(points, mesh, torch.ones_like, background=0.0,
                            shading=Shading("lit", sun))  # fmt: skip
        middle = image[:, :, 12:36, 12:36]  # off the outline, where pixels change sides
        assert (mask[:, :, 12:36, 12:36] == 1).all()
        return (middle * torch.linspace(0, 1, 24)[:, None]).mean()

    (bar,) = torch.autograd.grad(brightness(stretch), stretch)
    with torch.no_grad():
        want = (brightness(stretch + 0.02) - brightness(stretch - 0.02)) / 0.04
    assert bar.item() == pytest.approx(want.item(), rel=0.1)
