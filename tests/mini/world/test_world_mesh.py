import numpy as np
import pytest
import torch

from xbind.mini.world.categories import (
    CATEGORIES,
    COLOUR_NAMES,
    UnknownWorldNameError,
    build,
)
from xbind.mini.world.palette import COLOURS
from xbind.mini.world.render import render
from xbind.mini.world.world_mesh import CREASE_DEG
from xbind.scene.cameras import orbit


def make(category, colour="red", seed=0):
    return build(category, colour, torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def meshes():
    return [
        make(category, COLOUR_NAMES[(i + seed) % 8], seed)
        for i, category in enumerate(CATEGORIES)
        for seed in (0, 1)
    ]


def corners(mesh):
    return mesh.vertices.astype(np.float64)[mesh.faces]


def test_seventeen_categories_and_eight_colours():
    assert len(CATEGORIES) == len(set(CATEGORIES)) == 17
    assert len(COLOUR_NAMES) == 8


def test_a_generator_determines_the_object():
    first, again, other = make("teapot", seed=3), make("teapot", seed=3), make("teapot", seed=4)
    np.testing.assert_array_equal(first.vertices, again.vertices)
    np.testing.assert_array_equal(first.colours, again.colours)
    assert first.vertices.shape != other.vertices.shape or (first.vertices != other.vertices).any()


def test_objects_are_centred_and_fill_the_radius(meshes):
    for mesh in meshes:
        radius = np.linalg.norm(mesh.vertices, axis=1).max()
        assert 0.7199 < radius < 0.8001, mesh.category
        middle = mesh.vertices.min(0) + mesh.vertices.max(0)
        np.testing.assert_allclose(middle, 0.0, atol=1e-5)


def test_every_part_is_closed_and_wound_outwards(meshes):
    for mesh in meshes:
        points = corners(mesh)
        for part in np.unique(mesh.face_part):
            a, b, c = np.moveaxis(points[mesh.face_part == part], 1, 0)
            areas = np.cross(b - a, c - a)
            # The area vectors of a closed surface cancel, and its signed volume is positive.
            assert np.abs(areas.sum(0)).max() < 1e-6 * np.abs(areas).sum() + 1e-8, mesh.category
            assert (a * np.cross(b, c)).sum() > 0, (mesh.category, part)


def test_normals_are_unit_and_within_the_crease_of_their_face(meshes):
    for mesh in meshes:
        np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1.0, atol=1e-5)
        a, b, c = np.moveaxis(corners(mesh), 1, 0)
        areas = np.cross(b - a, c - a)
        size = np.linalg.norm(areas, axis=1)
        facing = (mesh.normals[mesh.faces] * (areas / (size[:, None] + 1e-12))[:, None]).sum(-1)
        assert facing[size > 1e-6].min() > np.cos(np.deg2rad(CREASE_DEG)) - 1e-4, mesh.category


def test_hard_edges_stay_hard_and_round_surfaces_are_smooth():
    box, ball = make("table", seed=0), make("snowman", seed=0)
    seat = np.abs(box.normals[:, 2]) > 0.999
    assert seat.any()
    part = ball.face_part.repeat(3) == 0
    points, normals = ball.vertices[part], ball.normals[part]
    centre = 0.5 * (points.min(0) + points.max(0))
    radii = 0.5 * (points.max(0) - points.min(0))
    gradient = (points - centre) / radii**2
    gradient /= np.linalg.norm(gradient, axis=1, keepdims=True)
    assert (gradient * normals).sum(1).min() > 0.98


def test_light_is_half_lambert_in_the_world_frame():
    mesh = make("drum", "blue")
    light = np.array([0.5, 0.35, 0.8]) / np.sqrt(0.5**2 + 0.35**2 + 0.8**2)
    factor = 0.42 + 0.58 * (0.5 + 0.5 * mesh.normals @ light)
    part = mesh.face_part.repeat(3) == 0
    albedo = mesh.colours[part] / factor[part, None]
    assert np.ptp(albedo, axis=0).max() < 1e-5
    assert np.abs(albedo[0] - COLOURS["blue"]).max() < 0.1


def test_the_main_colour_dominates_in_pictures(meshes):
    names = list(COLOURS)
    hues = np.array([COLOURS[name] for name in names])
    hues = hues / np.linalg.norm(hues, axis=1, keepdims=True)
    for mesh in meshes:
        rgba = render(mesh, orbit(4, elevation_deg=10.0), 24, supersample=1).rgba
        pixels = rgba[rgba[..., 3] == 255][:, :3].astype(float)
        pixels /= np.linalg.norm(pixels, axis=1, keepdims=True)
        share = (pixels @ hues.T > 0.985).mean(0)
        assert names[share.argmax()] == mesh.colour, mesh.category
        assert share.max() > 0.33, (mesh.category, share.max())


def test_adjectives_follow_the_proportions():
    found = {make("mug", seed=seed).adjective for seed in range(12)}
    assert found == {"", "tall", "short"}
    assert {make("car", seed=seed).adjective for seed in range(6)} == {""}

    def slenderness(mesh):
        extent = np.ptp(mesh.vertices, axis=0)
        return extent[2] / extent[0]

    mugs = [make("mug", seed=seed) for seed in range(24)]
    tall, short = (
        [slenderness(m) for m in mugs if m.adjective == word] for word in ("tall", "short")
    )
    assert np.mean(tall) > 1.15 * np.mean(short)


def test_unknown_names_say_what_exists():
    with pytest.raises(UnknownWorldNameError, match=r"'sofa'.*mug.*boat"):
        make("sofa")
    with pytest.raises(UnknownWorldNameError, match=r"'beige'.*red.*pink"):
        make("mug", "beige")
