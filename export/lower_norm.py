"""Sums and norms, and their gradients. All of it in float32 at least."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from xbind.export.builder import Builder, widened
from xbind.export.errors import ExportError
from xbind.export.lower_pointwise import Lowering
from xbind.export.record import Call, Value

aten = torch.ops.aten


def _reduce(op: str) -> Lowering:
    def lower(
        g: Builder,
        call: Call,
        x: Value,
        dims: Sequence[int] | None,
        keepdim: bool,
        *_: object,
    ) -> str:
        return _reduced(g, call, op, x, dims, keepdim)

    return lower


def _reduce_all(op: str) -> Lowering:
    def lower(g: Builder, call: Call, x: Value, *_: object) -> str:
        return _reduced(g, call, op, x, None, False)

    return lower


def _reduced(
    g: Builder, call: Call, op: str, x: Value, dims: Sequence[int] | None, keepdim: bool
) -> str:
    dtype = widened(call.result.dtype)
    name = g.cast(g.name(x), x.dtype, dtype)
    axes = [d % len(x.shape) for d in dims] if dims else list(range(len(x.shape)))
    if all(x.shape[axis] == 1 for axis in axes) and op != "ReduceL2":
        name = g.reshape(name, call.result.shape)
    else:
        name = g.node(op, name, g.ints(*axes), keepdims=int(keepdim))
    return g.cast(name, dtype, call.result.dtype)


def _vector_norm(
    g: Builder,
    call: Call,
    x: Value,
    order: float,
    dims: int | Sequence[int] | None,
    keepdim: bool,
    *_: object,
) -> str:
    if order != 2:
        raise ExportError(f"A vector norm of order {order} is not written yet.")
    return _reduced(g, call, "ReduceL2", x, [dims] if isinstance(dims, int) else dims, keepdim)


def _amax(g: Builder, call: Call, x: Value, dims: Sequence[int], keepdim: bool) -> str:
    return _reduced(g, call, "ReduceMax", x, dims, keepdim)


def _argmax(g: Builder, _call: Call, x: Value, dim: int | None, keepdim: bool) -> str:
    if dim is None:
        raise ExportError("argmax over all axes is not written yet.")
    return g.node("ArgMax", g.name(x), axis=dim % len(x.shape), keepdims=int(keepdim))


Mean = Callable[[str], str]
"""A value's mean over the axes that a norm is taken over, broadcastable to the value."""


def _mean_over(g: Builder, *axes: int) -> Mean:
    def mean(name: str) -> str:
        return g.node("ReduceMean", name, g.ints(*axes), keepdims=1)

    return mean


def _mean_of_group(g: Builder, channels: int, groups: int) -> Mean:
    """Returns the mean of [n, c, h, w] over pixels, then over the channels of a group."""

    def mean(name: str) -> str:
        per_channel = _mean_over(g, 2, 3)(name)
        weight = g.constant(_averaging(channels, groups), f"mean_of_{channels}_in_{groups}")
        return g.node("Conv", per_channel, weight)

    return mean


@cache
def _averaging(channels: int, groups: int) -> Float[Tensor, "c c 1 1"]:
    """The convolution that gives each channel its group's mean; the same memory each time."""
    size = channels // groups
    blocks = [torch.full((size, size), 1 / size)] * groups
    return torch.block_diag(*blocks)[..., None, None]


def _centred(g: Builder, name: str, mean: Mean, eps: float) -> tuple[str, str, str]:
    """x − mean, the mean, and 1/√(variance + eps)."""
    middle = mean(name)
    centred = g.node("Sub", name, middle)
    variance = mean(g.node("Mul", centred, centred))
    shifted = g.node("Add", variance, g.scalar(eps, torch.float32))
    return centred, middle, g.node("Reciprocal", g.node("Sqrt", shifted))


def _affine(
    g: Builder, name: str, weight: Value | None, bias: Value | None, shape: Sequence[int]
) -> str:
    """weight · x + bias, each in `shape`."""
    for op, parameter in (("Mul", weight), ("Add", bias)):
        if parameter is not None:
            wide = g.wide(parameter)
            fitted = wide if tuple(shape) == parameter.shape else g.reshape(wide, shape)
            name = g.node(op, name, fitted)
    return name


def _layer_norm(
    g: Builder,
    call: Call,
    x: Value,
    shape: Sequence[int],
    weight: Value | None,
    bias: Value | None,
    eps: float,
) -> tuple[str, str | None, str | None]:
    axes = range(len(x.shape) - len(shape), len(x.shape))
    if not any(g.is_used(output) for output in call.outputs[1:]) and weight is not None:
        inputs = [g.wide(v) for v in (x, weight, bias) if v is not None]
        name = g.node("LayerNormalization", *inputs, axis=axes[0], epsilon=eps)
        return g.cast(name, widened(x.dtype), x.dtype), None, None
    centred, mean, scale = _centred(g, g.wide(x), _mean_over(g, *axes), eps)
    name = _affine(g, g.node("Mul", centred, scale), weight, bias, shape)
    return g.cast(name, widened(x.dtype), x.dtype), mean, scale


def _layer_norm_backward(
    g: Builder,
    call: Call,
    y_bar: Value,
    x: Value,
    shape: Sequence[int],
    mean: Value,
    scale: Value,
    weight: Value | None,
    _bias: Value | None,
    wanted: Sequence[bool],
) -> tuple[str, None, None]:
    _check_frozen(wanted)
    axes = range(len(x.shape) - len(shape), len(x.shape))
    y_hat = g.node("Mul", g.node("Sub", g.wide(x), g.name(mean)), g.name(scale))
    cotangent = _affine(g, g.wide(y_bar), weight, None, shape)
    name = _normalised_backward(g, cotangent, y_hat, g.name(scale), _mean_over(g, *axes))
    return g.cast(name, widened(x.dtype), call.result.dtype), None, None


def _group_norm(
    g: Builder,
    call: Call,
    x: Value,
    weight: Value | None,
    bias: Value | None,
    n: int,
    c: int,
    _hw: int,
    groups: int,
    eps: float,
) -> tuple[str, str | None, str | None]:
    per_channel = (1, c, *[1] * (len(x.shape) - 2))
    if _is_by_channel(g, x):
        centred, middle, inverse = _centred(g, g.wide(x), _mean_of_group(g, c, groups), eps)
        name = _affine(g, g.node("Mul", centred, inverse), weight, bias, per_channel)
        return g.cast(name, widened(x.dtype), x.dtype), middle, inverse
    grouped = g.reshape(g.wide(x), (n, groups, -1))
    mean, scale = None, None
    if any(g.is_used(output) for output in call.outputs[1:]):
        centred, mean, scale = _centred(g, grouped, _mean_over(g, 2), eps)
        name = g.node("Mul", centred, scale)
        mean, scale = (g.reshape(v, (n, groups)) for v in (mean, scale))
    else:
        ones, zeros = (g.constant(torch.full((groups,), v)) for v in (1.0, 0.0))
        name = g.node("InstanceNormalization", grouped, ones, zeros, epsilon=eps)
    name = _affine(g, g.reshape(name, x.shape), weight, bias, per_channel)
    return g.cast(name, widened(x.dtype), x.dtype), mean, scale


def _group_norm_backward(
    g: Builder,
    call: Call,
    y_bar: Value,
    x: Value,
    mean: Value,
    scale: Value,
    weight: Value | None,
    n: int,
    c: int,
    _hw: int,
    groups: int,
    wanted: Sequence[bool],
) -> tuple[str, None, None]:
    _check_frozen(wanted)
    per_channel = (1, c, *[1] * (len(x.shape) - 2))
    cotangent = _affine(g, g.wide(y_bar), weight, None, per_channel)
    if _is_by_channel(g, x):
        y_hat = g.node("Mul", g.node("Sub", g.wide(x), g.name(mean)), g.name(scale))
        over = _mean_of_group(g, c, groups)
        name = _normalised_backward(g, cotangent, y_hat, g.name(scale), over)
        return g.cast(name, widened(x.dtype), call.result.dtype), None, None
    mean_name, scale_name = (g.reshape(g.name(v), (n, groups, 1)) for v in (mean, scale))
    grouped = g.reshape(g.wide(x), (n, groups, -1))
    y_hat = g.node("Mul", g.node("Sub", grouped, mean_name), scale_name)
    cotangent = g.reshape(cotangent, (n, groups, -1))
    name = _normalised_backward(g, cotangent, y_hat, scale_name, _mean_over(g, 2))
    return g.cast(g.reshape(name, x.shape), widened(x.dtype), call.result.dtype), None, None


def _is_by_channel(g: Builder, x: Value) -> bool:
    """Returns True if a group norm's statistics are computed per channel first."""
    return g.dialect.channel_norms and len(x.shape) == 4


def _normalised_backward(g: Builder, y_bar: str, y_hat: str, scale: str, mean: Mean) -> str:
    """x̄ = scale (ȳ − mean(ȳ) − ŷ mean(ȳ ŷ)): the part of ȳ that mean and variance do not eat."""
    along = g.node("Mul", y_hat, mean(g.node("Mul", y_bar, y_hat)))
    rest = g.node("Sub", g.node("Sub", y_bar, mean(y_bar)), along)
    return g.node("Mul", scale, rest)


def _check_frozen(wanted: Sequence[bool]) -> None:
    if wanted[1] or wanted[2]:
        raise ExportError(
            "A norm's parameters are differentiated; steps have frozen networks.\n"
            "Call requires_grad_(False) on the module."
        )


LOWERINGS: dict[Any, Lowering] = {
    aten.mean.dim: _reduce("ReduceMean"),
    aten.mean.default: _reduce_all("ReduceMean"),
    aten.sum.dim_IntList: _reduce("ReduceSum"),
    aten.sum.default: _reduce_all("ReduceSum"),
    aten.amax.default: _amax,
    aten.argmax.default: _argmax,
    aten.linalg_vector_norm.default: _vector_norm,
    aten.native_layer_norm.default: _layer_norm,
    aten.native_layer_norm_backward.default: _layer_norm_backward,
    aten.native_group_norm.default: _group_norm,
    aten.native_group_norm_backward.default: _group_norm_backward,
}
"""aten operation → how a graph says it."""
