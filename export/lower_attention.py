"""Softmax and attention, and their gradients. Softmax is float32 at least."""

import math
from typing import Any

import torch

from xbind.export.builder import Builder, widened
from xbind.export.errors import ExportError
from xbind.export.lower_pointwise import Lowering
from xbind.export.record import Call, Value

aten = torch.ops.aten


def _softmax(g: Builder, call: Call, x: Value, dim: int, _half_to_float: bool) -> str:
    name = g.node("Softmax", g.wide(x), axis=dim % len(x.shape))
    return g.cast(name, widened(x.dtype), call.result.dtype)


def _softmax_backward(
    g: Builder, call: Call, p_bar: Value, p: Value, dim: int, _dtype: torch.dtype
) -> str:
    name = _softmax_bar(g, g.wide(p_bar), g.wide(p), dim % len(p.shape))
    return g.cast(name, widened(p.dtype), call.result.dtype)


def _softmax_bar(g: Builder, p_bar: str, p: str, axis: int) -> str:
    """p (p̄ − Σ p̄ p)."""
    total = g.node("ReduceSum", g.node("Mul", p_bar, p), g.ints(axis), keepdims=1)
    return g.node("Mul", p, g.node("Sub", p_bar, total))


def _attention(
    g: Builder,
    _call: Call,
    q: Value,
    k: Value,
    v: Value,
    _dropout: float,
    is_causal: bool,
    mask: Value | None,
    scale: float | None,
) -> tuple[str, None]:
    p = _attention_map(g, q, k, is_causal, mask, scale)
    return g.node("MatMul", g.cast(p, torch.float32, v.dtype), g.name(v)), None


def _attention_map(
    g: Builder, q: Value, k: Value, is_causal: bool, mask: Value | None, scale: float | None
) -> str:
    """softmax(scale · q kᵀ + mask) in float32."""
    if is_causal:
        raise ExportError("Causal attention is not written yet.\nGive it as a mask.")
    dtype = torch.float32 if g.upcast_attention else q.dtype
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    queries = g.cast(g.name(q), q.dtype, dtype)
    scaled = g.node("Mul", queries, g.scalar(factor, dtype))
    keys = g.cast(_turned(g, g.name(k), len(k.shape)), k.dtype, dtype)
    logits = g.cast(g.node("MatMul", scaled, keys), dtype, widened(dtype))
    if mask is not None:
        logits = g.node("Add", logits, g.wide(mask))
    return g.node("Softmax", logits, axis=-1)


def _attention_backward(
    g: Builder,
    call: Call,
    y_bar: Value,
    q: Value,
    k: Value,
    v: Value,
    _y: Value,
    _normaliser: Value,
    _dropout: float,
    is_causal: bool,
    mask: Value | None,
    scale: float | None,
) -> tuple[str, str, str]:
    """With p = softmax(s q kᵀ):  v̄ = pᵀ ȳ,  l̄ = p (p̄ − Σ p̄ p),  q̄ = s l̄ k,  k̄ = s l̄ᵀ q."""
    axes, dtype = len(q.shape), call.result.dtype
    wide = widened(dtype)
    factor = g.scalar(1 / math.sqrt(q.shape[-1]) if scale is None else scale, wide)
    p = _attention_map(g, q, k, is_causal, mask, scale)
    y_bar_name = g.wide(y_bar)
    v_bar = g.node("MatMul", _turned(g, p, axes), y_bar_name)
    p_bar = g.node("MatMul", y_bar_name, _turned(g, g.wide(v), axes))
    l_bar = g.node("Mul", _softmax_bar(g, p_bar, p, axes - 1), factor)
    q_bar = g.node("MatMul", l_bar, g.wide(k))
    k_bar = g.node("MatMul", _turned(g, l_bar, axes), g.wide(q))
    q_bar, k_bar, v_bar = (g.cast(name, wide, dtype) for name in (q_bar, k_bar, v_bar))
    return q_bar, k_bar, v_bar


def _turned(g: Builder, name: str, axes: int) -> str:
    """The last two axes exchanged."""
    return g.node("Transpose", name, perm=[*range(axes - 2), axes - 1, axes - 2])


LOWERINGS: dict[Any, Lowering] = {
    aten._softmax.default: _softmax,
    aten._softmax_backward_data.default: _softmax_backward,
    aten._scaled_dot_product_flash_attention_for_cpu.default: _attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward.default: _attention_backward,
}
"""aten operation → how a graph says it."""
