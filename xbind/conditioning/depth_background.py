"""The near object of a depth map, without the wall or the scene behind it.

Depth prompts show one object with nothing measured around it. Where the border of a map is
measured, a background was seen: a plane, whose inverse depth is affine in the pixel's place, or
whatever lies behind a gap in depth.
"""

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from xbind.conditioning.background import border_ring, polynomials

SEEN = 0.5
"""From this share of measured border pixels on, a background was seen."""
ON_PLANE = 0.8
"""Share of the measured border that a plane must explain."""
AGREES = 0.03
"""Relative difference in inverse depth up to which a border pixel lies on the plane."""
IN_FRONT = 1.06
"""Smallest ratio of an object's inverse depth to the plane's."""
GAP = 1.12
"""Smallest ratio of depths across an empty gap between an object and what is behind it."""
EMPTY = 0.001
"""Largest share of the pixels in such a gap: edges that a camera has blurred."""
SHARE = (0.01, 0.9)
"""Share of the map that an object covers."""
AT_BORDER = 0.25
"""Largest share of the border that an object touches."""
PIECE = 0.02
"""Pieces smaller than this share of the largest one are noise."""

Map = NDArray[np.float32]
Region = NDArray[np.bool_]

CUT = "a background was seen behind the object and was left out."
UNTOLD = (
    "a background was seen, and the object cannot be told from it, so that the whole is read.\n"
    "Set everything but the object to 0 for a better result."
)


def cut_near(inverse: Float[Tensor, "1 h w"]) -> tuple[Float[Tensor, "1 h w"], str | None]:
    """Sets all but the near object to 0 where a background was seen.

    Args:
        inverse: as `load_depth` returns it.

    Returns:
        The map, unchanged where its border is not measured or no object can be told; and what to
        tell the user, None where no background was seen.
    """
    values = inverse[0].numpy()
    ring = border_ring(values.shape)
    if (values[ring] > 0).mean() < SEEN:
        return inverse, None
    for find in (_before_plane, _before_gap):
        found = find(values, ring)
        if found is None:
            continue
        region = _pieces(found)
        inside = SHARE[0] <= region.mean() <= SHARE[1]
        if inside and region[ring].mean() <= AT_BORDER:
            return torch.from_numpy(np.where(region, values, 0).astype(np.float32))[None], CUT
    return inverse, UNTOLD


def _before_plane(values: Map, ring: Region) -> Region | None:
    """Returns the pixels in front of the plane through the border; None without such a plane."""
    places = polynomials(values.shape, 1)
    known = ring & (values > 0)
    terms, seen = places[:, known].T, values[known].astype(np.float64)
    agrees = np.ones(len(seen), bool)
    for _ in range(8):
        plane = np.linalg.lstsq(terms[agrees], seen[agrees], rcond=None)[0]
        off = np.abs(terms @ plane - seen) / seen
        agrees = off <= max(AGREES, 2.5 * 1.4826 * float(np.median(off)))
    if (off <= AGREES).mean() < ON_PLANE:
        return None
    wall = np.einsum("chw,c->hw", places, plane)
    return (values > 0) & (values > IN_FRONT * np.maximum(wall, 0))


def _before_gap(values: Map, ring: Region) -> Region | None:
    """Returns the pixels in front of the widest gap in depth, or None if there is none."""
    depths = np.sort(-np.log(values[values > 0].astype(np.float64)))
    slack = max(1, int(EMPTY * len(depths)))
    widths = depths[slack:] - depths[:-slack]
    first, last = int(SHARE[0] * len(depths)), int(SHARE[1] * len(depths))
    if last <= first:
        return None
    at = first + int(np.argmax(widths[first:last]))
    if widths[at] < np.log(GAP):
        return None
    limit = np.exp(-depths[at])
    near = values >= limit
    return near if near[ring].mean() <= AT_BORDER else None


def _pieces(found: Region) -> Region:
    labels, count = ndimage.label(ndimage.binary_opening(found), structure=np.ones((3, 3)))
    if count == 0:
        return np.zeros_like(found)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept: Region = (sizes >= PIECE * sizes.max())[labels] & found
    return kept
