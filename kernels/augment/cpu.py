"""The augmentation warp on the CPU: row by row, and in a row only where the view is shown.

Each row of a result's parts (`augment.reference`) is traced once (where they look, and with which
four weights), in a loop without branches that the compiler turns into vector code. A view is kept
pixel by pixel, with its channels side by side, so that a tap is one read or, in the gradient, one
addition. Threads share the images, or the views in the gradient.
"""

from typing import no_type_check

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx, once_differentiable

from xbind.kernels.common.lanes import apart, plus_scaled, read, together, write
from xbind.kernels.common.threads import in_pieces
from xbind.system.jit import cached_njit

# `no_type_check`: numba cannot compile what a run-time type checker has wrapped.
# Without "nnan": a point that is not a number must be seen to be none.
_FAST = {"contract", "nsz", "reassoc"}
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_RGB = (0, 0, 0, 0)  # as many numbers as a pixel takes in a page; the last one is not used
_PIXEL = np.uint32(len(_RGB))


@numba.njit(inline="always", error_model="numpy")
@no_type_check
def _share(place, low, high):
    """Returns the share of the pixel around `place` between two sides of the window."""
    low, high = place - low + _HALF, high - place + _HALF
    low = low if low > _ZERO else _ZERO  # and 0 for what is not a number
    high = high if high > _ZERO else _ZERO
    share = low if low < high else high
    return share if share < _ONE else _ONE


@numba.njit(inline="always", error_model="numpy")
@no_type_check
def _inside(place, last):
    """The place in the image next to `place`; 0 for what is not a number."""
    place = place if place > _ZERO else _ZERO
    return place if place < last else last


@numba.njit(error_model="numpy")
@no_type_check
def _in_pixels(homography, window, columns, rows, height, width, warp, sides):
    """Returns one warp and its window's sides in pixels, from [−1, 1]; the first centre is 0.

    The result is counted in `rows` × `columns` parts.
    """
    wide, high = width / 2, height / 2
    for k in range(3):
        warp[k, 0], warp[k, 1] = homography[k, 0] * (2 / columns), homography[k, 1] * (2 / rows)
        warp[k, 2] = homography[k, 2] + homography[k, 0] * (1 / columns - 1)
        warp[k, 2] += homography[k, 1] * (1 / rows - 1)
    for k in range(3):
        warp[0, k] = wide * warp[0, k] + (wide - 0.5) * warp[2, k]
        warp[1, k] = high * warp[1, k] + (high - 0.5) * warp[2, k]
    for k in range(4):
        half = wide if k % 2 == 0 else high
        sides[k] = (window[k] + 1) * half - 0.5


@numba.njit(fastmath=_FAST, error_model="numpy")
@no_type_check
def _trace_row(row, size, share, warp, sides, height, width, taps, weights):
    """Look up a row of `size` parts: see `augment.reference._view_points` and `_shown`.

    Writes where in a page each part's upper left tap is, and the four weights times what is shown
    and the part's share of a pixel; returns the first and one past the last column that shows
    anything. A part that shows nothing looks, with weights of zero, at the blank pixels behind the
    page.
    """
    # all numbers first: the loop is vector code, once no store in it can change them
    y = np.float32(row)
    p_x, p_0 = np.float32(warp[0, 0]), np.float32(warp[0, 1] * y + warp[0, 2])
    q_x, q_0 = np.float32(warp[1, 0]), np.float32(warp[1, 1] * y + warp[1, 2])
    w_x, w_0 = np.float32(warp[2, 0]), np.float32(warp[2, 1] * y + warp[2, 2])
    left, right = np.float32(sides[0]), np.float32(sides[2])
    top, bottom = np.float32(sides[1]), np.float32(sides[3])
    last_p, last_q = np.float32(width - 1), np.float32(height - 1)
    last_column, last_row = np.int32(max(width - 2, 0)), np.int32(max(height - 2, 0))
    stride, blank = np.int32(width), np.uint32(height * width)
    for column in range(size):
        x = np.float32(np.int32(column))
        inverse = _ONE / (w_x * x + w_0)
        p, q = (p_x * x + p_0) * inverse, (q_x * x + q_0) * inverse
        shown = _share(p, left, right) * _share(q, top, bottom)
        p, q = _inside(p, last_p), _inside(q, last_q)
        i, j = min(np.int32(p), last_column), min(np.int32(q), last_row)
        p, q = p - np.float32(i), q - np.float32(j)
        seen = shown * share
        far = p * seen
        near = seen - far
        weights[0, column], weights[1, column] = near - near * q, far - far * q
        weights[2, column], weights[3, column] = near * q, far * q
        taps[column] = np.uint32(j * stride + i) if shown > _ZERO else blank
    first, end = 0, size
    while first < end and taps[first] == blank:
        first += 1
    while first < end and taps[end - 1] == blank:
        end -= 1
    return first, end


@numba.njit(error_model="numpy")
@no_type_check
def _lay_out(view, scale, page):
    """A view's pixels one after the other, as `scale * (view - 1)`; behind them nothing."""
    for i in range(view.shape[1]):
        for c in range(3):
            page[np.uint32(i) * _PIXEL + np.uint32(c)] = scale[c] * (view[c, i] - _ONE)
        page[np.uint32(i) * _PIXEL + np.uint32(3)] = _ZERO
    page[view.shape[1] * 4 :] = _ZERO


@cached_njit(nogil=True, fastmath=_FAST, error_model="numpy")
@no_type_check
def _forward(
    first, end,                                 # images
    views, warps, windows, parts, shape,        # in:  [b, 3, h w] [k, 3, 3] [k, 4] [k, 2] (h, w)
    white, scale,                               # in:  [3] [3]
    result,                                     # out: [k, 3, s, s]
):  # fmt: skip
    height, width = shape
    size, n = result.shape[-1], len(warps) // len(views)
    right = _PIXEL * np.uint32(width > 1)
    down = _PIXEL * np.uint32(width if height > 1 else 0)
    taps, weights = _room_for_a_row(size, parts)
    page = np.empty((height * width + width + 2) * len(_RGB), np.float32)
    pixels = np.empty(size * len(_RGB), np.float32)  # a row of the result
    warp, sides = np.empty((3, 3)), np.empty(4)
    paper = together((white[0], white[1], white[2], _ZERO))
    laid_out = -1
    for k in range(first, end):
        if k // n != laid_out:
            laid_out = k // n
            _lay_out(views[laid_out], scale, page)
        t_x, t_y = parts[k]
        share = _ONE / np.float32(t_x * t_y)
        _in_pixels(warps[k], windows[k], size * t_x, size * t_y, height, width, warp, sides)
        for row in range(size):
            for x in range(size):
                write(pixels, np.uint32(x) * _PIXEL, _RGB, paper)
            for part in range(row * t_y, row * t_y + t_y):
                start, stop = _trace_row(
                    part, size * t_x, share, warp, sides, height, width, taps, weights
                )
                for x in range(start // t_x, (stop + t_x - 1) // t_x):
                    colour = read(pixels, np.uint32(x) * _PIXEL, _RGB)
                    for i in range(x * t_x, x * t_x + t_x):
                        at = taps[i] * _PIXEL
                        under = at + down
                        colour = plus_scaled(colour, weights[0, i], read(page, at, _RGB))
                        colour = plus_scaled(colour, weights[1, i], read(page, at + right, _RGB))
                        colour = plus_scaled(colour, weights[2, i], read(page, under, _RGB))
                        colour = plus_scaled(colour, weights[3, i], read(page, under + right, _RGB))
                    write(pixels, np.uint32(x) * _PIXEL, _RGB, colour)
            r, g, b = result[k, 0, row], result[k, 1, row], result[k, 2, row]
            for x in range(size):
                r[x], g[x], b[x], _ = apart(read(pixels, np.uint32(x) * _PIXEL, _RGB))


@numba.njit(error_model="numpy")
@no_type_check
def _room_for_a_row(size, parts):
    """Taps and weights of the parts in one row of any result."""
    most = 1
    for k in range(len(parts)):
        most = max(most, parts[k, 0])
    return np.empty(size * most, np.uint32), np.empty((4, size * most), np.float32)


@cached_njit(nogil=True, fastmath=_FAST, error_model="numpy")
@no_type_check
def _backward(
    first, end,                                       # views
    result_bar, warps, windows, parts, shape, scale,  # in:  [k, 3, s, s] [k, 3, 3] [k, 4] [k, 2] …
    views_bar,                                        # out: [b, 3, h w]
):  # fmt: skip
    # The result is affine in the view, so the gradient adds each pixel's cotangent, times the same
    # weights, to the pixels that its parts were read from.
    height, width = shape
    size, n = result_bar.shape[-1], len(warps) // len(views_bar)
    right = _PIXEL * np.uint32(width > 1)
    down = _PIXEL * np.uint32(width if height > 1 else 0)
    taps, weights = _room_for_a_row(size, parts)
    page = np.empty((height * width + width + 2) * len(_RGB), np.float32)
    warp, sides = np.empty((3, 3)), np.empty(4)
    for view in range(first, end):
        page[:] = _ZERO
        for k in range(view * n, view * n + n):
            t_x, t_y = parts[k]
            share = _ONE / np.float32(t_x * t_y)
            _in_pixels(warps[k], windows[k], size * t_x, size * t_y, height, width, warp, sides)
            for part in range(size * t_y):
                start, stop = _trace_row(
                    part, size * t_x, share, warp, sides, height, width, taps, weights
                )
                row = part // t_y
                r, g, b = result_bar[k, 0, row], result_bar[k, 1, row], result_bar[k, 2, row]
                for x in range(start // t_x, (stop + t_x - 1) // t_x):
                    bar = together((r[x], g[x], b[x], _ZERO))
                    for i in range(max(x * t_x, start), min(x * t_x + t_x, stop)):
                        at = taps[i] * _PIXEL
                        under = at + down
                        _add(page, at, weights[0, i], bar)
                        _add(page, at + right, weights[1, i], bar)
                        _add(page, under, weights[2, i], bar)
                        _add(page, under + right, weights[3, i], bar)
        for i in range(height * width):
            for c in range(3):
                views_bar[view, c, i] = scale[c] * page[np.uint32(i) * _PIXEL + np.uint32(c)]


@numba.njit(inline="always")
@no_type_check
def _add(page, at, weight, bar):
    write(page, at, _RGB, plus_scaled(read(page, at, _RGB), weight, bar))


class _Augment(Function):
    """`augment.reference.ms_augment` with its gradient."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        image: Tensor,
        homography: Tensor,
        window: Tensor,
        taps: Tensor,
        size: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
    ) -> Tensor:
        b, _, height, width = image.shape
        views = image.detach().contiguous().view(b, 3, -1)
        scale = np.float32(1) / np.array(std, np.float32)
        white = (1 - np.array(mean, np.float32)) * scale
        warps, windows = homography.reshape(-1, 3, 3).contiguous(), window.reshape(-1, 4)
        result = torch.empty(len(warps), 3, size, size)
        parts = taps.reshape(-1, 2).numpy().astype(np.int64)
        ctx.feeds = (warps.numpy(), windows.contiguous().numpy(), parts, (height, width))
        in_pieces(_forward, len(warps), views.numpy(), *ctx.feeds, white, scale, result.numpy())
        ctx.scale, ctx.shape = scale, (b, height, width)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, result_bar: Tensor) -> tuple[Tensor | None, ...]:
        b, height, width = ctx.shape
        bar = result_bar.contiguous().numpy()
        views_bar = torch.empty(b, 3, height * width)
        in_pieces(_backward, b, bar, *ctx.feeds, ctx.scale, views_bar.numpy())
        return views_bar.view(b, 3, height, width), *[None] * 6


def ms_augment(
    image: Tensor,
    homography: Tensor,
    window: Tensor,
    taps: Tensor,
    size: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> Tensor:
    """See `augment.reference.ms_augment`."""
    return _Augment.apply(image, homography, window, taps, size, mean, std)
