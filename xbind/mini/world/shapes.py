"""Closed primitives, the parts that objects are made of.

Everything is a skin over a row of rings, so all parts are closed and wound outwards by
construction.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xbind.mini.world.patterns import Pattern

Points = NDArray[np.float64]
Faces = NDArray[np.int64]
Albedo = tuple[float, float, float]
Point = tuple[float, float, float]

ORIGIN: Point = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A closed surface of one colour, or with a pattern in a second one."""

    vertices: Points
    """Float [v, 3]."""
    faces: Faces
    """Int [f, 3], wound outwards."""
    albedo: Albedo
    """Red, green, blue in [0, 1]."""
    role: str = "body"
    """Role of the part in its object; near misses drop or repeat parts by role."""
    pattern: Pattern | None = None
    """In the coordinates of the placed part: a part that is moved does not take it along."""

    @property
    def area(self) -> float:
        """Of the surface."""
        a, b, c = (self.vertices[self.faces[:, k]] for k in range(3))
        return float(0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1).sum())

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> "Part":
        """The part translated by (x, y, z)."""
        return replace(self, vertices=self.vertices + np.array([x, y, z]))

    def scaled(self, x: float = 1.0, y: float = 1.0, z: float = 1.0) -> "Part":
        """The part scaled about the origin by positive factors."""
        return replace(self, vertices=self.vertices * np.array([x, y, z]))

    def turned(self, axis: str, angle_deg: float) -> "Part":
        """The part turned about the x, y or z axis, right-handed."""
        return replace(self, vertices=self.vertices @ rotation(axis, angle_deg).T)


def rotation(axis: str, angle_deg: float) -> Points:
    """The right-handed 3×3 rotation about the axis "x", "y" or "z"."""
    cos, sin = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = cos
    matrix[first, second], matrix[second, first] = -sin, sin
    return matrix


def skin(
    rings: Points, albedo: Albedo, *, start: ArrayLike, end: ArrayLike, role: str = "body"
) -> Part:
    """Close a row of rings with a fan at both ends.

    Args:
        rings: [k, s, 3], each ring counter-clockwise about the direction of travel.
        albedo: colour of the part.
        start, end: the apex [3] of the fan before the first and after the last ring.
        role: see `Part.role`.
    """
    count, segments = rings.shape[:2]
    near = np.arange(segments)
    far = (near + 1) % segments
    offsets = segments * np.arange(count - 1)[:, None]
    a, b = offsets + near, offsets + far
    c, d = a + segments, b + segments
    last = segments * (count - 1)
    first_apex, last_apex = count * segments, count * segments + 1
    faces = [
        np.stack([a, b, d], -1).reshape(-1, 3),
        np.stack([a, d, c], -1).reshape(-1, 3),
        np.stack([np.full(segments, first_apex), far, near], -1),
        np.stack([last + near, last + far, np.full(segments, last_apex)], -1),
    ]
    apexes = np.stack([np.asarray(start, float), np.asarray(end, float)])
    vertices = np.concatenate([rings.reshape(-1, 3), apexes])
    return Part(vertices, np.concatenate(faces).astype(np.int64), albedo, role)


def loft(rings: ArrayLike, albedo: Albedo, *, role: str = "body") -> Part:
    """A skin over rings [k, s, 3] with flat ends (fans from the rings' centres)."""
    rings = np.asarray(rings, float)
    return skin(rings, albedo, start=rings[0].mean(0), end=rings[-1].mean(0), role=role)


def box(
    size: Sequence[float],
    albedo: Albedo,
    *,
    centre: Point = ORIGIN,
    taper: float = 1.0,
    role: str = "body",
) -> Part:
    """A box of full extents `size`; its top is `taper` times as large as its bottom."""
    x, y, z = (0.5 * extent for extent in size)
    corners = np.array([[x, y], [-x, y], [-x, -y], [x, -y]])
    rings = np.stack(
        [np.c_[corners, np.full(4, -z)], np.c_[taper * corners, np.full(4, z)]],
    )
    return loft(rings, albedo, role=role).moved(*centre)


def lathe(
    profile: Sequence[tuple[float, float]],
    albedo: Albedo,
    *,
    centre: Point = ORIGIN,
    segments: int = 20,
    role: str = "body",
) -> Part:
    """A surface of revolution about z.

    `profile` lists (radius, z) from an end on the axis to another end on the axis with the solid
    on the left: up along the outside, down along the inside of a cavity.
    """
    radius, height = np.asarray(profile, float).T
    angle = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], -1)
    inner = slice(1, -1)
    rings = np.concatenate(
        [
            radius[inner, None, None] * circle,
            np.broadcast_to(height[inner, None, None], (len(radius) - 2, segments, 1)),
        ],
        -1,
    )
    part = skin(rings, albedo, start=(0.0, 0.0, height[0]), end=(0.0, 0.0, height[-1]), role=role)
    return part.moved(*centre)


def cylinder(
    radius: float | tuple[float, float],
    height: float,
    albedo: Albedo,
    *,
    centre: Point = ORIGIN,
    segments: int = 18,
    role: str = "body",
) -> Part:
    """An upright cylinder, or a frustum for a pair (bottom radius, top radius)."""
    bottom, top = radius if isinstance(radius, tuple) else (radius, radius)
    half = height / 2
    profile = [(0.0, -half), (bottom, -half), (max(top, 1e-4), half), (0.0, half)]
    return lathe(profile, albedo, centre=centre, segments=segments, role=role)


def ellipsoid(
    radii: float | Sequence[float],
    albedo: Albedo,
    *,
    centre: Point = ORIGIN,
    segments: int = 16,
    role: str = "body",
) -> Part:
    """A sphere, or an ellipsoid with semi-axes along x, y and z."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, segments // 2 + 2)
    profile = [(float(np.cos(a)), float(np.sin(a))) for a in angle]
    x, y, z = np.broadcast_to(np.asarray(radii, float), (3,))
    part = lathe(profile, albedo, segments=segments, role=role)
    return part.scaled(x, y, z).moved(*centre)


def tube(
    path: ArrayLike,
    radius: ArrayLike,
    albedo: Albedo,
    *,
    segments: int = 10,
    role: str = "body",
) -> Part:
    """A round tube along `path` [k, 3]; `radius` is one number or one for each point."""
    path = np.asarray(path, float)
    radii = np.broadcast_to(np.asarray(radius, float), (len(path),))
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    # The direction least parallel to the path keeps the frames from flipping along it.
    helper = np.eye(3)[np.abs(tangent).max(0).argmin()]
    across = np.cross(helper, tangent)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    binormal = np.cross(tangent, across)
    angle = np.linspace(0, 2 * np.pi, segments, endpoint=False)[None, :, None]
    circle = np.cos(angle) * across[:, None] + np.sin(angle) * binormal[:, None]
    return loft(path[:, None] + radii[:, None, None] * circle, albedo, role=role)


def arc(radius: tuple[float, float], start_deg: float, end_deg: float, count: int = 12) -> Points:
    """Points [count, 3] on an ellipse in the xz plane, from the +x axis towards +z."""
    angle = np.deg2rad(np.linspace(start_deg, end_deg, count))
    return np.stack([radius[0] * np.cos(angle), 0 * angle, radius[1] * np.sin(angle)], -1)


def ring(radius: float, thickness: float, albedo: Albedo, *, role: str = "body") -> Part:
    """A torus about z around the origin; `thickness` is the radius of its tube.

    A lathe cannot end off the axis, so the tube's two ends meet inside each other.
    """
    path = arc((radius, radius), 0.0, 360.0, 19)[:, [0, 2, 1]]
    return tube(path, thickness, albedo, segments=8, role=role)


def prism(polygon: ArrayLike, thickness: float, albedo: Albedo, *, role: str = "body") -> Part:
    """A polygon [k, 2] in (x, z), counter-clockwise with x right and z up, extruded along y.

    The polygon has to be star-shaped about the mean of its corners.
    """
    corners = np.asarray(polygon, float)
    back, front = (
        np.stack([corners[:, 0], np.full(len(corners), y), corners[:, 1]], -1)
        for y in (thickness / 2, -thickness / 2)
    )
    return loft(np.stack([back, front]), albedo, role=role)
