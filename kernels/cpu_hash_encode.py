"""The hash grid on the CPU: threads share the points, or the levels of the table gradient."""

from typing import no_type_check

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx, once_differentiable

from xbind.kernels.reference_hash_encode import PRIMES
from xbind.kernels.threads import in_pieces

# `no_type_check`: numba cannot compile what a run-time type checker has wrapped.
# Without "nnan": a position that is not a number must still give an entry inside the table.
_FAST = {"contract", "nsz", "reassoc"}
_ZERO, _ONE = np.float32(0), np.float32(1)
_BLOCK = 256  # points whose features stay in the first-level cache while the levels pass
_NEXT, _PRIME_Y, _PRIME_Z = (np.uint64(number) for number in (1, *PRIMES[1:]))


@numba.njit(inline="always", error_model="numpy")
@no_type_check
def _split(x, resolution):
    """Cell of a coordinate, unsigned, and the place inside it, in [0, 1]."""
    scaled = min(max(x, _ZERO), _ONE) * np.float32(resolution)
    cell = min(max(np.int32(scaled), np.int32(0)), np.int32(resolution - 1))
    return np.uint64(cell), scaled - np.float32(cell)


@numba.njit(inline="always", error_model="numpy")
@no_type_check
def _corners(i, j, k, resolution, entries):
    """Entries of a cell's eight vertices; x turns fastest, then y, then z.

    All in unsigned numbers, so numba need not look for negative indices.
    """
    side = np.uint64(resolution + 1)
    if side * side * side <= np.uint64(entries):
        a = i + side * (j + side * k)
        b, c, d = a + side, a + side * side, a + side + side * side
        return a, a + _NEXT, b, b + _NEXT, c, c + _NEXT, d, d + _NEXT
    mask = np.uint64(entries - 1)
    y_0, z_0 = j * _PRIME_Y, k * _PRIME_Z
    y_1, z_1 = y_0 + _PRIME_Y, z_0 + _PRIME_Z
    a, b, c, d = y_0 ^ z_0, y_1 ^ z_0, y_0 ^ z_1, y_1 ^ z_1
    i_1 = i + _NEXT
    return (
        (i ^ a) & mask, (i_1 ^ a) & mask, (i ^ b) & mask, (i_1 ^ b) & mask,
        (i ^ c) & mask, (i_1 ^ c) & mask, (i ^ d) & mask, (i_1 ^ d) & mask,
    )  # fmt: skip


# `lanes` is a tuple with one item per feature: its length is known when the kernel is compiled, so
# the loop over the features is unrolled (twice as fast as a loop over a length read from the table)


@numba.njit(nogil=True, cache=True, fastmath=_FAST, error_model="numpy")
@no_type_check
def _forward(
    first, end,                    # points
    x, table, resolutions, lanes,  # in:  [n, 3] [levels, entries, features] [levels]
    encoded,                       # out: [n, levels * features]
):  # fmt: skip
    levels, entries, _ = table.shape
    features = len(lanes)
    for block in range(first, end, _BLOCK):
        for level in range(levels):
            resolution, row = resolutions[level], table[level]
            for p in range(block, min(end, block + _BLOCK)):
                i, u = _split(x[p, 0], resolution)
                j, v = _split(x[p, 1], resolution)
                k, w = _split(x[p, 2], resolution)
                e0, e1, e2, e3, e4, e5, e6, e7 = _corners(i, j, k, resolution, entries)
                u_, v_, w_ = _ONE - u, _ONE - v, _ONE - w
                for f in range(features):
                    encoded[p, level * features + f] = (
                        v_ * w_ * (u_ * row[e0, f] + u * row[e1, f])
                        + v * w_ * (u_ * row[e2, f] + u * row[e3, f])
                        + v_ * w * (u_ * row[e4, f] + u * row[e5, f])
                        + v * w * (u_ * row[e6, f] + u * row[e7, f])
                    )


@numba.njit(nogil=True, cache=True, fastmath=_FAST, error_model="numpy")
@no_type_check
def _backward_table(
    first, end,                          # levels
    x, encoded_bar, resolutions, lanes,  # in:  [n, 3] [n, levels * features] [levels]
    table_bar,                           # out: [levels, entries, features], zero on entry
):  # fmt: skip
    entries, features = table_bar.shape[1], len(lanes)
    for level in range(first, end):
        resolution, row = resolutions[level], table_bar[level]
        for p in range(len(x)):
            i, u = _split(x[p, 0], resolution)
            j, v = _split(x[p, 1], resolution)
            k, w = _split(x[p, 2], resolution)
            e0, e1, e2, e3, e4, e5, e6, e7 = _corners(i, j, k, resolution, entries)
            u_, v_, w_ = _ONE - u, _ONE - v, _ONE - w
            for f in range(features):
                bar = encoded_bar[p, level * features + f]
                row[e0, f] += v_ * w_ * u_ * bar
                row[e1, f] += v_ * w_ * u * bar
                row[e2, f] += v * w_ * u_ * bar
                row[e3, f] += v * w_ * u * bar
                row[e4, f] += v_ * w * u_ * bar
                row[e5, f] += v_ * w * u * bar
                row[e6, f] += v * w * u_ * bar
                row[e7, f] += v * w * u * bar


@numba.njit(nogil=True, cache=True, fastmath=_FAST, error_model="numpy")
@no_type_check
def _backward_x(
    first, end,                                 # points
    x, table, encoded_bar, resolutions, lanes,  # in
    x_bar,                                      # out: [n, 3]
):  # fmt: skip
    levels, entries, _ = table.shape
    features = len(lanes)
    for p in range(first, end):
        x_slope, y_slope, z_slope = _ZERO, _ZERO, _ZERO
        for level in range(levels):
            resolution, row = resolutions[level], table[level]
            i, u = _split(x[p, 0], resolution)
            j, v = _split(x[p, 1], resolution)
            k, w = _split(x[p, 2], resolution)
            e0, e1, e2, e3, e4, e5, e6, e7 = _corners(i, j, k, resolution, entries)
            u_, v_, w_ = _ONE - u, _ONE - v, _ONE - w
            for f in range(features):
                bar = encoded_bar[p, level * features + f] * np.float32(resolution)
                # edges along x, then the two y-edges and the z-edge between their means
                near_low, near_high = (
                    u_ * row[e0, f] + u * row[e1, f],
                    u_ * row[e2, f] + u * row[e3, f],
                )
                far_low, far_high = (
                    u_ * row[e4, f] + u * row[e5, f],
                    u_ * row[e6, f] + u * row[e7, f],
                )
                x_slope += bar * (
                    v_ * w_ * (row[e1, f] - row[e0, f]) + v * w_ * (row[e3, f] - row[e2, f])
                    + v_ * w * (row[e5, f] - row[e4, f]) + v * w * (row[e7, f] - row[e6, f])
                )  # fmt: skip
                y_slope += bar * (w_ * (near_high - near_low) + w * (far_high - far_low))
                z_slope += bar * (v_ * (far_low - near_low) + v * (far_high - near_high))
        x_bar[p, 0] = x_slope if _ZERO <= x[p, 0] <= _ONE else _ZERO
        x_bar[p, 1] = y_slope if _ZERO <= x[p, 1] <= _ONE else _ZERO
        x_bar[p, 2] = z_slope if _ZERO <= x[p, 2] <= _ONE else _ZERO


class _HashEncode(Function):
    """`reference_hash_encode.hash_encode` with its analytic gradient."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, table: Tensor, resolutions: tuple[int, ...]) -> Tensor:
        x, table = x.detach().contiguous(), table.detach().contiguous()
        ctx.save_for_backward(x, table)
        ctx.resolutions = np.array(resolutions, np.int64)
        levels, _, features = table.shape
        encoded = torch.empty(len(x), levels * features)
        feeds = (x.numpy(), table.numpy(), ctx.resolutions, (0,) * features)
        in_pieces(_forward, len(x), *feeds, encoded.numpy())
        return encoded

    @staticmethod
    @once_differentiable
    def backward(
        ctx: FunctionCtx, encoded_bar: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None]:
        x, table = ctx.saved_tensors
        bar = encoded_bar.contiguous().numpy()
        lanes = (0,) * table.shape[-1]
        x_bar = table_bar = None
        if ctx.needs_input_grad[0]:
            x_bar = torch.empty_like(x)
            feeds = (x.numpy(), table.numpy(), bar, ctx.resolutions, lanes)
            in_pieces(_backward_x, len(x), *feeds, x_bar.numpy())
        if ctx.needs_input_grad[1]:
            table_bar = torch.zeros_like(table)
            own = (bar, ctx.resolutions, lanes, table_bar.numpy())
            in_pieces(_backward_table, len(table), x.numpy(), *own)
        return x_bar, table_bar, None


def hash_encode(x: Tensor, table: Tensor, resolutions: tuple[int, ...]) -> Tensor:
    """See `reference_hash_encode.hash_encode`."""
    return _HashEncode.apply(x, table, resolutions)
