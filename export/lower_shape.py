"""Operations that move elements without changing them, and the gradients of such."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from xbind.export.builder import Builder
from xbind.export.errors import ExportError
from xbind.export.lower_pointwise import Lowering
from xbind.export.record import Call, Value

aten = torch.ops.aten
_TO_THE_END = 2**62
"""torch writes the end of an open slice as the largest integer."""


def _same(g: Builder, _call: Call, x: Value, *_: object) -> str:
    return g.name(x)


def _reshape(g: Builder, call: Call, x: Value, *_: object) -> str:
    shape = call.result.shape
    return g.name(x) if shape == x.shape else g.reshape(g.name(x), shape)


def _permute(g: Builder, _call: Call, x: Value, dims: Sequence[int]) -> str:
    return g.node("Transpose", g.name(x), perm=[d % len(x.shape) for d in dims])


def _transpose(g: Builder, call: Call, x: Value, first: int = 0, second: int = 1) -> str:
    dims = list(range(len(x.shape)))
    dims[first], dims[second] = dims[second], dims[first]
    return _permute(g, call, x, dims)


def _expand(g: Builder, call: Call, x: Value, *_: object) -> str:
    shape = call.result.shape
    return g.name(x) if shape == x.shape else g.node("Expand", g.name(x), g.ints(*shape))


def _repeat(g: Builder, call: Call, x: Value, repeats: Sequence[int]) -> str:
    shape = (1,) * (len(repeats) - len(x.shape)) + x.shape
    name = g.name(x) if shape == x.shape else g.reshape(g.name(x), shape)
    return g.node("Tile", name, g.ints(*repeats)) if set(repeats) != {1} else name


def _cat(g: Builder, call: Call, parts: Sequence[Value], dim: int = 0) -> str:
    axis = dim % len(call.result.shape)
    kept = [part for part in parts if math.prod(part.shape) > 0]
    return g.node("Concat", *(g.name(part) for part in kept), axis=axis)


def _stack(g: Builder, call: Call, parts: Sequence[Value], dim: int = 0) -> str:
    axis = dim % len(call.result.shape)
    names = [g.node("Unsqueeze", g.name(part), g.ints(axis)) for part in parts]
    return g.node("Concat", *names, axis=axis)


def _split(g: Builder, call: Call, x: Value, _sizes: object, dim: int = 0) -> tuple[str, ...]:
    axis = dim % len(x.shape)
    parts = [part for part in call.outputs if part is not None]
    assert len(parts) == len(call.outputs)
    sizes = g.ints(*(part.shape[axis] for part in parts))
    return g.nodes_of("Split", (g.name(x), sizes), len(parts), axis=axis)


def _slice(
    g: Builder, call: Call, x: Value, dim: int, start: int | None, end: int | None, step: int
) -> str:
    if call.result.shape == x.shape:
        return g.name(x)
    first, last = _bounds(x.shape[dim], start, end)
    axis = dim % len(x.shape)
    return g.node("Slice", g.name(x), *(g.ints(i) for i in (first, last, axis, step)))


def _bounds(size: int, start: int | None, end: int | None) -> tuple[int, int]:
    """Returns start and end of a slice, counted from the front and clamped to the axis."""
    first = 0 if start is None else start
    last = size if end is None or end > _TO_THE_END else end
    first, last = (i + size if i < 0 else i for i in (first, last))
    return min(max(first, 0), size), min(max(last, 0), size)


def _slice_backward(
    g: Builder,
    _call: Call,
    y_bar: Value,
    sizes: Sequence[int],
    dim: int,
    start: int,
    end: int,
    step: int,
) -> str:
    if step != 1:
        raise ExportError(f"The gradient of a slice with step {step} is not written yet.")
    first, last = _bounds(sizes[dim], start, end)
    return _pad_axis(g, g.name(y_bar), len(sizes), dim, first, sizes[dim] - last, y_bar.dtype)


def _select(g: Builder, _call: Call, x: Value, dim: int, index: int) -> str:
    axis = dim % len(x.shape)
    return g.node("Gather", g.name(x), g.scalar(index % x.shape[axis], torch.int64), axis=axis)


def _select_backward(
    g: Builder, _call: Call, y_bar: Value, sizes: Sequence[int], dim: int, index: int
) -> str:
    axis = dim % len(sizes)
    index %= sizes[axis]
    name = g.node("Unsqueeze", g.name(y_bar), g.ints(axis))
    return _pad_axis(g, name, len(sizes), axis, index, sizes[axis] - 1 - index, y_bar.dtype)


def _pad_axis(
    g: Builder, name: str, axes: int, dim: int, before: int, after: int, dtype: torch.dtype
) -> str:
    """Zeros before and after, along one axis."""
    pads = [0] * (2 * axes)
    pads[dim % axes], pads[dim % axes + axes] = before, after
    return g.node("Pad", name, g.ints(*pads), g.scalar(0, dtype)) if any(pads) else name


def _pad(g: Builder, _call: Call, x: Value, pads: Sequence[int], value: float = 0) -> str:
    """torch lists (before, after) from the last axis on, ONNX all before and then all after."""
    axes = len(x.shape)
    before, after = [0] * axes, [0] * axes
    for i in range(len(pads) // 2):
        before[axes - 1 - i], after[axes - 1 - i] = pads[2 * i], pads[2 * i + 1]
    if not any(pads):
        return g.name(x)
    return g.node("Pad", g.name(x), g.ints(*before, *after), g.scalar(value, x.dtype))


def _filled(value: float) -> Lowering:
    """`zeros_like` and the like: shapes are static, so they are constants."""

    def lower(_g: Builder, call: Call, *_: object) -> Tensor:
        output = call.result
        return torch.full((), value, dtype=output.dtype).expand(output.shape)

    return lower


def _full_like(_g: Builder, call: Call, _x: Value, value: float, *_: object) -> Tensor:
    output = call.result
    return torch.full((), value, dtype=output.dtype).expand(output.shape)


def _index(g: Builder, _call: Call, x: Value, indices: Sequence[Value | None]) -> str:
    given = [(axis, index) for axis, index in enumerate(indices) if index is not None]
    if len(given) == 1:
        ((axis, index),) = given
        return g.node("Gather", g.name(x), g.name(index), axis=axis)
    if [axis for axis, _ in given] != list(range(len(given))) or len(
        {index.shape for _, index in given}
    ) != 1:
        raise ExportError("Indexing by several tensors of unlike shapes is not written yet.")
    last = len(given[0][1].shape)
    parts = [g.node("Unsqueeze", g.name(index), g.ints(last)) for _, index in given]
    return g.node("GatherND", g.name(x), g.node("Concat", *parts, axis=last))


def _embedding(g: Builder, _call: Call, table: Value, index: Value, *_: object) -> str:
    return g.node("Gather", g.name(table), g.name(index), axis=0)


def _nearest(g: Builder, call: Call, x: Value, *_: object) -> str:
    """Each pixel becomes a block; in bfloat16 without Resize, which TensorRT lacks there."""
    n, c, h, w = x.shape
    rows, columns = _blocks(call.result.shape, x.shape)
    if x.dtype != torch.bfloat16:
        scales = g.constant(torch.tensor([1.0, 1.0, rows, columns]))
        return g.node(
            "Resize", g.name(x), "", scales, mode="nearest", nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        )  # fmt: skip
    name = g.reshape(g.name(x), (n, c, h, 1, w, 1))
    name = g.node("Expand", name, g.ints(n, c, h, rows, w, columns))
    return g.reshape(name, call.result.shape)


def _nearest_backward(
    g: Builder,
    _call: Call,
    y_bar: Value,
    _size: object,
    shape: Sequence[int],
    *_: object,
) -> str:
    """The sum over each block."""
    n, c, h, w = shape
    rows, columns = _blocks(y_bar.shape, shape)
    name = g.reshape(g.wide(y_bar), (n, c, h, rows, w, columns))
    wide = g.node("ReduceSum", name, g.ints(3, 5), keepdims=0)
    return g.cast(wide, torch.float32, y_bar.dtype)


def _blocks(large: Sequence[int], small: Sequence[int]) -> tuple[int, int]:
    rows, columns = large[2] // small[2], large[3] // small[3]
    if (small[2] * rows, small[3] * columns) != (large[2], large[3]):
        raise ExportError(
            f"Nearest resize from {tuple(small[2:])} to {tuple(large[2:])} is not a whole factor.\n"
            "Resize by a matrix, as `xbind.diffusion.latents.resize` does."
        )
    return rows, columns


LOWERINGS: dict[Any, Lowering] = {
    aten.alias.default: _same,
    aten.clone.default: _same,
    aten.detach.default: _same,
    aten.lift_fresh.default: _same,
    aten.view.default: _reshape,
    aten._unsafe_view.default: _reshape,
    aten.unsqueeze.default: _reshape,
    aten.squeeze.default: _reshape,
    aten.squeeze.dim: _reshape,
    aten.squeeze.dims: _reshape,
    aten.permute.default: _permute,
    aten.transpose.int: _transpose,
    aten.t.default: _transpose,
    aten.expand.default: _expand,
    aten.repeat.default: _repeat,
    aten.cat.default: _cat,
    aten.stack.default: _stack,
    aten.split.Tensor: _split,
    aten.split_with_sizes.default: _split,
    aten.slice.Tensor: _slice,
    aten.slice_backward.default: _slice_backward,
    aten.select.int: _select,
    aten.select_backward.default: _select_backward,
    aten.constant_pad_nd.default: _pad,
    aten.zeros_like.default: _filled(0),
    aten.ones_like.default: _filled(1),
    aten.new_zeros.default: _filled(0),
    aten.new_ones.default: _filled(1),
    aten.full_like.default: _full_like,
    aten.index.Tensor: _index,
    aten.embedding.default: _embedding,
    aten.upsample_nearest2d.default: _nearest,
    aten.upsample_nearest2d_backward.default: _nearest_backward,
}
"""aten operation → how a graph says it."""
