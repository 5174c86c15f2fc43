"""The silhouettes of `antialias` in Triton: where each pair of neighbouring pixels blends.

A pair is named by its first pixel (left or upper) and its axis (0: the second pixel is to the
right; 1: below). The definition, and what the walk looks for, are in `surface.reference`; as there,
where an edge lies is computed in float64.
"""

import triton
import triton.language as tl

from xbind.kernels.surface.reference import MAX_WALK, SLOP_PX

_MAX_WALK, _SLOP_PX = tl.constexpr(MAX_WALK), tl.constexpr(SLOP_PX)


@triton.jit
def look(screen_ptr, vertex, here, there, sign, mask, AXIS: tl.constexpr):  # noqa: ANN201
    """A vertex as (along, across) in pixels, seen from the nearer pixel of a pair."""
    along = tl.load(screen_ptr + 2 * vertex + AXIS, mask=mask, other=0.0) - here
    across = tl.load(screen_ptr + 2 * vertex + (1 - AXIS), mask=mask, other=0.0) - there
    return sign * along, across


@triton.jit
def _crossing(along_a, across_a, along_b, across_b):
    """Returns the intersection of the segment from a to b with the line across = 0."""
    return along_a + across_a / (across_a - across_b) * (along_b - along_a)


@triton.jit
def pair(rast_ptr, pixel, pixels, height, width, AXIS: tl.constexpr):  # noqa: ANN201
    """Compares the faces of a pixel and its neighbour: whether they differ, and how the nearer one
    faces the other.

    Returns also its face, its place along and across the axis, and +1 where it is the first.
    """
    column, row = pixel % width, pixel // width % height
    has_next = (row + 1 < height) if AXIS else (column + 1 < width)
    inside = (pixel < pixels) & has_next
    first = rast_ptr + 4 * pixel
    second = first + (4 * width if AXIS else 4)
    face_1 = tl.load(first + 3, mask=inside, other=0.0)
    face_2 = tl.load(second + 3, mask=inside, other=0.0)
    depth_1 = tl.load(first + 2, mask=inside, other=0.0)
    depth_2 = tl.load(second + 2, mask=inside, other=0.0)
    is_first = (face_1 > 0) & ((face_2 == 0) | (depth_1 < depth_2))
    step = tl.where(is_first, 0, 1)
    near_column, near_row = column + step * (1 - AXIS), row + step * AXIS
    here, there = (near_row, near_column) if AXIS else (near_column, near_row)
    face = tl.where(is_first, face_1, face_2).to(tl.int64) - 1
    sign = tl.where(is_first, 1.0, -1.0)
    return face_1 != face_2, face, here.to(tl.float64), there.to(tl.float64), sign


@triton.jit
def _consider(best, corner, up, down, candidate, a, along_a, across_a, b, along_b, across_b):
    """Take the side from a to b for the exit, if the walk crosses it and no other side later."""
    distance = _crossing(along_a, across_a, along_b, across_b)
    is_exit = ((across_a >= 0) != (across_b >= 0)) & (distance > best)
    best = tl.where(is_exit, distance, best)
    corner = tl.where(is_exit, candidate, corner)
    up = tl.where(is_exit, tl.where(across_a >= 0, a, b), up)
    down = tl.where(is_exit, tl.where(across_a >= 0, b, a), down)
    return best, corner, up, down


@triton.jit
def _first_exit(screen_ptr, face_ptr, face, here, there, sign, mask, AXIS: tl.constexpr):
    """The corner opposite to the side by which the walk leaves its face (−1: none), its ends."""
    i = tl.load(face_ptr + 3 * face, mask=mask, other=0)
    j = tl.load(face_ptr + 3 * face + 1, mask=mask, other=0)
    k = tl.load(face_ptr + 3 * face + 2, mask=mask, other=0)
    along_i, across_i = look(screen_ptr, i, here, there, sign, mask, AXIS)
    along_j, across_j = look(screen_ptr, j, here, there, sign, mask, AXIS)
    along_k, across_k = look(screen_ptr, k, here, there, sign, mask, AXIS)
    best = tl.zeros_like(here) - float("inf")
    corner = tl.zeros_like(face) - 1
    up, down = tl.zeros_like(face), tl.zeros_like(face)
    best, corner, up, down = _consider(
        best, corner, up, down, 0, j, along_j, across_j, k, along_k, across_k
    )
    best, corner, up, down = _consider(
        best, corner, up, down, 1, k, along_k, across_k, i, along_i, across_i
    )
    best, corner, up, down = _consider(
        best, corner, up, down, 2, i, along_i, across_i, j, along_j, across_j
    )
    return corner, up, down


@triton.jit
def find_kernel(  # noqa: ANN201
    rast_ptr, screen_ptr, face_ptr, table_ptr,  # in:  [b, h, w, 4] [b, v, 2] [f, 3] [f, 3]
    alpha_ptr, up_ptr, down_ptr,                # out: [p] [p] [p]
    pixels, height, width, vertices,
    AXIS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Returns each pair's blend weight and its edge, as the indices of its two vertices (−1: none).

    alpha > 0: the first pixel takes that share of the second's colour; < 0: the other way round.
    """
    pixel = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    walking, face, here, there, sign = pair(rast_ptr, pixel, pixels, height, width, AXIS)
    screen_ptr += pixel // (height * width) * (2 * vertices)
    corner, up, down = _first_exit(screen_ptr, face_ptr, face, here, there, sign, walking, AXIS)
    walking = walking & (corner >= 0)
    ended = walking & False
    steps = 0
    while (steps < _MAX_WALK) & (tl.max(walking.to(tl.int32), 0) > 0):
        along_a, across_a = look(screen_ptr, up, here, there, sign, walking, AXIS)
        along_b, across_b = look(screen_ptr, down, here, there, sign, walking, AXIS)
        distance = _crossing(along_a, across_a, along_b, across_b)
        walking = walking & (distance >= -_SLOP_PX) & (distance <= 1 + _SLOP_PX)
        beyond = tl.load(table_ptr + 3 * face + corner, mask=walking, other=-1)
        goes_on = walking & (beyond >= 0)
        opposite = tl.load(face_ptr + beyond, mask=goes_on, other=0)
        along, across = look(screen_ptr, opposite, here, there, sign, goes_on, AXIS)
        side = (along_b - along_a) * (across - across_a) - (across_b - across_a) * (along - along_a)
        goes_on = goes_on & ~(side < 0)  # else the next face folds back under this one
        ended = ended | (walking & ~goes_on)
        walking = goes_on
        leaving = tl.where(across >= 0, up, down)
        up = tl.where(walking & (across >= 0), opposite, up)
        down = tl.where(walking & ~(across >= 0), opposite, down)
        face = tl.where(walking, beyond // 3, face)
        is_first = tl.load(face_ptr + 3 * face, mask=walking, other=0) == leaving
        is_second = tl.load(face_ptr + 3 * face + 1, mask=walking, other=0) == leaving
        at = tl.where(is_first, 0, tl.where(is_second, 1, 2))
        corner = tl.where(walking, at, corner)
        steps += 1
    along_a, across_a = look(screen_ptr, up, here, there, sign, ended, AXIS)
    along_b, across_b = look(screen_ptr, down, here, there, sign, ended, AXIS)
    slant = tl.abs(along_a - along_b) - tl.abs(across_a - across_b)
    ended = ended & ((slant < 0) if AXIS else (slant <= 0))  # a diagonal edge is blended once
    distance = _crossing(along_a, across_a, along_b, across_b)
    distance = tl.where(distance > 0, tl.where(distance < 1, distance, 1.0), 0.0)
    inside = pixel < pixels
    tl.store(alpha_ptr + pixel, tl.where(ended, sign * (0.5 - distance), 0.0), mask=inside)
    tl.store(up_ptr + pixel, tl.where(ended, up, -1).to(tl.int32), mask=inside)
    tl.store(down_ptr + pixel, down.to(tl.int32), mask=inside)
