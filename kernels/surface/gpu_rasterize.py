"""The face that each pixel sees, in Triton; `surface.reference` has the definition and its letters.

Each triangle visits the pixels of its box, in two passes over all triangles:

1. the least depth of a pixel, by an atomic minimum of float64 bits taken as a 64-bit integer;
2. the lowest index of the faces that have exactly this depth, by an atomic minimum as well.

Minima do not depend on the order of the triangles, so the result repeats to the last bit. Every
decision is computed in float64 in the order of `surface.cpu_rasterize`, without fused
multiply-adds, so the faces are the CPU's. Depth and index in one 64-bit word would need one pass
only, but would leave 40 bits to the depth. Faces that meet in a side differ by less there.

One lane visits the box of one triangle, up to LANE_PIXELS pixels. Larger triangles are listed and
visited by whole programs, TILE pixels at a time.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from xbind.kernels.common.gpu import on_device_of
from xbind.kernels.surface.reference import BOX_SLACK_PX, FLAT

BLOCK = 128
"""Triangles per program, one per lane."""
TILE = 128
"""Pixels that a program visits at once in a large triangle."""
LANE_PIXELS = 32
"""Pixels of the box up to which a triangle is visited by one lane. Lanes of a program wait for the
slowest one, so this bounds what they wait for."""
LARGE_PROGRAMS, SLICES = 1024, 16
"""Grid of the large triangles: programs that share their list, and programs that share the pixels
of one triangle. Their number is only known on the device."""
OPTIONS = {"enable_fp_fusion": False, "maxnreg": 128}
"""Compile options of both kernels. Without a limit of its own, ptxas spills some registers to fit
one more program beside the others."""
_FLAT, _BOX_SLACK_PX = tl.constexpr(FLAT), tl.constexpr(BOX_SLACK_PX)


@triton.jit
def _corner(clip_ptr, face_ptr, first, face, corner, mask):
    """A corner of each face in clip space: x, y, z, w in float64."""
    at = clip_ptr + 4 * (first + tl.load(face_ptr + 3 * face + corner, mask=mask, other=0))
    x = tl.load(at, mask=mask, other=0.0).to(tl.float64)
    y = tl.load(at + 1, mask=mask, other=0.0).to(tl.float64)
    z = tl.load(at + 2, mask=mask, other=0.0).to(tl.float64)
    w = tl.load(at + 3, mask=mask, other=0.0).to(tl.float64)
    return x, y, z, w


@triton.jit
def _sign(x0, y0, w0, x1, y1, w1, x2, y2, w2):
    """The sign of Σ a_i w_i; 0 where the face is seen edge on or is not finite."""
    t0, t1, t2 = x0 * (y1 * w2 - y2 * w1), x1 * (y2 * w0 - y0 * w2), x2 * (y0 * w1 - y1 * w0)
    volume = t0 + t1 + t2
    size = tl.abs(volume)
    is_drawn = (_FLAT * (tl.abs(t0) + tl.abs(t1) + tl.abs(t2)) < size) & (size < float("inf"))
    return tl.where(is_drawn, tl.where(volume < 0, -1.0, 1.0), 0.0).to(tl.float64)


@triton.jit
def _pixel_range(p0, w0, p1, w1, p2, w2, pixels):
    """First and one past the last pixel along an axis whose centre may lie in a face.

    That is every pixel if a corner is behind the camera, and none if all are.
    """
    s0 = (p0 / w0 + 1) * (0.5 * pixels) - 0.5
    s1 = (p1 / w1 + 1) * (0.5 * pixels) - 0.5
    s2 = (p2 / w2 + 1) * (0.5 * pixels) - 0.5
    low = tl.minimum(tl.minimum(s0, s1), s2) - _BOX_SLACK_PX
    high = tl.maximum(tl.maximum(s0, s1), s2) + _BOX_SLACK_PX
    is_ahead = (w0 > 0) & (w1 > 0) & (w2 > 0)
    low = tl.where(is_ahead & (low > 0), tl.where(low < pixels, low, pixels * 1.0), 0.0)
    high = tl.where(is_ahead & (high < pixels - 1), tl.where(high > -1, high, -1.0), pixels - 1.0)
    is_behind = (w0 <= 0) & (w1 <= 0) & (w2 <= 0)
    end = tl.where(is_behind, 0, tl.floor(high).to(tl.int32) + 1)
    return tl.ceil(low).to(tl.int32), end


@triton.jit
def _look(
    x0, y0, z0, w0, x1, y1, z1, w1, x2, y2, z2, w2, sign, row, column, height, width
):  # fmt: skip
    """Whether a pixel sees its face, were the face alone, and the depth there as an integer.

    The integers are in the order of the depths, which are in [−1, 1].
    """
    y = (2 * row + 1).to(tl.float64) / height - 1
    x = (2 * column + 1).to(tl.float64) / width - 1
    v0, v1, v2 = sign * (y0 - y * w0), sign * (y1 - y * w1), sign * (y2 - y * w2)
    u0, u1, u2 = x0 - x * w0, x1 - x * w1, x2 - x * w2
    a, b, c = u1 * v2 - v1 * u2, u2 * v0 - v2 * u0, u0 * v1 - v0 * u1
    depth = (a * z0 + b * z1 + c * z2) / (a * w0 + b * w1 + c * w2)
    is_seen = (a >= 0) & (b >= 0) & (c >= 0) & (depth >= -1) & (depth <= 1)
    bits = tl.where(depth == 0, 0.0, depth).to(tl.int64, bitcast=True)  # −0 and 0 are one depth
    return is_seen, bits ^ ((bits >> 63) & 0x7FFFFFFFFFFFFFFF)


@triton.jit
def _settle(depth_ptr, nearest_ptr, pixel, is_seen, depth, face, FIND_DEPTH: tl.constexpr):
    """One pass at the given pixels: their least depth, or the lowest face at that depth."""
    least = tl.load(depth_ptr + pixel, mask=is_seen, other=0)
    if FIND_DEPTH:  # an old value of `least` costs an atomic operation, not the result
        tl.atomic_min(depth_ptr + pixel, depth, mask=is_seen & (depth < least), sem="relaxed")
    else:
        is_least = is_seen & (depth == least)
        tl.atomic_min(nearest_ptr + pixel, face.to(tl.int32), mask=is_least, sem="relaxed")


@triton.jit
def _small_kernel(
    clip_ptr, face_ptr,      # in:     [b, v, 4] [f, 3]
    depth_ptr, nearest_ptr,  # in/out: [b, h, w] [b, h, w]
    large_ptr, count_ptr,    # out:    [b·f] [1]; the first pass lists the large faces
    faces, vertices, height, width,
    FIND_DEPTH: tl.constexpr, BLOCK: tl.constexpr, LANE_PIXELS: tl.constexpr,
):  # fmt: skip
    """Visits the small triangles of a view, one per lane."""
    face = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    view = tl.program_id(1).to(tl.int64)
    mask = face < faces
    x0, y0, z0, w0 = _corner(clip_ptr, face_ptr, view * vertices, face, 0, mask)
    x1, y1, z1, w1 = _corner(clip_ptr, face_ptr, view * vertices, face, 1, mask)
    x2, y2, z2, w2 = _corner(clip_ptr, face_ptr, view * vertices, face, 2, mask)
    sign = _sign(x0, y0, w0, x1, y1, w1, x2, y2, w2)
    left, right = _pixel_range(x0, w0, x1, w1, x2, w2, width)
    top, bottom = _pixel_range(y0, w0, y1, w1, y2, w2, height)
    columns, rows = tl.maximum(right - left, 0), tl.maximum(bottom - top, 0)
    pixels = tl.where(sign != 0, columns * rows, 0)
    is_large = pixels > LANE_PIXELS
    if FIND_DEPTH:
        zeros = tl.zeros((BLOCK,), tl.int32)
        place = tl.atomic_add(count_ptr + zeros, zeros + 1, mask=is_large, sem="relaxed")
        tl.store(large_ptr + place, view * faces + face, mask=is_large)
    pixels = tl.where(is_large, 0, pixels)
    columns = tl.maximum(columns, 1)
    for k in range(tl.max(pixels, 0)):
        row, column = top + k // columns, left + k % columns
        is_seen, depth = _look(
            x0, y0, z0, w0, x1, y1, z1, w1, x2, y2, z2, w2, sign, row, column, height, width
        )
        pixel = (view * height + row) * width + column
        _settle(depth_ptr, nearest_ptr, pixel, is_seen & (k < pixels), depth, face, FIND_DEPTH)


@triton.jit
def _large_kernel(
    clip_ptr, face_ptr,      # in:     [b, v, 4] [f, 3]
    depth_ptr, nearest_ptr,  # in/out: [b, h, w] [b, h, w]
    large_ptr, count_ptr,    # in:     [b·f] [1]
    faces, vertices, height, width,
    FIND_DEPTH: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Visits the large triangles, TILE pixels of one at a time."""
    for place in range(tl.program_id(0), tl.load(count_ptr), tl.num_programs(0)):
        listed = tl.load(large_ptr + place)
        view, face = listed // faces, listed % faces
        x0, y0, z0, w0 = _corner(clip_ptr, face_ptr, view * vertices, face, 0, True)
        x1, y1, z1, w1 = _corner(clip_ptr, face_ptr, view * vertices, face, 1, True)
        x2, y2, z2, w2 = _corner(clip_ptr, face_ptr, view * vertices, face, 2, True)
        sign = _sign(x0, y0, w0, x1, y1, w1, x2, y2, w2)
        left, right = _pixel_range(x0, w0, x1, w1, x2, w2, width)
        top, bottom = _pixel_range(y0, w0, y1, w1, y2, w2, height)
        columns = right - left
        pixels = columns * (bottom - top)
        for start in range(tl.program_id(1) * TILE, pixels, tl.num_programs(1) * TILE):
            k = start + tl.arange(0, TILE)
            row, column = top + k // columns, left + k % columns
            is_seen, depth = _look(
                x0, y0, z0, w0, x1, y1, z1, w1, x2, y2, z2, w2, sign, row, column, height, width
            )
            pixel = (view * height + row) * width + column
            one = face + tl.zeros((TILE,), tl.int64)
            _settle(depth_ptr, nearest_ptr, pixel, is_seen & (k < pixels), depth, one, FIND_DEPTH)


def nearest_faces(clip: Tensor, faces: Tensor, size: tuple[int, int]) -> Tensor:
    """Index of the face that each pixel sees, −1 where there is none.

    Args:
        clip: [b, v, 4] float32, vertices in clip space.
        faces: [f, 3] int64, valid vertex indices.
        size: (height, width) in pixels.

    Returns:
        [b, h, w] int64.
    """
    clip, faces = clip.detach().contiguous(), faces.contiguous()
    views, vertices, _ = clip.shape
    count = len(faces)
    none_seen = torch.iinfo(torch.int32).max
    nearest = torch.full((views, *size), none_seen, dtype=torch.int32, device=clip.device)
    if nearest.numel() == 0 or count == 0:
        return torch.full_like(nearest, -1, dtype=torch.int64)
    behind_all = torch.iinfo(torch.int64).max
    depth = torch.full_like(nearest, behind_all, dtype=torch.int64)
    large = torch.zeros(views * count, dtype=torch.int64, device=clip.device)
    large_count = torch.zeros(1, dtype=torch.int32, device=clip.device)
    feeds = (clip, faces, depth, nearest, large, large_count, count, vertices, *size)
    with on_device_of(clip):
        for find_depth in (True, False):
            _small_kernel[(triton.cdiv(count, BLOCK), views)](
                *feeds, FIND_DEPTH=find_depth, BLOCK=BLOCK, LANE_PIXELS=LANE_PIXELS, **OPTIONS
            )
            _large_kernel[(min(len(large), LARGE_PROGRAMS), SLICES)](
                *feeds, FIND_DEPTH=find_depth, TILE=TILE, **OPTIONS
            )
    return torch.where(nearest == none_seen, -1, nearest).long()
