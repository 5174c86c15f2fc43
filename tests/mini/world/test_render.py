import numpy as np
import pytest
import torch

from xbind.mini.world.categories import build
from xbind.mini.world.render import NEAR, render
from xbind.mini.world.world_mesh import WorldMesh
from xbind.scene.cameras import Cameras


def cameras(*rows):
    return Cameras(*torch.tensor(rows, dtype=torch.float32).T.contiguous())


FAR = (25.0, 40.0, 2.5, 40.0)
INSIDE = (10.0, -110.0, 0.4, 70.0)


def triangle_soup(count=40, seed=0):
    """Triangles in random directions around the camera too, so open and partly behind it."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-0.6, 0.6, (count, 1, 3))
    vertices = (centres + rng.normal(0, 0.25, (count, 3, 3))).reshape(-1, 3)
    normals = rng.normal(size=(3 * count, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    colours = rng.uniform(0, 1, (3 * count, 3))
    faces = np.arange(3 * count).reshape(-1, 3)
    arrays = (vertices.astype(np.float32), normals.astype(np.float32), colours.astype(np.float32))
    return WorldMesh(*arrays, faces, np.arange(count), "mug", "red", "")


def cast(mesh, camera, size):
    """Möller–Trumbore against every triangle in float64: depth, and colour at the nearest hit."""
    origins, directions = (x[0].double().numpy().reshape(-1, 3) for x in camera.rays(size))
    a, b, c = np.moveaxis(mesh.vertices.astype(np.float64)[mesh.faces], 1, 0)
    depth, colour = np.full(size * size, np.inf), np.zeros((size * size, 3))
    axis = directions.mean(0) / np.linalg.norm(directions.mean(0))
    for i, (origin, direction) in enumerate(zip(origins, directions, strict=True)):
        p = np.cross(direction, c - a)
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = 1 / ((b - a) * p).sum(1)
            u = ((origin - a) * p).sum(1) * inverse
            q = np.cross(origin - a, b - a)
            v = q @ direction * inverse
            t = ((c - a) * q).sum(1) * inverse
        hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (t * (direction @ axis) > NEAR)
        if hit.any():
            k = np.flatnonzero(hit)[t[hit].argmin()]
            weights = np.array([1 - u[k] - v[k], u[k], v[k]])
            depth[i], colour[i] = t[k], weights @ mesh.colours[mesh.faces[k]]
    return depth.reshape(size, size), colour.reshape(size, size, 3)


@pytest.mark.parametrize("camera", [FAR, INSIDE], ids=["far", "inside"])
def test_agrees_with_brute_force_ray_casting(camera):
    mesh, size = triangle_soup(), 20
    seen = render(mesh, cameras(camera), size, supersample=1)
    depth, colour = cast(mesh, cameras(camera), size)
    hit = np.isfinite(depth)
    assert 0.1 < hit.mean() <= 1.0
    same = np.isclose(seen.depth[0], depth, rtol=1e-4)
    # A ray within rounding of an edge may go either way.
    assert (~same).sum() <= 2
    difference = np.abs(seen.rgba[0, ..., :3] / 255 - colour)[same & hit]
    assert difference.max() < 0.5 / 255 + 1e-3
    np.testing.assert_array_equal(seen.rgba[0, ..., 3][same], np.where(hit, 255, 0)[same])


def test_supersampling_averages_the_finer_image():
    mesh = triangle_soup(seed=1)
    coarse = render(mesh, cameras(FAR), 12, supersample=2)
    fine = render(mesh, cameras(FAR), 24, supersample=1)
    for name in ("rgba", "normals"):
        image = getattr(fine, name)[0].astype(float)
        blocks = image.reshape(12, 2, 12, 2, -1).mean((1, 3))
        assert np.abs(getattr(coarse, name)[0] - blocks).max() <= 1.0
    half = fine.rgba[0, ..., 3].reshape(12, 2, 12, 2).mean((1, 3)) >= 127
    np.testing.assert_array_equal(np.isfinite(coarse.depth[0]), half)


def test_normals_are_unit_and_face_the_camera():
    for mesh in (triangle_soup(), build("mug", "red", torch.Generator().manual_seed(0))):
        camera = cameras(FAR)
        seen = render(mesh, camera, 32, supersample=1)
        mask = seen.rgba[0, ..., 3] == 255
        normals = seen.normals[0][mask] / 255 * 2 - 1
        directions = camera.rays(32)[1][0].numpy()[mask]
        np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0, atol=0.02)
        assert (normals * directions).sum(1).max() < 0.02
        assert not seen.normals[0][~mask].any()


def test_a_face_seen_from_behind_shows_its_flipped_normal():
    vertices = np.array([[0, -3, -3], [0, 3, -3], [0, 0, 3]], np.float32)
    normal = np.array([0.6, 0.0, 0.8], np.float32)
    plane = WorldMesh(
        vertices,
        np.tile(normal, (3, 1)),
        0 * vertices,
        np.array([[0, 1, 2]]),
        np.zeros(1),
        "",
        "",
        "",
    )
    seen = render(plane, cameras((0, 0, 2.5, 20.0), (0, 180, 2.5, 20.0)), 3, supersample=1)
    front, back = seen.normals[:, 1, 1] / 255 * 2 - 1
    np.testing.assert_allclose(front, normal, atol=0.01)
    np.testing.assert_allclose(back, -normal, atol=0.01)


def test_a_ball_of_snow_shows_its_analytic_normals():
    mesh = build("snowman", "blue", torch.Generator().manual_seed(0))
    keep = mesh.face_part == 0
    faces = mesh.faces[keep]
    points = mesh.vertices[faces].reshape(-1, 3)
    centre, radii = 0.5 * (points.min(0) + points.max(0)), 0.5 * np.ptp(points, axis=0)
    ball = WorldMesh(
        mesh.vertices, mesh.normals, mesh.colours, faces, mesh.face_part[keep], "", "", ""
    )
    camera = cameras(FAR)
    seen = render(ball, camera, 32, supersample=1)
    mask = np.isfinite(seen.depth[0])
    origins, directions = (x[0].double().numpy()[mask] for x in camera.rays(32))
    surface = origins + seen.depth[0][mask][:, None] * directions
    gradient = (surface - centre) / radii**2
    gradient /= np.linalg.norm(gradient, axis=1, keepdims=True)
    normals = seen.normals[0][mask] / 255 * 2 - 1
    assert np.median((gradient * normals).sum(1)) > 0.995


def test_a_close_camera_sees_a_cropped_object():
    mesh = build("car", "red", torch.Generator().manual_seed(0))
    seen = render(mesh, cameras((0.0, 90.0, 1.5, 30.0)), 32)
    assert seen.rgba[0, :, 0, 3].any()
    assert seen.rgba[0, :, -1, 3].any()
    assert not seen.rgba[0, 0, :, 3].any()
