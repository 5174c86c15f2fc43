"""Operations that act on each element by itself, and their gradients."""

import math
from collections.abc import Callable
from typing import Any

import torch

from xbind.export.builder import Builder
from xbind.export.errors import ExportError
from xbind.export.record import Call, Value

Lowering = Callable[..., Any]
aten = torch.ops.aten


def _unary(op: str) -> Lowering:
    def lower(g: Builder, call: Call, x: Value) -> str:
        return g.node(op, _typed(g, x, call))

    return lower


def _typed(g: Builder, x: Value | float, call: Call) -> str:
    """An operand in the type of the result, which is how torch promotes."""
    result = call.result
    if isinstance(x, Value):
        return g.cast(g.name(x), x.dtype, result.dtype)
    return g.number(x, result)


def _binary(op: str) -> Lowering:
    def lower(g: Builder, call: Call, x: Value, y: Value | float, alpha: float = 1) -> str:
        right = _typed(g, y, call)
        if alpha != 1:
            right = g.node("Mul", right, g.scalar(alpha, call.result.dtype))
        return g.node(op, _typed(g, x, call), right)

    return lower


def _reversed_sub(g: Builder, call: Call, x: Value, y: Value | float, alpha: float) -> str:
    return _binary("Sub")(g, call, y, x, alpha)


def _compare(op: str) -> Lowering:
    def lower(g: Builder, _call: Call, x: Value, y: Value | float) -> str:
        if isinstance(y, Value):
            common = torch.promote_types(x.dtype, y.dtype)
            return g.node(op, *(g.cast(g.name(v), v.dtype, common) for v in (x, y)))
        whole = x.dtype.is_floating_point or float(y).is_integer()
        common = x.dtype if whole else torch.float32
        return g.node(op, g.cast(g.name(x), x.dtype, common), g.scalar(y, common))

    return lower


def _pow(g: Builder, call: Call, x: Value, exponent: float) -> str:
    name = _typed(g, x, call)
    if exponent == 2:
        return g.node("Mul", name, name)
    return g.node("Pow", name, g.scalar(exponent, call.result.dtype))


def _rsqrt(g: Builder, call: Call, x: Value) -> str:
    return g.node("Reciprocal", g.node("Sqrt", _typed(g, x, call)))


def _clamp(
    g: Builder,
    call: Call,
    x: Value,
    low: Value | float | None = None,
    high: Value | float | None = None,
) -> str:
    name = _typed(g, x, call)
    name = name if low is None else g.node("Max", name, _typed(g, low, call))
    return name if high is None else g.node("Min", name, _typed(g, high, call))


def _clamp_max(g: Builder, call: Call, x: Value, high: Value | float) -> str:
    return _clamp(g, call, x, None, high)


def _where(g: Builder, call: Call, condition: Value, x: Value, y: Value) -> str:
    return g.node("Where", g.name(condition), _typed(g, x, call), _typed(g, y, call))


def _masked_fill(g: Builder, call: Call, x: Value, mask: Value, value: Value | float) -> str:
    return g.node("Where", g.name(mask), _typed(g, value, call), g.name(x))


def _to_copy(g: Builder, call: Call, x: Value, *_: object) -> str:
    return _typed(g, x, call)


def _silu(g: Builder, _call: Call, x: Value) -> str:
    return g.node("Mul", g.name(x), g.node("Sigmoid", g.name(x)))


def _silu_backward(g: Builder, call: Call, y_bar: Value, x: Value) -> str:
    """ȳ s (1 + x (1 − s)) with s = sigmoid(x)."""
    one = g.scalar(1, call.result.dtype)
    s = g.node("Sigmoid", g.name(x))
    slope = g.node("Add", one, g.node("Mul", g.name(x), g.node("Sub", one, s)))
    return g.node("Mul", g.name(y_bar), g.node("Mul", s, slope))


def _sigmoid_backward(g: Builder, call: Call, y_bar: Value, y: Value) -> str:
    """ȳ y (1 − y)."""
    one = g.scalar(1, call.result.dtype)
    slope = g.node("Mul", g.name(y), g.node("Sub", one, g.name(y)))
    return g.node("Mul", g.name(y_bar), slope)


def _tanh_backward(g: Builder, call: Call, y_bar: Value, y: Value) -> str:
    """ȳ (1 − y²)."""
    square = g.node("Mul", g.name(y), g.name(y))
    slope = g.node("Sub", g.scalar(1, call.result.dtype), square)
    return g.node("Mul", g.name(y_bar), slope)


def _gelu(g: Builder, _call: Call, x: Value, approximate: str) -> str:
    return g.node("Gelu", g.name(x), approximate=approximate)


def _gelu_backward(g: Builder, call: Call, y_bar: Value, x: Value, approximate: str) -> str:
    """ȳ (Φ(x) + x φ(x)) with Φ the normal distribution and φ its density."""
    if approximate != "none":
        raise ExportError(
            f"The gradient of GELU with the {approximate} formula is not written yet."
        )

    def number(value: float) -> str:
        return g.scalar(value, torch.float32)

    name = g.wide(x)
    erf = g.node("Erf", g.node("Mul", name, number(math.sqrt(0.5))))
    distribution = g.node("Mul", number(0.5), g.node("Add", number(1), erf))
    exponent = g.node("Mul", number(-0.5), g.node("Mul", name, name))
    density = g.node("Mul", g.node("Exp", exponent), number(1 / math.sqrt(2 * math.pi)))
    slope = g.node("Add", distribution, g.node("Mul", name, density))
    wide = g.node("Mul", g.wide(y_bar), slope)
    return g.cast(wide, torch.float32, call.result.dtype)


LOWERINGS: dict[Any, Lowering] = {
    **{
        getattr(aten, name).default: _unary(op)
        for name, op in {
            "abs": "Abs", "cos": "Cos", "erf": "Erf", "exp": "Exp", "log": "Log", "neg": "Neg",
            "reciprocal": "Reciprocal", "relu": "Relu", "round": "Round", "sigmoid": "Sigmoid",
            "sin": "Sin", "sqrt": "Sqrt", "tanh": "Tanh", "logical_not": "Not",
        }.items()
    },
    **{
        getattr(getattr(aten, name), overload): _binary(op)
        for name, op in {"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div"}.items()
        for overload in ("Tensor", "Scalar")
    },
    **{
        getattr(getattr(aten, name), overload): _compare(op)
        for name, op in {
            "eq": "Equal", "lt": "Less", "le": "LessOrEqual", "gt": "Greater",
            "ge": "GreaterOrEqual",
        }.items()
        for overload in ("Tensor", "Scalar")
    },
    aten.rsub.Scalar: _reversed_sub,
    aten.maximum.default: _binary("Max"),
    aten.minimum.default: _binary("Min"),
    aten.pow.Tensor_Scalar: _pow,
    aten.rsqrt.default: _rsqrt,
    aten.clamp.default: _clamp,
    aten.clamp.Tensor: _clamp,
    aten.clamp_min.default: _clamp,
    aten.clamp_max.default: _clamp_max,
    aten.where.self: _where,
    aten.masked_fill.Scalar: _masked_fill,
    aten.masked_fill.Tensor: _masked_fill,
    aten._to_copy.default: _to_copy,
    aten.silu.default: _silu,
    aten.silu_backward.default: _silu_backward,
    aten.sigmoid_backward.default: _sigmoid_backward,
    aten.tanh_backward.default: _tanh_backward,
    aten.gelu.default: _gelu,
    aten.gelu_backward.default: _gelu_backward,
}  # fmt: skip
"""aten operation → how a graph says it."""
