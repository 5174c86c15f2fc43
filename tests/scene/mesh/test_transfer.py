"""Nearest points against brute force over all triangles; colours against the field itself."""

import numpy as np
import pytest
import torch
import trimesh

from tests.support.finished_runs import ball, gradient, write_mesh
from xbind.scene.mesh import transfer
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.mesh.simplify import simplify
from xbind.scene.mesh.textured import read_glb
from xbind.scene.mesh.transfer import NearestSurface, TextureColours


def brute_force(corners, point):
    """Distance of a point to the nearest triangle: a fine grid of barycentric weights, float64."""
    n = 60
    i, j = np.meshgrid(np.arange(n + 1), np.arange(n + 1))
    keep = i + j <= n
    weights = np.stack([i[keep], j[keep], n - i[keep] - j[keep]], 1) / n
    return np.linalg.norm(np.einsum("wk,fkc->fwc", weights, corners) - point, axis=2).min()


@pytest.mark.parametrize("samples", [20, transfer.SAMPLES])
def test_nearest_points_are_as_near_as_brute_force_finds(rng, samples, monkeypatch):
    monkeypatch.setattr(transfer, "SAMPLES", samples)  # few: the candidates are many triangles
    mesh = ball(1)
    corners = mesh.corners().double().numpy()
    points = mesh.vertices[torch.randint(len(mesh.vertices), (40,), generator=rng)]
    points = points + 0.1 * torch.randn(40, 3, generator=rng)
    nearest = NearestSurface(mesh).nearest(points)
    for k in range(40):
        distance = float((nearest.positions[k] - points[k]).norm())
        least = brute_force(corners, points[k].double().numpy())
        assert distance <= least + 1e-6
        assert distance >= least - 0.01  # the grid's spacing
    placed = torch.einsum("pk,pkc->pc", nearest.weights, mesh.corners()[nearest.face])
    torch.testing.assert_close(placed, nearest.positions, atol=1e-5, rtol=0)
    assert (nearest.weights >= -1e-6).all()


def test_points_of_the_surface_stay_where_they_are():
    mesh = ball(3)
    middles = mesh.corners().mean(1)
    nearest = NearestSurface(mesh).nearest(middles)
    torch.testing.assert_close(nearest.positions, middles, atol=1e-6, rtol=0)
    assert torch.equal(nearest.face, torch.arange(len(mesh.faces)))


def test_a_large_triangle_beside_small_ones_is_found():
    vertices = torch.tensor([[0.0, 0, 0], [10, 0, 0], [0, 10, 0], [10, 10, 0], [10.1, 10, 0]])
    faces = torch.tensor([[0, 1, 2], [3, 1, 4]])
    points = torch.tensor([[2.0, 2.0, 0.3], [0.1, 9.7, -0.2]])
    nearest = NearestSurface(Mesh(vertices, faces)).nearest(points)
    assert nearest.face.tolist() == [0, 0]
    torch.testing.assert_close(nearest.positions[:, 2], torch.zeros(2))


def test_a_triangle_without_area_does_not_spread_nan():
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0.5, 0, 0]])
    mesh = Mesh(vertices, torch.tensor([[0, 1, 2], [0, 3, 1], [0, 0, 0]]))
    nearest = NearestSurface(mesh).nearest(torch.tensor([[0.4, -0.1, 0.1], [0.0, 0.0, 0.1]]))
    assert nearest.positions.isfinite().all()
    assert nearest.weights.isfinite().all()


@pytest.mark.parametrize("faces", [None, 500])
def test_colours_are_those_of_the_texture(tmp_path, faces):
    textured = read_glb(write_mesh(tmp_path / "m.glb", ball(4), size=256))
    mesh = ball(4) if faces is None else simplify(ball(4), faces)
    colours = TextureColours(
        NearestSurface(textured.mesh), textured.mesh.faces, textured.uv, textured.texture
    )
    points = mesh.corners().mean(1)
    error = (colours(points) - gradient(points).clamp(0, 1)).abs()
    assert error.max() < (0.015 if faces is None else 0.03)  # 8 bits, texels of 0.006


def test_thin_walls_keep_the_colours_of_their_sides(tmp_path):
    box = trimesh.creation.box((1.0, 1.0, 0.04)).subdivide().subdivide()
    slab = Mesh(torch.from_numpy(box.vertices).float(), torch.from_numpy(box.faces))

    def sides(points):
        return (points[:, 2:] > 0).float().expand(-1, 3)

    textured = read_glb(write_mesh(tmp_path / "m.glb", slab, colour_at=sides, size=128))
    colours = TextureColours(
        NearestSurface(textured.mesh), textured.mesh.faces, textured.uv, textured.texture
    )
    flat = slab.vertices[(slab.vertices[:, :2].abs() < 0.4).all(1)]
    assert torch.equal((colours(flat) > 0.5)[:, 0], flat[:, 2] > 0)
