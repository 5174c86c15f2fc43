"""The hash grid in Triton: one program per block of points and level; sums in float32.

The table's gradient is added up by atomics, so its last bits differ from run to run.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx, once_differentiable

from xbind.kernels.common.gpu import on_device_of
from xbind.kernels.hash_grid.reference import PRIMES

BLOCK = 128
"""Points per program."""
_PRIME_Y, _PRIME_Z = (tl.constexpr(prime) for prime in PRIMES[1:])


@triton.jit
def _split(x_ptr, axis: tl.constexpr, point, inside, resolution):
    """Cell of a coordinate, the place inside it, and whether the coordinate is in [0, 1].

    What is not a number lies in cell 0, at a place that is not a number.
    """
    x = tl.load(x_ptr + 3 * point + axis, mask=inside, other=0.0).to(tl.float32)
    scaled = tl.where(x < 0, 0.0, tl.where(x > 1, 1.0, x)) * resolution
    cell = tl.minimum(tl.where(scaled >= 0, scaled, 0.0).to(tl.int32), resolution - 1)
    return cell, scaled - cell, (x >= 0) & (x <= 1)


@triton.jit
def _entry(i, j, k, resolution, ENTRIES: tl.constexpr):
    """Returns the index of a vertex in its level's table."""
    side = resolution + 1
    is_dense = side.to(tl.int64) * side * side <= ENTRIES
    dense = i + side * (j + side * k)
    y, z = j.to(tl.uint32) * _PRIME_Y, k.to(tl.uint32) * _PRIME_Z
    hashed = (i.to(tl.uint32) ^ y ^ z) & (ENTRIES - 1)
    return tl.where(is_dense, dense, hashed.to(tl.int32))


@triton.jit
def _fwd_kernel(
    x_ptr, table_ptr, resolution_ptr,  # in:  [n, 3] [levels, entries, features] [levels]
    encoded_ptr,                       # out: [n, levels * features]
    n, levels,
    ENTRIES: tl.constexpr, FEATURES: tl.constexpr, LANES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    point = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    level = tl.program_id(1).to(tl.int64)
    inside = point < n
    resolution = tl.load(resolution_ptr + level)
    i, u, _ = _split(x_ptr, 0, point, inside, resolution)
    j, v, _ = _split(x_ptr, 1, point, inside, resolution)
    k, w, _ = _split(x_ptr, 2, point, inside, resolution)
    lane = tl.arange(0, LANES)[None, :]
    mask = inside[:, None] & (lane < FEATURES)
    row = table_ptr + level * ENTRIES * FEATURES + lane
    total = tl.zeros((BLOCK, LANES), tl.float32)
    for corner in tl.static_range(8):
        a, b, c = corner % 2, corner // 2 % 2, corner // 4
        entry = _entry(i + a, j + b, k + c, resolution, ENTRIES)
        weight = (u if a else 1 - u) * (v if b else 1 - v) * (w if c else 1 - w)
        value = tl.load(row + entry[:, None] * FEATURES, mask=mask, other=0.0).to(tl.float32)
        total += weight[:, None] * value
    out = encoded_ptr + (point * levels + level)[:, None] * FEATURES + lane
    tl.store(out, total, mask=mask)


@triton.jit
def _bwd_table_kernel(
    x_ptr, encoded_bar_ptr, resolution_ptr,  # in:  [n, 3] [n, levels * features] [levels]
    table_bar_ptr,                           # out: [levels, entries, features], zero on entry
    n, levels,
    ENTRIES: tl.constexpr, FEATURES: tl.constexpr, LANES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    # The encoding is linear in the table: entry e gets each point's cotangent times e's weight.
    point = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    level = tl.program_id(1).to(tl.int64)
    inside = point < n
    resolution = tl.load(resolution_ptr + level)
    i, u, _ = _split(x_ptr, 0, point, inside, resolution)
    j, v, _ = _split(x_ptr, 1, point, inside, resolution)
    k, w, _ = _split(x_ptr, 2, point, inside, resolution)
    lane = tl.arange(0, LANES)[None, :]
    mask = inside[:, None] & (lane < FEATURES)
    bar = encoded_bar_ptr + (point * levels + level)[:, None] * FEATURES + lane
    bar = tl.load(bar, mask=mask, other=0.0).to(tl.float32)
    row = table_bar_ptr + level * ENTRIES * FEATURES + lane
    for corner in tl.static_range(8):
        a, b, c = corner % 2, corner // 2 % 2, corner // 4
        entry = _entry(i + a, j + b, k + c, resolution, ENTRIES)
        weight = (u if a else 1 - u) * (v if b else 1 - v) * (w if c else 1 - w)
        share = weight[:, None] * bar
        tl.atomic_add(row + entry[:, None] * FEATURES, share, mask=mask, sem="relaxed")


@triton.jit
def _bwd_x_kernel(
    x_ptr, table_ptr, encoded_bar_ptr, resolution_ptr,  # in
    x_bar_ptr,                                          # out: [n, 3]
    n, levels,
    ENTRIES: tl.constexpr, FEATURES: tl.constexpr, LANES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    # ∂weight/∂x = ± resolution × the weights along y and z, and 0 where x was clamped
    point = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = point < n
    lane = tl.arange(0, LANES)[None, :]
    mask = inside[:, None] & (lane < FEATURES)
    x_bar = tl.zeros((BLOCK,), tl.float32)
    y_bar = tl.zeros((BLOCK,), tl.float32)
    z_bar = tl.zeros((BLOCK,), tl.float32)
    bars = encoded_bar_ptr + (point * levels)[:, None] * FEATURES + lane
    row = table_ptr + lane
    for level in range(levels):
        resolution = tl.load(resolution_ptr + level)
        i, u, _ = _split(x_ptr, 0, point, inside, resolution)
        j, v, _ = _split(x_ptr, 1, point, inside, resolution)
        k, w, _ = _split(x_ptr, 2, point, inside, resolution)
        bar = tl.load(bars, mask=mask, other=0.0).to(tl.float32) * resolution
        for corner in tl.static_range(8):
            a, b, c = corner % 2, corner // 2 % 2, corner // 4
            entry = _entry(i + a, j + b, k + c, resolution, ENTRIES)
            value = tl.load(row + entry[:, None] * FEATURES, mask=mask, other=0.0).to(tl.float32)
            slope = tl.sum(value * bar, 1)
            along_x, along_y, along_z = u if a else 1 - u, v if b else 1 - v, w if c else 1 - w
            x_bar += (slope if a else -slope) * along_y * along_z
            y_bar += (slope if b else -slope) * along_x * along_z
            z_bar += (slope if c else -slope) * along_x * along_y
        bars += FEATURES
        row += ENTRIES * FEATURES
    _, _, x_moves = _split(x_ptr, 0, point, inside, 1)
    _, _, y_moves = _split(x_ptr, 1, point, inside, 1)
    _, _, z_moves = _split(x_ptr, 2, point, inside, 1)
    tl.store(x_bar_ptr + 3 * point, tl.where(x_moves, x_bar, 0.0), mask=inside)
    tl.store(x_bar_ptr + 3 * point + 1, tl.where(y_moves, y_bar, 0.0), mask=inside)
    tl.store(x_bar_ptr + 3 * point + 2, tl.where(z_moves, z_bar, 0.0), mask=inside)


class _HashEncode(Function):
    """`hash_grid.reference.hash_encode` with its analytic gradient."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, table: Tensor, resolutions: tuple[int, ...]) -> Tensor:
        x, table = x.detach().contiguous(), table.detach().contiguous()
        cells = torch.tensor(resolutions, dtype=torch.int32, device=x.device)
        ctx.save_for_backward(x, table, cells)
        levels, entries, features = table.shape
        dtype = torch.promote_types(x.dtype, table.dtype)
        encoded = torch.empty(len(x), levels * features, dtype=dtype, device=x.device)
        feeds = (x, table, cells, encoded)
        _launch(_fwd_kernel, levels, feeds, len(x), levels, entries, features)
        return encoded

    @staticmethod
    @once_differentiable
    def backward(
        ctx: FunctionCtx, encoded_bar: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None]:
        x, table, cells = ctx.saved_tensors
        levels, entries, features = table.shape
        bar = encoded_bar.contiguous()
        x_bar = table_bar = None
        if ctx.needs_input_grad[0]:
            x_bar = torch.empty_like(x)
            _launch(
                _bwd_x_kernel, 1, (x, table, bar, cells, x_bar), len(x), levels, entries, features
            )
        if ctx.needs_input_grad[1]:
            sums = torch.zeros_like(table, dtype=torch.float32)
            _launch(
                _bwd_table_kernel, levels, (x, bar, cells, sums), len(x), levels, entries, features
            )
            table_bar = sums.to(table.dtype)
        return x_bar, table_bar, None


def _launch(
    kernel: triton.JITFunction, rows: int, feeds: tuple[Tensor, ...],
    n: int, levels: int, entries: int, features: int,
) -> None:  # fmt: skip
    if n == 0:
        return
    with on_device_of(feeds[0]):
        kernel[triton.cdiv(n, BLOCK), rows](
            *feeds, n, levels,
            ENTRIES=entries, FEATURES=features, LANES=triton.next_power_of_2(features), BLOCK=BLOCK,
        )  # fmt: skip


def hash_encode(x: Tensor, table: Tensor, resolutions: tuple[int, ...]) -> Tensor:
    """See `hash_grid.reference.hash_encode`."""
    return _HashEncode.apply(x, table, resolutions)
