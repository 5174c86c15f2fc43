"""The augmentation warp on the CPU: row by row, and in a row only where the view is shown.

Each row of a result is traced once (where its pixels look, and with which four weights), in a loop
without branches that the compiler turns into vector code; then the channels are read or, in the
gradient, added to. Threads share the images, or the views in the gradient.
"""

from typing import no_type_check

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx, once_differentiable

from xbind.kernels.threads import in_pieces

# `no_type_check`: numba cannot compile what a run-time type checker has wrapped.
# Without "nnan": a point that is not a number must be seen to be none.
_FAST = {"contract", "nsz", "reassoc"}
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)


@numba.njit(inline="always", error_model="numpy")
@no_type_check
def _share(point, low, high, half_pixels):
    """How much of a view's pixel around `point` lies between two sides of the window."""
    share = min(point - low, high - point) * half_pixels + _HALF
    share = share if share > _ZERO else _ZERO
    return share if share < _ONE else _ONE


@numba.njit(inline="always", error_model="numpy")
@no_type_check
def _pixel(point, pixels):
    """A coordinate from −1 to 1 in units of pixel centres, inside the image."""
    place = ((point + _ONE) * np.float32(pixels) - _ONE) * _HALF
    place = place if place > _ZERO else _ZERO
    last = np.float32(pixels - 1)
    return place if place < last else last


@numba.njit(fastmath=_FAST, error_model="numpy")
@no_type_check
def _trace_row(row, size, warp, window, height, width, index, weights, white):
    """Look up one row of a result: see `reference_augment.view_points` and `shown`.

    Writes the flat index of each pixel's upper left tap, the four weights times what is shown, and
    the white that remains; returns the first and one past the last column that shows anything.
    """
    scale = np.float32(2) / np.float32(size)
    y = (np.float32(row) + _HALF) * scale - _ONE
    u_0, v_0 = warp[0, 1] * y + warp[0, 2], warp[1, 1] * y + warp[1, 2]
    w_0 = warp[2, 1] * y + warp[2, 2]
    left, top, right, bottom = window[0], window[1], window[2], window[3]
    half_width, half_height = np.float32(width) * _HALF, np.float32(height) * _HALF
    last_column, last_row = np.int32(max(width - 2, 0)), np.int32(max(height - 2, 0))
    for column in range(size):
        x = (np.float32(column) + _HALF) * scale - _ONE
        inverse = _ONE / (warp[2, 0] * x + w_0)
        u, v = (warp[0, 0] * x + u_0) * inverse, (warp[1, 0] * x + v_0) * inverse
        shown = _share(u, left, right, half_width) * _share(v, top, bottom, half_height)
        p, q = _pixel(u, width), _pixel(v, height)
        i, j = min(np.int32(p), last_column), min(np.int32(q), last_row)
        p, q = p - np.float32(i), q - np.float32(j)
        far = p * shown
        near = shown - far
        index[column] = np.uint32(j * np.int32(width) + i)
        weights[0, column], weights[1, column] = near - near * q, far - far * q
        weights[2, column], weights[3, column] = near * q, far * q
        white[column] = _ONE - shown
    first, end = 0, size
    while first < end and white[first] == _ONE:
        first += 1
    while first < end and white[end - 1] == _ONE:
        end -= 1
    return first, end


@numba.njit(nogil=True, cache=True, fastmath=_FAST, error_model="numpy")
@no_type_check
def _forward(
    first, end,                                 # images
    views, warps, windows, shape, mean, scale,  # in:  [b, 3, h w] [k, 3, 3] [k, 4] (h, w) [3] [3]
    result,                                     # out: [k, 3, s, s]
):  # fmt: skip
    height, width = shape
    size, n = result.shape[-1], len(warps) // len(views)
    right, down = np.uint32(width > 1), np.uint32(width if height > 1 else 0)
    index = np.empty(size, np.uint32)  # unsigned: numba need not look for negative ones
    weights, white = np.empty((4, size), np.float32), np.empty(size, np.float32)
    for k in range(first, end):
        red, green, blue = views[k // n, 0], views[k // n, 1], views[k // n, 2]
        for row in range(size):
            start, stop = _trace_row(
                row, size, warps[k], windows[k], height, width, index, weights, white
            )
            for c in range(3):
                result[k, c, row, :] = (_ONE - mean[c]) * scale[c]
            r, g, b = result[k, 0, row], result[k, 1, row], result[k, 2, row]
            for x in range(start, stop):
                if white[x] == _ONE:  # what is not shown does not matter, even if it is not finite
                    continue
                i = index[x]
                j = i + down
                w0, w1, w2, w3 = weights[0, x], weights[1, x], weights[2, x], weights[3, x]
                ink = w0 * red[i] + w1 * red[i + right] + w2 * red[j] + w3 * red[j + right]
                r[x] = (white[x] + ink - mean[0]) * scale[0]
                ink = w0 * green[i] + w1 * green[i + right] + w2 * green[j] + w3 * green[j + right]
                g[x] = (white[x] + ink - mean[1]) * scale[1]
                ink = w0 * blue[i] + w1 * blue[i + right] + w2 * blue[j] + w3 * blue[j + right]
                b[x] = (white[x] + ink - mean[2]) * scale[2]


@numba.njit(nogil=True, cache=True, fastmath=_FAST, error_model="numpy")
@no_type_check
def _backward(
    first, end,                                # views
    result_bar, warps, windows, shape, scale,  # in:  [k, 3, s, s] [k, 3, 3] [k, 4] (h, w) [3]
    views_bar,                                 # out: [b, 3, h w], zero on entry
):  # fmt: skip
    # The result is affine in the view, so the gradient adds each pixel's cotangent, times the same
    # four weights, to the four pixels that it was read from.
    height, width = shape
    size, n = result_bar.shape[-1], len(warps) // len(views_bar)
    right, down = np.uint32(width > 1), np.uint32(width if height > 1 else 0)
    index = np.empty(size, np.uint32)
    weights, white = np.empty((4, size), np.float32), np.empty(size, np.float32)
    for view in range(first, end):
        red, green, blue = views_bar[view, 0], views_bar[view, 1], views_bar[view, 2]
        for k in range(view * n, view * n + n):
            for row in range(size):
                start, stop = _trace_row(
                    row, size, warps[k], windows[k], height, width, index, weights, white
                )
                r, g, b = result_bar[k, 0, row], result_bar[k, 1, row], result_bar[k, 2, row]
                for x in range(start, stop):
                    if white[x] == _ONE:
                        continue
                    i = index[x]
                    j = i + down
                    w0, w1, w2, w3 = weights[0, x], weights[1, x], weights[2, x], weights[3, x]
                    bar = r[x] * scale[0]
                    red[i] += w0 * bar
                    red[i + right] += w1 * bar
                    red[j] += w2 * bar
                    red[j + right] += w3 * bar
                    bar = g[x] * scale[1]
                    green[i] += w0 * bar
                    green[i + right] += w1 * bar
                    green[j] += w2 * bar
                    green[j + right] += w3 * bar
                    bar = b[x] * scale[2]
                    blue[i] += w0 * bar
                    blue[i + right] += w1 * bar
                    blue[j] += w2 * bar
                    blue[j + right] += w3 * bar


class _Augment(Function):
    """`reference_augment.ms_augment` with its gradient."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        image: Tensor,
        homography: Tensor,
        window: Tensor,
        size: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
    ) -> Tensor:
        b, _, height, width = image.shape
        views = image.detach().contiguous().view(b, 3, -1)
        warps, windows = homography.reshape(-1, 3, 3).contiguous(), window.reshape(-1, 4)
        scale = np.float32(1) / np.array(std, np.float32)
        result = torch.empty(len(warps), 3, size, size)
        ctx.feeds = (warps.numpy(), windows.contiguous().numpy(), (height, width))
        means = np.array(mean, np.float32)
        in_pieces(_forward, len(warps), views.numpy(), *ctx.feeds, means, scale, result.numpy())
        ctx.scale, ctx.shape = scale, (b, height, width)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, result_bar: Tensor) -> tuple[Tensor | None, ...]:
        b, height, width = ctx.shape
        bar = result_bar.contiguous().numpy()
        views_bar = torch.zeros(b, 3, height * width)
        in_pieces(_backward, b, bar, *ctx.feeds, ctx.scale, views_bar.numpy())
        return views_bar.view(b, 3, height, width), None, None, None, None, None


def ms_augment(
    image: Tensor,
    homography: Tensor,
    window: Tensor,
    size: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> Tensor:
    """See `reference_augment.ms_augment`."""
    return _Augment.apply(image, homography, window, size, mean, std)
