"""Stripes and spots: areas against closed forms, exact edges, and surfaces that stay whole."""

from dataclasses import replace

import numpy as np
import pytest

from xbind.mini.world.palette import COLOURS
from xbind.mini.world.patterns import Pattern, cut, spots, stripes
from xbind.mini.world.shapes import box, ellipsoid
from xbind.mini.world.world_mesh import assemble

RED, BLUE = COLOURS["red"], COLOURS["blue"]


def triangles_of(part):
    return part.vertices[part.faces]


def areas(triangles):
    a, b, c = np.moveaxis(triangles, 1, 0)
    return 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1)


def test_stripes_cover_their_share_of_a_plane():
    square = triangles_of(box((2.0, 2.0, 0.1), RED))
    pieces, inside = cut(square, stripes(np.array([1.0, 0, 0]), 0.5, 0.2, 0.1))
    top = (np.abs(pieces[:, :, 2] - 0.05) < 1e-9).all(1)
    assert areas(pieces)[top].sum() == pytest.approx(4.0)
    # every stripe of this phase lies inside the square: 0.2 wide in every 0.5
    assert areas(pieces)[top & inside].sum() == pytest.approx(4.0 * 0.2 / 0.5, rel=1e-9)


def test_a_spot_is_a_disc_with_a_smooth_edge():
    plate = triangles_of(box((2.0, 2.0, 0.1), RED))
    distance = spots(np.array([[0.1, -0.2, 0.05]]), 0.3)
    pieces, inside = cut(plate, distance, longest_edge=0.02)
    top = (np.abs(pieces[:, :, 2] - 0.05) < 1e-9).all(1)
    assert areas(pieces)[top & inside].sum() == pytest.approx(np.pi * 0.3**2, rel=5e-3)
    assert distance(pieces[inside]).max() < 1e-3
    assert distance(pieces[~inside]).min() > -1e-3


def test_a_cut_surface_is_closed_and_wound_outwards():
    ball = triangles_of(ellipsoid((0.5, 0.4, 0.6), RED, segments=12))
    pieces, inside = cut(ball, spots(np.array([[0.5, 0, 0], [0, 0.4, 0]]), 0.2))
    assert inside.any()
    assert not inside.all()
    a, b, c = np.moveaxis(pieces, 1, 0)
    vectors = np.cross(b - a, c - a)
    np.testing.assert_allclose(vectors.sum(0), 0.0, atol=1e-12)
    volume = (np.moveaxis(ball, 1, 0)[0] * np.cross(ball[:, 1], ball[:, 2])).sum()
    assert (a * np.cross(b, c)).sum() == pytest.approx(volume, rel=1e-12)
    # each edge of a piece is an edge of another one, the other way round: no gap can open
    edges = {}
    for triangle in np.round(pieces, 9) + 0.0:
        for k in range(3):
            edge = (triangle[k].tobytes(), triangle[(k + 1) % 3].tobytes())
            edges[edge] = edges.get(edge, 0) + 1
    edges = {edge: count for edge, count in edges.items() if edge[0] != edge[1]}
    assert all((b, a) in edges for a, b in edges)


def test_attributes_are_interpolated():
    plate = triangles_of(box((2.0, 2.0, 0.1), RED))
    soup = np.concatenate([3 * plate[..., :1] + plate[..., 1:2], plate], -1)
    pieces, _ = cut(soup, spots(np.array([[0.0, 0, 0.05]]), 0.3))
    np.testing.assert_allclose(pieces[..., 0], 3 * pieces[..., 1] + pieces[..., 2], atol=1e-12)


def test_a_pattern_is_placed_before_the_object_is_stretched():
    part = box((1.0, 1.0, 1.0), RED)
    upper = Pattern(lambda points: -points[..., 2], BLUE)
    names = ("mug", "red", "")
    plain = assemble([part, part.moved(x=2)], radius=0.8, z_scale=1.2, names=names)
    mesh = assemble(
        [replace(part, pattern=upper), part.moved(x=2)], radius=0.8, z_scale=1.2, names=names
    )
    blue = mesh.colours[:, 2] > mesh.colours[:, 0]
    assert blue.any()
    assert (mesh.vertices[blue, 2] > -1e-6).all()
    assert (mesh.face_part.repeat(3)[blue] == 0).all()
    first = mesh.face_part.repeat(3) == 0
    assert (mesh.vertices[first & ~blue, 2] < 1e-6).all()
    other = mesh.face_part.repeat(3) == 1
    np.testing.assert_array_equal(
        mesh.vertices[other], plain.vertices[plain.face_part.repeat(3) == 1]
    )
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1.0, atol=1e-6)
