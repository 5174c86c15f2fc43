"""Visibility by brute force in float64 numpy: every ray against every triangle."""

import numpy as np


def raycast(clip, faces, size):
    """What `rasterize` should return for one view; also by how much each pixel was decided.

    (x, y, w) is an affine picture of the world with the eye at its origin, in which the pixel with
    centre (X, Y) looks along (X, Y, 1). So this is a ray tracer (Möller and Trumbore) in that
    space, where barycentric coordinates mean what they mean in the world.

    Args:
        clip: [v, 4].
        faces: [f, 3].
        size: (h, w).

    Returns:
        rast [h, w, 4], and margin [h, w]: the smallest barycentric coordinate, depth or depth gap
        whose sign decided the pixel. Where it is tiny, rounding may decide otherwise.
    """
    clip, faces = np.asarray(clip, np.float64), np.asarray(faces)
    height, width = size
    rast = np.zeros((height, width, 4))
    margin = np.full((height, width), np.inf)
    nearest = np.full((height, width), np.inf)
    y, x = np.meshgrid(
        (2 * np.arange(height) + 1) / height - 1,
        (2 * np.arange(width) + 1) / width - 1,
        indexing="ij",
    )
    rays = np.stack([x, y, np.ones_like(x)], -1)
    for index, face in enumerate(faces):
        weights, distance = _hit(clip[face][:, [0, 1, 3]], rays)
        if weights is None:
            continue
        depth = weights @ clip[face, 2] / distance
        worst = np.stack([*np.moveaxis(weights, -1, 0), distance, 1 - depth, 1 + depth]).min(0)
        is_hit = worst > 0
        gap = np.abs(depth - nearest)
        margin = np.minimum(margin, np.where(is_hit, np.minimum(worst, gap), -worst))
        is_nearer = is_hit & (depth < nearest)
        nearest = np.where(is_nearer, depth, nearest)
        found = np.stack(
            [weights[..., 0], weights[..., 1], depth, np.full_like(depth, index + 1)], -1
        )
        rast = np.where(is_nearer[..., None], found, rast)
    return rast, margin


def _hit(corners, rays):
    """Barycentric weights and distance of every ray's hit with a triangle's plane."""
    a, b, c = corners
    edge_1, edge_2 = b - a, c - a
    normal = np.cross(rays, edge_2)
    scale = normal @ edge_1
    if not np.isfinite(scale).all() or (scale == 0).any():
        return None, None
    across = np.cross(-a, edge_1)
    weight_b, weight_c = normal @ -a / scale, rays @ across / scale
    return np.stack([1 - weight_b - weight_c, weight_b, weight_c], -1), edge_2 @ across / scale
