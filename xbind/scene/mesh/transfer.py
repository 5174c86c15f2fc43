"""Colours of one surface on another: the nearest point of a textured mesh, and its texel."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from scipy.spatial import KDTree
from torch import Tensor
from torch.nn.functional import grid_sample
from trimesh import triangles as triangle_math

from xbind.scene.mesh.mesh import Mesh

SAMPLES = 200_000
"""Points spread over a surface by area, beside one per triangle, to find triangles by."""
CANDIDATES = 8
"""Samples near a point whose triangles are compared exactly."""
_PLASTIC = 1.32471795724474602596
"""Base of the R2 sequence (Roberts 2018), which fills a square evenly without random draws."""


@dataclass(frozen=True, slots=True, eq=False)
class NearestPoints:
    """Points of a surface, one for each point that was asked for."""

    face: Int64[Tensor, " p"]
    weights: Float[Tensor, "p 3"]
    """Barycentric, for the corners of the face."""
    positions: Float[Tensor, "p 3"]


class NearestSurface:
    """Finds the points of a mesh that are nearest to given ones."""

    def __init__(self, mesh: Mesh) -> None:
        """Samples the surface; 22 000 triangles take 0.2 s."""
        self._corners = mesh.corners().detach().cpu().double().numpy()
        points, self._sampled = _samples(self._corners)
        self._tree = KDTree(points)

    def nearest(self, points: Float[Tensor, "p 3"]) -> NearestPoints:
        """Returns the nearest points of the surface.

        Exact among the triangles of the `CANDIDATES` nearest samples; if the nearest triangle is
        none of them, the result is off by less than the distance of two samples.

        Args:
            points: in the frame of the mesh, near its surface.
        """
        wanted = points.detach().cpu().double().numpy()
        _, sample = self._tree.query(wanted, CANDIDATES)
        face = self._sampled[sample]
        corners = self._corners[face.reshape(-1)]
        repeated = np.repeat(wanted, CANDIDATES, 0)
        with np.errstate(all="ignore"):  # triangles without area
            found = triangle_math.closest_point(corners, repeated)
            distance = np.linalg.norm(found - repeated, axis=1).reshape(-1, CANDIDATES)
            best = np.where(np.isfinite(distance), distance, np.inf).argmin(1)
            row = np.arange(len(wanted))
            chosen, found = face[row, best], found.reshape(-1, CANDIDATES, 3)[row, best]
            weights = triangle_math.points_to_barycentric(self._corners[chosen], found)
        weights = np.where(np.isfinite(weights).all(1, keepdims=True), weights, 1 / 3)
        return NearestPoints(
            torch.from_numpy(chosen),
            torch.from_numpy(weights).float(),
            torch.from_numpy(found).float(),
        )


class TextureColours:
    """The colours of a textured mesh as a field: that of the nearest point of its surface."""

    def __init__(
        self,
        surface: NearestSurface,
        faces: Int64[Tensor, "f 3"],
        uv: Float[Tensor, "v 2"],
        texture: Float[Tensor, "1 3 h w"],
    ) -> None:
        """`uv` has v upwards and `texture` its row 0 at v = 1, as `TexturedMesh`."""
        self._surface, self._uv, self._texture = surface, uv[faces], texture

    def __call__(self, points: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
        """Returns colours in [0, 1], bilinear between texels."""
        nearest = self._surface.nearest(points)
        uv = torch.einsum("pk,pkc->pc", nearest.weights, self._uv[nearest.face])
        grid = torch.stack([2 * uv[:, 0] - 1, 1 - 2 * uv[:, 1]], -1)[None, :, None]
        colours = grid_sample(self._texture, grid, padding_mode="border", align_corners=False)
        return colours[0, :, :, 0].T


def _samples(
    corners: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Returns points [n,3] spread by area, one or more per triangle, and their triangles [n]."""
    a, b, c = corners.swapaxes(0, 1)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    share = area / max(float(area.sum()), np.finfo(np.float64).tiny)
    count = 1 + np.floor(SAMPLES * share).astype(np.int64)
    face = np.repeat(np.arange(len(corners)), count)
    k = np.arange(len(face)) - np.repeat(np.cumsum(count) - count, count)  # 0, 1, … in each face
    s, t = ((0.5 + k / _PLASTIC**power) % 1 for power in (1, 2))
    beyond = s + t > 1
    s, t = np.where(beyond, 1 - s, s), np.where(beyond, 1 - t, t)
    first = k == 0  # the middle: (1/2, 1/2) lies on an edge
    s, t = np.where(first, 1 / 3, s)[:, None], np.where(first, 1 / 3, t)[:, None]
    return a[face] + s * (b - a)[face] + t * (c - a)[face], face
