"""Marching tetrahedra and DMTet on surfaces that are known in closed form."""

import itertools
import math

import pytest
import torch
from surfaces import (
    area,
    cube_grid,
    euler_characteristic,
    is_closed_manifold,
    sphere_sdf,
    torus_sdf,
)

from xbind.scene.mesh.dmtet import DMTet, find_box, mean_density, smooth_sdf
from xbind.scene.mesh.marching import marching_tetrahedra
from xbind.scene.mesh.tet_shape import EmptySurface
from xbind.scene.mesh.tets import SAFE_OFFSET

SPHERE = (sphere_sdf, 4 * math.pi * 0.7**2, 4 / 3 * math.pi * 0.7**3, 2)
TORUS = (torus_sdf, 4 * math.pi**2 * 0.6 * 0.25, 2 * math.pi**2 * 0.6 * 0.25**2, 0)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def extract(sdf_of, resolution):
    grid = cube_grid(resolution)
    return marching_tetrahedra(grid.vertices, sdf_of(grid.vertices), grid.tets)


@pytest.mark.parametrize("case", range(1, 15))
def test_one_tet_is_cut_along_the_plane_of_a_linear_function(case):
    corners = draw(4, 3, seed=case)
    if torch.linalg.det(corners[1:] - corners[0]) < 0:
        corners = corners[[1, 0, 2, 3]]
    inside = torch.tensor([bool(case >> k & 1) for k in range(4)])
    values = draw(4).abs().add(0.1) * torch.where(inside, -1, 1)
    mesh = marching_tetrahedra(corners, values, torch.arange(4)[None])

    gradient = torch.linalg.solve(corners[1:] - corners[0], values[1:] - values[0])
    level = (mesh.vertices - corners[0]) @ gradient + values[0]
    torch.testing.assert_close(level, torch.zeros_like(level), rtol=0, atol=1e-9)
    along = mesh.face_normals() @ (gradient / gradient.norm())
    torch.testing.assert_close(along, torch.ones_like(along))
    assert len(mesh.vertices) == (4 if inside.sum() == 2 else 3)


def test_volume_below_a_plane_in_one_tet():
    corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)

    def cone_from_p0(values):
        values = torch.tensor(values, dtype=torch.float64)
        return marching_tetrahedra(corners, values, torch.arange(4)[None]).volume().item()

    assert cone_from_p0([-1.0, 2, 1, 3]) == pytest.approx(1 / 3 * 1 / 2 * 1 / 4 / 6)
    # With p0 and p1 inside, the cone lacks the one over the inside part of the face (p1, p2, p3).
    values = [-1.0, -2, 1, 3]
    weights = -torch.rand(100_000, 4, generator=torch.Generator().manual_seed(0)).log()
    is_inside = weights @ torch.tensor(values) < 0  # uniform in the tetrahedron, up to scale
    expected = (is_inside.float().mean().item() - 2 / 3 * 2 / 5) / 6
    assert cone_from_p0(values) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize(("sdf_of", "true_area", "true_volume", "euler"), [SPHERE, TORUS])
def test_closed_surfaces_converge_at_second_order(sdf_of, true_area, true_volume, euler):
    errors = []
    for resolution in (10, 20):
        mesh = extract(sdf_of, resolution)
        assert is_closed_manifold(mesh)
        assert euler_characteristic(mesh) == euler
        errors.append((1 - area(mesh) / true_area, 1 - mesh.volume().item() / true_volume))
    for coarse, fine in zip(*errors, strict=True):
        assert 0 < fine < 0.02
        assert 3.3 < coarse / fine < 4.8


@pytest.mark.parametrize("level", [0.13, 0.0, 0.25])
def test_a_plane_is_exact_even_through_grid_vertices(level):
    mesh = extract(lambda x: x[:, 2] - level, 8)
    height = mesh.vertices[:, 2]
    torch.testing.assert_close(height, torch.full_like(height, level), rtol=0, atol=1e-6)
    assert area(mesh) == pytest.approx(4, rel=1e-5)
    normals = mesh.face_normals()
    up = normals[normals.norm(dim=1) > 0]  # cuts through a vertex leave faces without area
    torch.testing.assert_close(up, torch.tensor([0.0, 0, 1]).expand_as(up), atol=1e-4, rtol=0)


def test_the_complement_has_negative_volume():
    inner, outer = extract(sphere_sdf, 8), extract(lambda x: -sphere_sdf(x), 8)
    torch.testing.assert_close(inner.volume(), -outer.volume())


@pytest.mark.parametrize("values", ["normal", "integer", "positive"])
def test_numba_agrees_with_its_definition(values):
    grid = cube_grid((7, 3, 5))
    sdf = draw(len(grid.vertices)).float()
    sdf = {"normal": sdf, "integer": sdf.round(), "positive": sdf.abs()}[values]
    cotangent, found = None, []
    for impl in ("reference", "numba"):
        leaves = [x.clone().requires_grad_() for x in (grid.vertices, sdf)]
        mesh = marching_tetrahedra(*leaves, grid.tets, impl=impl)
        soup = mesh.vertices[mesh.faces]
        cotangent = draw(*soup.shape).float() if cotangent is None else cotangent
        gradients = torch.autograd.grad((soup * cotangent).sum(), leaves)
        assert mesh.faces.flatten().unique().numel() == len(mesh.vertices)
        found.append((soup, *gradients))
    torch.testing.assert_close(*found)


def test_random_signs_and_exact_zeros_give_finite_closed_meshes():
    grid = cube_grid(6)
    sdf = draw(len(grid.vertices)).float().round()
    sdf[grid.is_boundary] = 1.0
    assert (sdf == 0).sum() > 50
    mesh = marching_tetrahedra(grid.vertices, sdf.requires_grad_(), grid.tets)
    assert is_closed_manifold(mesh)
    mesh.vertices.square().sum().backward()
    assert mesh.vertices.isfinite().all()
    assert sdf.grad.isfinite().all()


def test_zero_is_outside():
    grid = cube_grid(2)
    for value, faces in ((0.0, 0), (-1e-30, 24)):  # the middle corner has 14 edges, hence 24 faces
        sdf = torch.ones(len(grid.vertices))
        sdf[grid.vertices.norm(dim=1).argmin()] = value
        mesh = marching_tetrahedra(grid.vertices, sdf, grid.tets)
        assert len(mesh.faces) == faces
        assert mesh.vertices.isfinite().all()


def test_gradient_by_finite_differences():
    grid = cube_grid((3, 2, 2))
    vertices = grid.vertices.double().requires_grad_()
    sdf = draw(len(vertices), seed=1)
    sdf = (sdf + 0.2 * sdf.sign()).requires_grad_()  # no sign changes within the step
    torch.autograd.gradcheck(
        lambda v, s: marching_tetrahedra(v, s, grid.tets).vertices, (vertices, sdf)
    )


def ball_density(x, radius=0.6, width=0.01):
    return 200 * torch.sigmoid((radius - x.norm(dim=-1)) / width)


def sharp_ball(smoothing, resolution=24):
    low, high = -0.8 * torch.ones(3), 0.8 * torch.ones(3)
    return DMTet.from_density(
        ball_density, low, high, resolution, threshold=10.0, smoothing=smoothing
    )


def test_from_density_clamps_and_has_its_surface_at_the_threshold():
    module = sharp_ball(smoothing=0)
    torch.testing.assert_close(
        module.sdf.detach(), (10 - ball_density(module.vertices)).clamp(-1, 1)
    )
    at_threshold = 0.6 + 0.01 * math.log(200 / 10 - 1)
    radii = module.extract().vertices.norm(dim=1)
    assert (radii - at_threshold).abs().max() < module.reach.max() / SAFE_OFFSET


def test_smoothing_gives_distances_and_shrinks_as_the_heat_equation_says():
    module, passes = sharp_ball(smoothing=4), 4
    cell = 1.6 / 24
    centre = module.vertices.norm(dim=1).argmin()
    around = (module.tets == centre).any(1)  # one pass from the centre spreads to its tetrahedra
    spread = module.vertices[module.tets[around]] - module.vertices[centre]
    variance = spread.square().mean((0, 1)).mean()
    radii = module.extract().vertices.norm(dim=1)
    plain = sharp_ball(smoothing=0).extract().vertices.norm(dim=1)
    shrinkage = passes * variance / 2 * (2 / 0.63)
    torch.testing.assert_close(plain.mean() - radii.mean(), shrinkage, rtol=0.15, atol=0)
    torch.testing.assert_close(variance.item(), 5 / 24 * cell**2, rtol=1e-4, atol=0)

    near = module.sdf.abs() < 0.9
    distance = (module.vertices.norm(dim=1) - radii.mean())[near] / cell
    assert (module.sdf[near] - distance).abs().mean() < 0.1


def test_smoothing_without_a_surface_is_harmless():
    grid = cube_grid(3)
    ones = torch.ones(len(grid.vertices))
    torch.testing.assert_close(smooth_sdf(ones, grid.vertices, grid.tets, 1.0, 2), ones)


def test_grid_vertices_never_cross_and_the_box_stays():
    module = DMTet(torch.tensor([-1.0, 0, 0]), torch.tensor([1.0, 1.2, 0.9]), 8)
    with torch.no_grad():
        module.deformation.copy_(1e3 * draw(*module.deformation.shape))
    moved = module.positions().detach()
    a, b, c = (moved[module.tets][:, 1:] - moved[module.tets][:, :1]).unbind(1)
    assert (a * torch.linalg.cross(b, c)).sum(-1).min() > 0
    assert torch.equal(moved[module.is_boundary], module.vertices[module.is_boundary])
    assert (moved - module.vertices)[~module.is_boundary].abs().min() > 0


def test_extraction_is_closed_at_the_box():
    module = DMTet(-torch.ones(3), torch.ones(3), 5)
    with torch.no_grad():
        module.sdf.fill_(-1.0)
    mesh = module.extract()
    assert is_closed_manifold(mesh)
    assert mesh.volume().item() == pytest.approx(8, rel=0.01)


def test_same_parameters_give_the_same_mesh_and_gradient():
    module = sharp_ball(smoothing=1, resolution=12)
    found = []
    for _ in range(2):
        mesh = module.extract()
        loss = (mesh.vertices.sin() * mesh.vertex_normals()).sum()
        found.append((mesh.vertices, mesh.faces, *torch.autograd.grad(loss, module.parameters())))
    for first, second in zip(*found, strict=True):
        assert torch.equal(first, second)


def test_a_saved_state_is_complete():
    module = DMTet(torch.tensor([-1.0, -0.5, 0]), torch.tensor([1.0, 0.7, 0.9]), 6)
    with torch.no_grad():
        module.sdf.copy_(draw(len(module.sdf)))
        module.deformation.copy_(draw(*module.deformation.shape))
    state = module.state_dict()
    other_box = DMTet(torch.tensor([0.0, 0, 0]), torch.tensor([2.0, 1.2, 0.9]), 6)
    other_box.load_state_dict(state)
    for copy in (DMTet.from_state(state), other_box):
        assert torch.equal(copy.extract().vertices, module.extract().vertices)


def test_volume_follows_its_gradient():
    module = sharp_ball(smoothing=2, resolution=12)
    volume = module.extract().volume()
    (slope,) = torch.autograd.grad(volume, module.sdf)
    with torch.no_grad():
        module.sdf -= 1e-3  # everything 1e-3 further inside
    gained = (module.extract().volume() - volume).item()
    assert gained == pytest.approx(-1e-3 * slope.sum().item(), rel=0.05)
    assert gained > 0


def test_an_empty_surface_says_what_to_do():
    module = DMTet(-torch.ones(3), torch.ones(3), 2)
    with pytest.raises(EmptySurface, match=r"(?s)Phase II, step 7: .*from 1 to 1\n.*threshold"):
        module.extract("Phase II, step 7")
    with pytest.raises(EmptySurface, match=r"(?s)Phase I: .*above 10 .*found: +4 at most"):
        find_box(
            lambda x: torch.full_like(x[:, 0], 4.0), 1.0, 10.0, resolution=8, margin=0.1,
            context="Phase I",
        )  # fmt: skip


def test_find_box_is_tight():
    centre, axes = torch.tensor([0.3, -0.2, 0.5]), torch.tensor([0.4, 0.1, 0.3])

    def density_at(x):
        return 20.0 * (((x - centre) / axes).norm(dim=1) < 1)

    low, high = find_box(density_at, 1.0, 10.0, resolution=48, margin=0.1)
    spacing = 2 / 47
    for corner, side in itertools.product((low, high), range(3)):
        outward = -1 if corner is low else 1
        gap = outward * (corner - (centre + outward * axes))[side].item()
        pad = 0.1 * 2 * axes[side].item()
        assert pad - spacing / 2 < gap < pad + 1.5 * spacing


def test_find_box_stays_within_the_scene():
    low, high = find_box(
        lambda x: torch.full_like(x[:, 0], 11.0), 0.7, 10.0, resolution=4, margin=0.1
    )
    torch.testing.assert_close(low, torch.full((3,), -0.7))
    torch.testing.assert_close(high, torch.full((3,), 0.7))


def test_a_signed_distance_starts_the_grid():
    low, high = torch.full((3,), -0.8), torch.full((3,), 0.8)
    module = DMTet.from_sdf(lambda x: x.norm(dim=1) - 0.5, low, high, 24)
    assert module.extract().volume().item() == pytest.approx(4 / 3 * math.pi * 0.125, rel=0.02)
    inner = (module.sdf.abs() < 1) & ~module.is_boundary
    want = (module.vertices[inner].norm(dim=1) - 0.5) / (1.6 / 24)
    torch.testing.assert_close(module.sdf[inner], want)
    assert (module.sdf.abs() <= 1).all()


def test_the_mean_density_leaves_out_what_is_empty():
    def density(x):
        return torch.where(x[:, 0] > 0, 30.0, torch.where(x[:, 1] > 0, 6.0, 1e-6))

    found = mean_density(density, 0.8, resolution=10, least_density=1e-5)
    assert found == pytest.approx((30 + 6 / 2) / 1.5)  # half of the cube, and a quarter
    nothing = mean_density(lambda x: 0 * x[:, 0], 0.8, resolution=4, least_density=1e-5)
    assert nothing == 1e-5
