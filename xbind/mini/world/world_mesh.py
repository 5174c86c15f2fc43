"""Object of the world as a shaded triangle mesh."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xbind.mini.world.patterns import cut
from xbind.mini.world.shapes import Faces, Part, Points
from xbind.scene.light import Light
from xbind.system.jit import cached_njit

CREASE_DEG = 48.0
"""Faces that meet at a larger angle keep a hard edge between them."""
LIGHT_DIRECTION = np.array([0.5, 0.35, 0.8]) / np.linalg.norm([0.5, 0.35, 0.8])
"""Unit vector towards the light, fixed in the world so that a NeRF colour can represent it."""
AMBIENT = 0.42
"""Share of the light that reaches every surface."""


@dataclass(frozen=True, slots=True, eq=False)
class WorldMesh:
    """Triangles with their own corners, so that hard edges need no special case (v = 3f)."""

    vertices: NDArray[np.float32]
    """[v, 3], inside the ball of radius 0.80, z up, front +x."""
    normals: NDArray[np.float32]
    """[v, 3], unit, outwards."""
    colours: NDArray[np.float32]
    """[v, 3] in [0, 1], with the world's light baked in."""
    faces: NDArray[np.int64]
    """[f, 3], wound outwards. Those of a part with a pattern are cut along it."""
    face_part: NDArray[np.int64]
    """[f], number of the closed part that a face belongs to."""
    category: str
    """One of `CATEGORIES`."""
    colour: str
    """One of `COLOURS`."""
    adjective: str
    """"tall", "short" or ""."""


def assemble(
    parts: Sequence[Part], *, radius: float, z_scale: float, names: tuple[str, str, str]
) -> WorldMesh:
    """Stretch along z, centre the bounding box, scale into the ball of `radius`, light.

    Args:
        parts: the closed parts.
        radius: distance of the farthest vertex from the origin afterwards.
        z_scale: factor along z before the rest.
        names: category, colour and adjective.
    """
    counts = [len(part.faces) for part in parts]
    offsets = np.cumsum([0] + [len(part.vertices) for part in parts])
    placed = np.concatenate([part.vertices for part in parts])
    vertices = placed * [1.0, 1.0, z_scale]
    faces = np.concatenate([p.faces + o for p, o in zip(parts, offsets, strict=False)])
    vertices -= 0.5 * (vertices.min(0) + vertices.max(0))
    vertices *= radius / np.linalg.norm(vertices, axis=1).max()
    normals = _corner_normals(vertices, faces, np.cos(np.deg2rad(CREASE_DEG)))
    face_part = np.repeat(np.arange(len(parts)), counts)
    albedo = np.array([part.albedo for part in parts])[face_part].repeat(3, axis=0)
    corners = vertices[faces.reshape(-1)]
    if any(part.pattern for part in parts):
        soup = np.concatenate([corners, normals, placed[faces.reshape(-1)]], 1)
        soup, albedo, face_part = _painted(soup.reshape(-1, 3, 9), albedo, face_part, parts)
        corners, normals = soup[:, :3], soup[:, 3:6]
    return WorldMesh(
        corners.astype(np.float32),
        normals.astype(np.float32),
        lit(albedo, normals).astype(np.float32),
        np.arange(len(corners)).reshape(-1, 3),
        face_part,
        *names,
    )


def _painted(
    soup: Points, albedo: Points, face_part: Faces, parts: Sequence[Part]
) -> tuple[Points, Points, Faces]:
    """Cut the parts that have a pattern along it.

    Args:
        soup: [f, 3, 9], of each corner the place, the normal, and the place in the coordinates of
            the parts.
        albedo: [3f, 3], of each corner.
        face_part: [f].
        parts: of the object.

    Returns:
        Corners [3g, 9] with unit normals, albedo [3g, 3] and face_part [g].
    """
    pieces, colours = [], []
    for number, part in enumerate(parts):
        own = face_part == number
        piece, colour = soup[own], albedo.reshape(-1, 3, 3)[own]
        if part.pattern is not None:
            piece, inside = cut(piece, part.pattern.distance)
            piece[..., 3:6] /= np.linalg.norm(piece[..., 3:6], axis=-1, keepdims=True)
            colour = np.where(inside[:, None, None], part.pattern.albedo, part.albedo)
            colour = np.broadcast_to(colour, (len(piece), 3, 3))
        pieces.append(piece)
        colours.append(colour)
    counts = [len(piece) for piece in pieces]
    return (
        np.concatenate(pieces).reshape(-1, 9),
        np.concatenate(colours).reshape(-1, 3),
        np.repeat(np.arange(len(parts)), counts),
    )


def lit(albedo: Points, normals: Points) -> Points:
    """Half-Lambert light that no view changes: albedo · (0.42 + 0.58 (0.5 + 0.5 n·l))."""
    half_lambert = 0.5 + 0.5 * (normals @ LIGHT_DIRECTION)
    light = AMBIENT + 0.58 * half_lambert  # not 1 − AMBIENT, which differs in the last bit
    shaded: Points = np.clip(albedo * light[:, None], 0.0, 1.0)
    return shaded


def world_light() -> Light:
    """The world's light, as a bundle names it. The priors know no grey pictures."""
    x, y, z = LIGHT_DIRECTION.tolist()
    return Light((x, y, z), AMBIENT, wrap=1.0)


@cached_njit()
def _corner_normals(vertices: Points, faces: Faces, crease: float) -> Points:
    """Area-weighted normal of each face corner [3f, 3] over the neighbours within the crease."""
    count = len(faces)
    area_normals = np.empty((count, 3))
    unit = np.empty((count, 3))
    for i in range(count):
        a, b, c = vertices[faces[i, 0]], vertices[faces[i, 1]], vertices[faces[i, 2]]
        area_normals[i] = np.cross(b - a, c - a)
        unit[i] = area_normals[i] / max(np.sqrt((area_normals[i] ** 2).sum()), 1e-20)
    start = np.zeros(len(vertices) + 1, np.int64)
    for i in range(count):
        for k in range(3):
            start[faces[i, k] + 1] += 1
    start = np.cumsum(start)
    fill = start[:-1].copy()
    around = np.empty(3 * count, np.int64)
    for i in range(count):
        for k in range(3):
            around[fill[faces[i, k]]] = i
            fill[faces[i, k]] += 1
    normals = np.zeros((3 * count, 3))
    for i in range(count):
        for k in range(3):
            corner = faces[i, k]
            for j in around[start[corner] : start[corner + 1]]:
                if (unit[i] * unit[j]).sum() >= crease:
                    normals[3 * i + k] += area_normals[j]
            length = np.sqrt((normals[3 * i + k] ** 2).sum())
            if length > 1e-20:
                normals[3 * i + k] /= length
            else:
                normals[3 * i + k] = unit[i]
    return normals
