"""The hash grid on the CPU: threads share the points, or the levels of the table gradient.

A chunk of points is traced first (cells, entries and weights of its vertices), in loops without
branches that the compiler turns into vector code; then the entries are read or added to, all
features of one at once. Arrays are flat, so that the compiler knows how far apart numbers are.
"""

from typing import no_type_check

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx, once_differentiable

from xbind.kernels.common.lanes import none, plus_scaled, read, write
from xbind.kernels.common.threads import in_pieces
from xbind.kernels.hash_grid.reference import PRIMES
from xbind.system.jit import cached_njit

# `no_type_check`: numba cannot compile what a run-time type checker has wrapped.
# Without "nnan": a position that is not a number must still give an entry inside the table.
_FAST = {"contract", "nsz", "reassoc"}
_ZERO, _ONE = np.float32(0), np.float32(1)
_CHUNK = 128  # points that are traced at once: what is known of them stays in the first-level cache
_BLOCK = 2048  # points that are read before the next level: a table stays in the second-level cache
_NEXT, _PRIME_Y, _PRIME_Z = (np.uint32(number) for number in (1, *PRIMES[1:]))
_Y, _Z, _AXES = np.uint64(1), np.uint64(2), np.uint64(3)


@numba.njit(inline="always", error_model="numpy")
@no_type_check
def _split(x, scale, last):
    """Cell of a coordinate and the place inside it, in [0, 1]."""
    scaled = min(max(x, _ZERO), _ONE) * scale
    cell = min(max(np.int32(scaled), np.int32(0)), last)
    return np.uint32(cell), scaled - np.float32(cell)


@numba.njit(fastmath=_FAST, error_model="numpy")
@no_type_check
def _places(x, first, count, resolution, cells, places):
    """Cells [3, chunk] of the points from `first` on, and the places [3, chunk] inside of them."""
    scale, last = np.float32(resolution), np.int32(resolution - 1)
    start = _AXES * np.uint64(first)  # unsigned: numba need not look for negative indices
    for p in range(np.uint64(count)):
        i = start + _AXES * p
        cells[0, p], places[0, p] = _split(x[i], scale, last)
        cells[1, p], places[1, p] = _split(x[i + _Y], scale, last)
        cells[2, p], places[2, p] = _split(x[i + _Z], scale, last)


@numba.njit(fastmath=_FAST, error_model="numpy")
@no_type_check
def _entries(cells, count, resolution, size, entries):
    """Entries [8, chunk] of the cells' eight vertices; x turns fastest, then y, then z."""
    side = np.uint64(resolution + 1)
    if side * side * side <= np.uint64(size):
        row, layer = np.uint32(side), np.uint32(side * side)
        for p in range(count):
            a = cells[0, p] + row * cells[1, p] + layer * cells[2, p]
            entries[0, p], entries[1, p] = a, a + _NEXT
            entries[2, p], entries[3, p] = a + row, a + row + _NEXT
            entries[4, p], entries[5, p] = a + layer, a + layer + _NEXT
            entries[6, p], entries[7, p] = a + layer + row, a + layer + row + _NEXT
        return
    mask = np.uint32(size - 1)
    for p in range(count):
        i = cells[0, p]
        y_0, z_0 = np.uint32(cells[1, p] * _PRIME_Y), np.uint32(cells[2, p] * _PRIME_Z)
        y_1, z_1 = np.uint32(y_0 + _PRIME_Y), np.uint32(z_0 + _PRIME_Z)
        j = np.uint32(i + _NEXT)
        entries[0, p], entries[1, p] = (i ^ y_0 ^ z_0) & mask, (j ^ y_0 ^ z_0) & mask
        entries[2, p], entries[3, p] = (i ^ y_1 ^ z_0) & mask, (j ^ y_1 ^ z_0) & mask
        entries[4, p], entries[5, p] = (i ^ y_0 ^ z_1) & mask, (j ^ y_0 ^ z_1) & mask
        entries[6, p], entries[7, p] = (i ^ y_1 ^ z_1) & mask, (j ^ y_1 ^ z_1) & mask


@numba.njit(fastmath=_FAST, error_model="numpy")
@no_type_check
def _weights(places, count, weights):
    """Weights [8, chunk] of the vertices, in the order of `_entries`."""
    for p in range(count):
        u, v, w = places[0, p], places[1, p], places[2, p]
        far, near = v * w, w - v * w
        high, low = v - far, _ONE - v - near
        weights[1, p], weights[3, p] = u * low, u * high
        weights[5, p], weights[7, p] = u * near, u * far
        weights[0, p], weights[2, p] = low - u * low, high - u * high
        weights[4, p], weights[6, p] = near - u * near, far - u * far


# `lanes` is a tuple with one item per feature: its length is known when the kernel is compiled


@cached_njit(nogil=True, fastmath=_FAST, error_model="numpy")
@no_type_check
def _forward(
    first, end,                    # points
    x, table, resolutions, lanes,  # in:  [n * 3] [levels, entries * features] [levels]
    encoded,                       # out: [n * levels * features]
):  # fmt: skip
    levels = len(table)
    features = np.uint64(len(lanes))
    size = table.shape[1] // len(lanes)
    cells, places = np.empty((3, _CHUNK), np.uint32), np.empty((3, _CHUNK), np.float32)
    entries, weights = np.empty((8, _CHUNK), np.uint32), np.empty((8, _CHUNK), np.float32)
    for block in range(first, end, _BLOCK):
        for level in range(levels):
            row = table[level]
            for chunk in range(block, min(end, block + _BLOCK), _CHUNK):
                count = min(end - chunk, _CHUNK)
                _places(x, chunk, count, resolutions[level], cells, places)
                _entries(cells, count, resolutions[level], size, entries)
                _weights(places, count, weights)
                for p in range(count):
                    total = none(lanes)
                    for c in range(8):
                        vertex = features * np.uint64(entries[c, p])
                        total = plus_scaled(total, weights[c, p], read(row, vertex, lanes))
                    at = np.uint64((chunk + p) * levels + level)
                    write(encoded, features * at, lanes, total)


@cached_njit(nogil=True, fastmath=_FAST, error_model="numpy")
@no_type_check
def _backward_table(
    first, end,                          # levels
    x, encoded_bar, resolutions, lanes,  # in:  [n * 3] [n * levels * features] [levels]
    table_bar,                           # out: [levels, entries * features], zero on entry
):  # fmt: skip
    levels = len(table_bar)
    features = np.uint64(len(lanes))
    size = table_bar.shape[1] // len(lanes)
    cells, places = np.empty((3, _CHUNK), np.uint32), np.empty((3, _CHUNK), np.float32)
    entries, weights = np.empty((8, _CHUNK), np.uint32), np.empty((8, _CHUNK), np.float32)
    for block in range(0, len(x) // 3, _BLOCK):
        for level in range(first, end):
            row = table_bar[level]
            for chunk in range(block, min(len(x) // 3, block + _BLOCK), _CHUNK):
                count = min(len(x) // 3 - chunk, _CHUNK)
                _places(x, chunk, count, resolutions[level], cells, places)
                _entries(cells, count, resolutions[level], size, entries)
                _weights(places, count, weights)
                for p in range(count):
                    at = features * np.uint64((chunk + p) * levels + level)
                    bar = read(encoded_bar, at, lanes)
                    for c in range(8):
                        vertex = features * np.uint64(entries[c, p])
                        total = plus_scaled(read(row, vertex, lanes), weights[c, p], bar)
                        write(row, vertex, lanes, total)


@cached_njit(nogil=True, fastmath=_FAST, error_model="numpy")
@no_type_check
def _backward_x(
    first, end,                                 # points
    x, table, encoded_bar, resolutions, lanes,  # in
    x_bar,                                      # out: [n * 3], zero on entry
):  # fmt: skip
    levels = len(table)
    features = np.uint64(len(lanes))
    size = table.shape[1] // len(lanes)
    cells, places = np.empty((3, _CHUNK), np.uint32), np.empty((3, _CHUNK), np.float32)
    entries, slopes = np.empty((8, _CHUNK), np.uint32), np.empty((8, _CHUNK), np.float32)
    for block in range(first, end, _BLOCK):
        for level in range(levels):
            row = table[level]
            for chunk in range(block, min(end, block + _BLOCK), _CHUNK):
                count = min(end - chunk, _CHUNK)
                _places(x, chunk, count, resolutions[level], cells, places)
                _entries(cells, count, resolutions[level], size, entries)
                # what the loss gains where a vertex has more weight
                for p in range(count):
                    at = features * np.uint64((chunk + p) * levels + level)
                    for c in range(8):
                        slope, vertex = _ZERO, features * np.uint64(entries[c, p])
                        for f in range(len(lanes)):
                            slope += encoded_bar[at + np.uint64(f)] * row[vertex + np.uint64(f)]
                        slopes[c, p] = slope
                _add_slopes(x, chunk, count, resolutions[level], places, slopes, x_bar)


@numba.njit(fastmath=_FAST, error_model="numpy")
@no_type_check
def _add_slopes(x, first, count, resolution, places, slopes, x_bar):
    """Slopes at the vertices → along the axes, by how the weights change with the place."""
    scale, start = np.float32(resolution), _AXES * np.uint64(first)
    for p in range(np.uint64(count)):
        u, v, w = places[0, p], places[1, p], places[2, p]
        # along x in the cell's four edges; then values at their middles, along y; then along z
        low_0, low_1 = slopes[1, p] - slopes[0, p], slopes[3, p] - slopes[2, p]
        high_0, high_1 = slopes[5, p] - slopes[4, p], slopes[7, p] - slopes[6, p]
        along_x = low_0 + v * (low_1 - low_0)
        along_x += w * (high_0 + v * (high_1 - high_0) - along_x)
        at_low_0, at_low_1 = slopes[0, p] + u * low_0, slopes[2, p] + u * low_1
        at_high_0, at_high_1 = slopes[4, p] + u * high_0, slopes[6, p] + u * high_1
        y_low, y_high = at_low_1 - at_low_0, at_high_1 - at_high_0
        along_y = y_low + w * (y_high - y_low)
        along_z = at_high_0 - at_low_0 + v * (y_high - y_low)
        i = start + _AXES * p
        x_bar[i] += _slope(x[i], scale * along_x)
        x_bar[i + _Y] += _slope(x[i + _Y], scale * along_y)
        x_bar[i + _Z] += _slope(x[i + _Z], scale * along_z)


@numba.njit(inline="always", error_model="numpy")
@no_type_check
def _slope(x, slope):
    """Nothing where x was clamped, or is not a number."""
    return slope if _ZERO <= x <= _ONE else _ZERO


class _HashEncode(Function):
    """`hash_grid.reference.hash_encode` with its analytic gradient."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, table: Tensor, resolutions: tuple[int, ...]) -> Tensor:
        x, table = x.detach().contiguous(), table.detach().contiguous()
        ctx.save_for_backward(x, table)
        ctx.resolutions = np.array(resolutions, np.int64)
        levels, _, features = table.shape
        encoded = torch.empty(len(x), levels * features)
        feeds = (x.view(-1).numpy(), table.flatten(1).numpy(), ctx.resolutions, (0,) * features)
        in_pieces(_forward, len(x), *feeds, encoded.view(-1).numpy(), grain=_CHUNK)
        return encoded

    @staticmethod
    @once_differentiable
    def backward(
        ctx: FunctionCtx, encoded_bar: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None]:
        x, table = ctx.saved_tensors
        bar = encoded_bar.contiguous().view(-1).numpy()
        lanes = (0,) * table.shape[-1]
        x_bar = table_bar = None
        if ctx.needs_input_grad[0]:
            x_bar = torch.zeros_like(x)
            feeds = (x.view(-1).numpy(), table.flatten(1).numpy(), bar, ctx.resolutions, lanes)
            in_pieces(_backward_x, len(x), *feeds, x_bar.view(-1).numpy(), grain=_CHUNK)
        if ctx.needs_input_grad[1]:
            table_bar = torch.zeros_like(table)
            own = (bar, ctx.resolutions, lanes, table_bar.flatten(1).numpy())
            in_pieces(_backward_table, len(table), x.view(-1).numpy(), *own)
        return x_bar, table_bar, None


def hash_encode(x: Tensor, table: Tensor, resolutions: tuple[int, ...]) -> Tensor:
    """See `hash_grid.reference.hash_encode`."""
    return _HashEncode.apply(x, table, resolutions)
