"""Matrix products and convolutions, and the gradients of convolutions in their input."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from xbind.export.builder import HALF, Builder
from xbind.export.errors import ExportError
from xbind.export.lower_pointwise import Lowering
from xbind.export.record import Call, Value

aten = torch.ops.aten


def _matmul(g: Builder, _call: Call, a: Value, b: Value) -> str:
    return g.node("MatMul", _factor(g, a), _factor(g, b))


def _factor(g: Builder, x: Value) -> str:
    """A factor; one weight that torch has spread over a batch is stored once, and spread there."""
    tensor = g.constants.get(x)
    spread = tensor is not None and tensor.ndim == 3 and tensor.stride(0) == 0
    return g.constant(tensor[0]) if spread and tensor is not None else g.name(x)


def _mm(g: Builder, _call: Call, a: Value, b: Value) -> str:
    right, transposed = _weight(g, b)
    if not transposed:
        return g.node("MatMul", g.name(a), right)
    return g.node("Gemm", g.name(a), right, transB=1)


def _addmm(
    g: Builder, _call: Call, bias: Value, a: Value, b: Value, beta: float, alpha: float
) -> str:
    right, transposed = _weight(g, b)
    return g.node(
        "Gemm", g.name(a), right, g.name(bias),
        alpha=float(alpha), beta=float(beta), transB=int(transposed),
    )  # fmt: skip


def _weight(g: Builder, b: Value) -> tuple[str, bool]:
    """A right factor; a weight that torch has turned is used as it is stored, and turned there."""
    tensor = g.constants.get(b)
    if tensor is not None and not tensor.is_contiguous() and tensor.t().is_contiguous():
        return g.constant(tensor.t()), True
    return g.name(b), False


def _baddbmm(
    g: Builder, call: Call, bias: Value, a: Value, b: Value, beta: float, alpha: float
) -> str:
    dtype = call.result.dtype
    product = g.node("MatMul", _factor(g, a), _factor(g, b))
    if alpha != 1:
        product = g.node("Mul", product, g.scalar(alpha, dtype))
    if beta == 0:
        return product
    scaled = g.name(bias) if beta == 1 else g.node("Mul", g.name(bias), g.scalar(beta, dtype))
    return g.node("Add", product, scaled)


def _convolution(
    g: Builder,
    _call: Call,
    x: Value,
    weight: Value,
    bias: Value | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> str:
    inputs = [g.name(x), g.name(weight), *([g.name(bias)] if bias is not None else [])]
    shared = {
        "kernel_shape": list(weight.shape[2:]), "strides": list(stride),
        "pads": [*padding, *padding], "dilations": list(dilation), "group": groups,
    }  # fmt: skip
    if not transposed:
        return g.node("Conv", *inputs, **shared)
    return g.node("ConvTranspose", *inputs, output_padding=list(output_padding), **shared)


def _convolution_backward(
    g: Builder,
    _call: Call,
    y_bar: Value,
    x: Value,
    weight: Value,
    _bias_sizes: object,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    _output_padding: object,
    groups: int,
    wanted: Sequence[bool],
) -> tuple[str | None, None, None]:
    """The gradient in the input, the only one that a frozen network has."""
    if wanted[1] or wanted[2] or weight not in g.constants:
        raise ExportError(
            "A convolution's weights are differentiated or computed; steps have frozen networks.\n"
            "Call requires_grad_(False) on the module."
        )
    if transposed:
        name = g.node(
            "Conv", g.name(y_bar), g.name(weight), strides=list(stride), group=groups,
            pads=[*padding, *padding], dilations=list(dilation),
        )  # fmt: skip
        return name, None, None
    kernel = g.constants[weight]
    sides = kernel.shape[2:]
    patches = list(stride) == list(sides) and not any(padding)
    if patches and max(stride) > 1 and groups == 1:
        return _unpatch(g, y_bar, x, kernel), None, None
    overhang = [d * (k - 1) - p for d, k, p in zip(dilation, sides, padding, strict=True)]
    if groups > 1 or min(overhang) < 0:
        return _transposed(g, y_bar, x, weight, stride, padding, dilation, groups), None, None
    if max(stride) > 1 and y_bar.dtype not in HALF:
        return _transposed(g, y_bar, x, weight, stride, padding, dilation, groups), None, None
    # A plain convolution with the kernel turned by 180°: fast everywhere. What a stride has left
    # out is put back as zeros; in half, where some engines have no transposed convolution.
    name = _spread(g, y_bar, x, sides, stride, padding, dilation)
    turned = kernel.flip(tuple(range(2, kernel.ndim))).transpose(0, 1).contiguous()
    pads = [*overhang, *overhang] if max(stride) == 1 else [0] * (2 * len(sides))
    name = g.node(
        "Conv", name, g.constant(turned), kernel_shape=list(sides), pads=pads,
        dilations=list(dilation),
    )  # fmt: skip
    return name, None, None


def _transposed(
    g: Builder,
    y_bar: Value,
    x: Value,
    weight: Value,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> str:
    """ConvTranspose, with the rows at the far edge that the stride did not reach."""
    sides = weight.shape[2:]
    rest = [
        x.shape[2 + i] - ((y_bar.shape[2 + i] - 1) * s - 2 * p + d * (k - 1) + 1)
        for i, (s, p, d, k) in enumerate(zip(stride, padding, dilation, sides, strict=True))
    ]
    return g.node(
        "ConvTranspose", g.name(y_bar), g.name(weight), kernel_shape=list(sides),
        strides=list(stride), pads=[*padding, *padding], dilations=list(dilation), group=groups,
        output_padding=rest,
    )  # fmt: skip


def _spread(
    g: Builder,
    y_bar: Value,
    x: Value,
    sides: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> str:
    """Zeros between the elements, as many as the stride skips, and around them as pads."""
    name = g.name(y_bar)
    if max(stride) == 1:
        return name
    zero = g.scalar(0, y_bar.dtype)
    batch, channels, *spatial = y_bar.shape
    axes = len(spatial)
    # (…, n, 1) padded to (…, n, stride), then flattened to (…, n · stride).
    name = g.reshape(name, [batch, channels, *(i for n in spatial for i in (n, 1))])
    after = [0, 0, *(i for s in stride for i in (0, s - 1))]
    name = g.node("Pad", name, g.ints(*[0] * len(after), *after), zero)
    name = g.reshape(
        name, [batch, channels, *(n * s for n, s in zip(spatial, stride, strict=True))]
    )
    before = [d * (k - 1) - p for d, k, p in zip(dilation, sides, padding, strict=True)]
    ends = [x.shape[2 + i] - spatial[i] * stride[i] + padding[i] for i in range(axes)]
    return g.node("Pad", name, g.ints(0, 0, *before, 0, 0, *ends), zero)


def _unpatch(g: Builder, y_bar: Value, x: Value, kernel: Tensor) -> str:
    """Patches that do not overlap: a matrix product, and the pixels put back where they were."""
    batch, filters, *counts = y_bar.shape
    channels, sides = kernel.shape[1], kernel.shape[2:]
    axes = len(sides)
    rows = g.node("Transpose", g.name(y_bar), perm=[0, *range(2, 2 + axes), 1])
    flat = kernel.reshape(filters, -1)
    pixels = g.node("MatMul", g.reshape(rows, (-1, filters)), g.constant(flat))
    name = g.reshape(pixels, (batch, *counts, channels, *sides))
    woven = [i for axis in range(axes) for i in (1 + axis, 2 + axes + axis)]
    name = g.node("Transpose", name, perm=[0, 1 + axes, *woven])
    covered = [n * k for n, k in zip(counts, sides, strict=True)]
    name = g.reshape(name, (batch, channels, *covered))
    rest = [x.shape[2 + i] - covered[i] for i in range(axes)]
    if not any(rest):
        return name
    return g.node("Pad", name, g.ints(*[0] * (axes + 4), *rest), g.scalar(0, y_bar.dtype))


LOWERINGS: dict[Any, Lowering] = {
    aten.mm.default: _mm,
    aten.bmm.default: _matmul,
    aten.addmm.default: _addmm,
    aten.baddbmm.default: _baddbmm,
    aten.convolution.default: _convolution,
    aten.convolution_backward.default: _convolution_backward,
}
"""aten operation → how a graph says it."""
