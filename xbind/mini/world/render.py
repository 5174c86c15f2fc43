"""Pictures of world meshes: colour, normals and depth by ray-exact rasterisation on the CPU."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xbind.mini.world.world_mesh import WorldMesh
from xbind.scene.cameras import Cameras
from xbind.system.jit import cached_njit

Array = NDArray[Any]

NEAR = 0.02
"""Surfaces nearer to the camera plane than this are not seen."""
DEPTH_BAND = 0.1
"""Samples of one pixel that lie this far behind its nearest one count as another surface."""


@dataclass(frozen=True, slots=True, eq=False)
class WorldViews:
    """Buffers of `b` cameras."""

    rgba: NDArray[np.uint8]
    """[b, h, w, 4], premultiplied: on white it is rgb + 255 − alpha."""
    normals: NDArray[np.uint8]
    """[b, h, w, 3], world-space (n + 1)/2 times coverage, so on black."""
    depth: NDArray[np.float32]
    """[b, h, w], distance along the ray; infinite where less than half of a pixel is covered."""


def render(mesh: WorldMesh, cameras: Cameras, size: int = 64, supersample: int = 2) -> WorldViews:
    """Render `mesh` with `supersample`² samples in each pixel.

    Normals of surfaces seen from behind are flipped; the others are bent to face the camera
    where interpolation made them look away at a silhouette.
    """
    c2w = cameras.camera_to_world().double().numpy()
    tan_half = np.tan(np.deg2rad(cameras.fov_y_deg.double().numpy()) / 2)
    count = len(c2w)
    rgba = np.empty((count, size, size, 4), np.uint8)
    normals = np.empty((count, size, size, 3), np.uint8)
    depth = np.empty((count, size, size), np.float32)
    side = size * supersample
    ids = np.empty((side, side), np.int32)
    inverse_depth = np.empty((side, side))
    for i in range(count):
        local = (mesh.vertices.astype(np.float64) - c2w[i, :3, 3]) @ c2w[i, :3, :3]
        edges = _edges(local, mesh.faces)
        _rasterise(local, mesh.faces, edges, tan_half[i], ids, inverse_depth)
        _resolve(
            ids, inverse_depth, edges, mesh.faces, mesh.colours, mesh.normals,
            np.ascontiguousarray(c2w[i, :3, :3]), tan_half[i], supersample,
            rgba[i], normals[i], depth[i],
        )  # fmt: skip
    return WorldViews(rgba, normals, depth)


@cached_njit()
def _edges(local: Array, faces: Array) -> Array:
    """Per face [f, 10]: three vectors e_k and the determinant.

    A ray of direction d from the camera has barycentrics (e_k·d)/Σ(e_k·d) and reaches the plane
    at 1/Σ(e_k·d); it hits if all e_k·d ≥ 0. Nothing has to be clipped: what lies behind the
    camera has negative products.
    """
    out = np.zeros((len(faces), 10))
    for i in range(len(faces)):
        a, b, c = local[faces[i, 0]], local[faces[i, 1]], local[faces[i, 2]]
        determinant = 0.0
        for k in range(3):
            p, q = (b, c) if k == 0 else ((c, a) if k == 1 else (a, b))
            out[i, 3 * k] = p[1] * q[2] - p[2] * q[1]
            out[i, 3 * k + 1] = p[2] * q[0] - p[0] * q[2]
            out[i, 3 * k + 2] = p[0] * q[1] - p[1] * q[0]
        for axis in range(3):
            determinant += a[axis] * out[i, axis]
        out[i, 9] = determinant
        if abs(determinant) > 1e-14:
            for k in range(9):
                out[i, k] /= determinant
    return out


@cached_njit()
def _bounds(local: Array, face: Array, tan_half: float, side: int, axis: int) -> tuple[int, int]:
    """First and last sample (inclusive) that a face can cover along one image axis."""
    low, high = 1e30, -1e30
    for k in range(3):
        point = local[face[k]]
        if point[2] > -NEAR:
            return 0, side - 1
        place = point[axis] / (-point[2] * tan_half)
        if axis == 1:
            place = -place
        low, high = min(low, place), max(high, place)
    first = int(np.floor(max((low * 0.5 + 0.5) * side - 0.5, -1.0)))
    last = int(np.ceil(min((high * 0.5 + 0.5) * side - 0.5, side + 1.0)))
    return max(first, 0), min(last, side - 1)


@cached_njit()
def _rasterise(
    local: Array, faces: Array, edges: Array, tan_half: float, ids: Array, inverse_depth: Array
) -> None:
    """Fill the buffers with the nearest face and the inverse of its −z in camera space."""
    side = ids.shape[0]
    ids[:] = -1
    inverse_depth[:] = 0.0
    step = 2.0 * tan_half / side
    corner = tan_half * (1.0 / side - 1.0)
    for i in range(len(faces)):
        e = edges[i]
        if abs(e[9]) <= 1e-14:
            continue
        left, right = _bounds(local, faces[i], tan_half, side, 0)
        top, bottom = _bounds(local, faces[i], tan_half, side, 1)
        if left > right:
            continue
        for row in range(top, bottom + 1):
            y = -(corner + row * step)
            b0, b1, b2 = e[1] * y - e[2], e[4] * y - e[5], e[7] * y - e[8]
            for column in range(left, right + 1):
                x = corner + column * step
                w0, w1, w2 = e[0] * x + b0, e[3] * x + b1, e[6] * x + b2
                if w0 >= 0.0 and w1 >= 0.0 and w2 >= 0.0:
                    inverse = w0 + w1 + w2
                    if inverse > inverse_depth[row, column] and inverse * NEAR < 1.0:
                        inverse_depth[row, column] = inverse
                        ids[row, column] = i


@cached_njit()
def _resolve(
    ids: Array,
    inverse_depth: Array,
    edges: Array,
    faces: Array,
    colours: Array,
    normals: Array,
    rotation: Array,
    tan_half: float,
    ss: int,
    out_rgba: Array,
    out_normals: Array,
    out_depth: Array,
) -> None:
    """Shade each sample once and average the samples of each pixel."""
    side, size = ids.shape[0], out_rgba.shape[0]
    total = np.empty(7)
    direction, normal = np.empty(3), np.empty(3)
    for row in range(size):
        for column in range(size):
            total[:] = 0.0
            nearest = 1e30
            for sample in range(ss * ss):
                r, c = row * ss + sample // ss, column * ss + sample % ss
                face = ids[r, c]
                if face < 0:
                    continue
                x = tan_half * ((2 * c + 1) / side - 1)
                y = -tan_half * ((2 * r + 1) / side - 1)
                length = np.sqrt(x * x + y * y + 1.0)
                for k in range(3):
                    direction[k] = (
                        rotation[k, 0] * x + rotation[k, 1] * y - rotation[k, 2]
                    ) / length
                e, z = edges[face], 1.0 / inverse_depth[r, c]
                w0 = (e[0] * x + e[1] * y - e[2]) * z
                w1 = (e[3] * x + e[4] * y - e[5]) * z
                w2 = 1.0 - w0 - w1
                i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
                # The determinant is positive where the camera sees the back of a face.
                flip = -1.0 if e[9] > 0 else 1.0
                for axis in range(3):
                    normal[axis] = flip * (
                        w0 * normals[i, axis] + w1 * normals[j, axis] + w2 * normals[k, axis]
                    )
                    total[axis] += (
                        w0 * colours[i, axis] + w1 * colours[j, axis] + w2 * colours[k, axis]
                    )
                _face_camera(normal, direction)
                for axis in range(3):
                    total[3 + axis] += 0.5 * normal[axis] + 0.5
                total[6] += 1.0
                nearest = min(nearest, z * length)
            _store(total, ss * ss, out_rgba[row, column], out_normals[row, column])
            out_depth[row, column] = np.inf
            if 2 * total[6] >= ss * ss:
                out_depth[row, column] = _depth(
                    ids, inverse_depth, row, column, ss, tan_half, nearest
                )


@cached_njit()
def _face_camera(normal: Array, direction: Array) -> None:
    """Normalise; project out what points away from the camera."""
    # Spelled out: whole-array arithmetic would allocate for every sample.
    x, y, z = normal[0], normal[1], normal[2]
    along = max(x * direction[0] + y * direction[1] + z * direction[2], 0.0)
    x, y, z = x - along * direction[0], y - along * direction[1], z - along * direction[2]
    scale = 1.0 / (np.sqrt(x * x + y * y + z * z) + 1e-12)
    normal[0], normal[1], normal[2] = x * scale, y * scale, z * scale


@cached_njit()
def _store(total: Array, samples: int, rgba: Array, normals: Array) -> None:
    """Write the averages of one pixel as bytes."""
    scale = 255.0 / samples
    for k in range(3):
        rgba[k] = np.uint8(min(total[k] * scale, 255.0) + 0.5)
        normals[k] = np.uint8(min(total[3 + k] * scale, 255.0) + 0.5)
    rgba[3] = np.uint8(total[6] * scale + 0.5)


@cached_njit()
def _depth(
    ids: Array,
    inverse_depth: Array,
    row: int,
    column: int,
    ss: int,
    tan_half: float,
    nearest: float,
) -> float:
    """Mean distance of the samples of one pixel on its nearest surface."""
    side = ids.shape[0]
    total, count = 0.0, 0
    for sample in range(ss * ss):
        r, c = row * ss + sample // ss, column * ss + sample % ss
        if ids[r, c] >= 0:
            x = tan_half * ((2 * c + 1) / side - 1)
            y = tan_half * ((2 * r + 1) / side - 1)
            distance = np.sqrt(x * x + y * y + 1.0) / inverse_depth[r, c]
            if distance <= nearest + DEPTH_BAND:
                total += distance
                count += 1
    return total / count
