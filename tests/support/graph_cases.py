"""Functions that make torch call one aten operation each, over shapes that tell mistakes apart."""

import torch
from torch.nn import functional as F

aten = torch.ops.aten


def gradient(f):
    """x, ȳ ↦ x̄: what autograd records when a step differentiates f inside itself."""

    def run(x, *rest):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            y = f(x)
            (x_bar,) = torch.autograd.grad(y, x, rest[0] if rest else torch.ones_like(y))
        return x_bar

    return run


def weight(*shape, seed=3):
    """Irregular numbers, by operations that have no state: a recorder sees constants."""
    count = torch.Size(shape).numel()
    return torch.sin(seed * torch.arange(1.0, count + 1) ** 1.5).reshape(shape)


def conv(side, *, groups=1, bias=True, transposed=False, **shared):
    def f(x):
        kernel = weight(6, 4, side, side) if transposed else weight(4, 6 // groups, side, side)
        run = F.conv_transpose2d if transposed else F.conv2d
        return run(x, kernel, weight(4, seed=4) if bias else None, groups=groups, **shared)

    return f


def scaled(q_scale):
    def f(q, k, v):
        return F.scaled_dot_product_attention(q, k, v, scale=q_scale)

    return f


def masked_attention(q, k, v):
    mask = torch.full((5, 7), -torch.inf).triu(1)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def attention_gradients(q, k, v, y_bar):
    with torch.enable_grad():
        q, k, v = (x.detach().requires_grad_() for x in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v)
        return torch.autograd.grad(y, (q, k, v), y_bar)


X, Y = (2, 6, 8, 10), (2, 6, 8, 10)
"""Unequal axes: a transposed or forgotten one shows."""
Q, K, V = (2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6)
PAIR = (2, 3, 5), (2, 5, 4)
T = torch.tensor

CASES = {
    aten.abs.default: [(torch.abs, X)],
    aten.cos.default: [(torch.cos, X)],
    aten.erf.default: [(torch.erf, X)],
    aten.exp.default: [(torch.exp, X)],
    aten.log.default: [(lambda x: torch.log(x.abs() + 0.1), X)],
    aten.neg.default: [(torch.neg, X)],
    aten.reciprocal.default: [(lambda x: (x + 9).reciprocal(), X)],
    aten.relu.default: [(torch.relu, X)],
    aten.sigmoid.default: [(torch.sigmoid, X)],
    aten.sin.default: [(torch.sin, X)],
    aten.sqrt.default: [(lambda x: (x * x).sqrt(), X)],
    aten.tanh.default: [(torch.tanh, X)],
    aten.rsqrt.default: [(lambda x: (x * x + 0.1).rsqrt(), X)],
    aten.logical_not.default: [(lambda x: (x > 0).logical_not(), X)],
    aten.add.Tensor: [
        (lambda x, y: torch.add(x, y, alpha=0.5), X, Y),
        (lambda x: x + 2, X),
        (lambda x: x + (x > 0), X),
    ],
    aten.add.Scalar: [(lambda x: aten.add.Scalar(x, 2, 0.5), X)],
    aten.sub.Tensor: [(lambda x, y: torch.sub(x, y, alpha=3), X, (10,))],
    aten.sub.Scalar: [(lambda x: aten.sub.Scalar(x, 2, 0.5), X)],
    aten.mul.Tensor: [(lambda x, y: x * y, X, (6, 1, 1))],
    aten.mul.Scalar: [(lambda x: aten.mul.Scalar(x, 0.3), X)],
    aten.div.Tensor: [(lambda x, y: x / (y.abs() + 1), X, Y), (lambda x: x.argmax(-1) / 4, X)],
    aten.div.Scalar: [(lambda x: aten.div.Scalar(x, 0.3), X)],
    aten.rsub.Scalar: [(lambda x: torch.rsub(x, 1, alpha=2), X)],
    aten.eq.Tensor: [(lambda x, y: x.round() == y.round(), X, Y)],
    aten.eq.Scalar: [(lambda x: x.round() == 0, X)],
    aten.lt.Tensor: [(lambda x, y: x < y, X, Y), (lambda x, y: x.argmax(-1) < y[..., 0], X, Y)],
    aten.lt.Scalar: [(lambda x: x < 0.1, X), (lambda x: x.argmax(-1) < 2.5, X)],
    aten.le.Tensor: [(lambda x, y: x.round() <= y.round(), X, Y)],
    aten.le.Scalar: [(lambda x: x.round() <= 0, X)],
    aten.gt.Tensor: [(lambda x, y: x > y, X, Y)],
    aten.gt.Scalar: [(lambda x: x.round() > 0, X)],
    aten.ge.Tensor: [(lambda x, y: x.round() >= y.round(), X, Y)],
    aten.ge.Scalar: [(lambda x: x.round() >= 0, X)],
    aten.round.default: [(torch.round, X)],
    aten.maximum.default: [(torch.maximum, X, Y)],
    aten.minimum.default: [(torch.minimum, X, Y)],
    aten.pow.Tensor_Scalar: [(lambda x: x**2, X), (lambda x: x.abs() ** 0.7, X)],
    aten.clamp.default: [(lambda x: x.clamp(-0.5, 0.2), X), (lambda x: x.clamp(max=0.2), X)],
    aten.clamp.Tensor: [(lambda x, y: torch.clamp(x, min=y, max=None), X, (10,))],
    aten.clamp_min.default: [
        (lambda x: x.clamp_min(0.3), X),
        (lambda x: x.argmax(-1).clamp_min(3), X),
    ],
    aten.clamp_max.default: [(lambda x: x.clamp_max(0.3), X)],
    aten.where.self: [(lambda x, y: torch.where(x > y, x, y * 2), X, Y)],
    aten.masked_fill.Scalar: [
        (lambda x: x.masked_fill(x > 0, -3), X),
        (lambda x: (2 * x).masked_fill_(x > 0, -3), X),
    ],
    aten.masked_fill.Tensor: [(lambda x: x.masked_fill(x > 0, T(0.5)), X)],
    aten._to_copy.default: [(lambda x: x.double() * 2, X), (lambda x: (3 * x).long(), X)],
    aten.silu.default: [(F.silu, X)],
    aten.silu_backward.default: [(gradient(F.silu), X, Y)],
    aten.sigmoid_backward.default: [(gradient(torch.sigmoid), X, Y)],
    aten.tanh_backward.default: [(gradient(torch.tanh), X, Y)],
    aten.gelu.default: [(F.gelu, X), (lambda x: F.gelu(x, approximate="tanh"), X)],
    aten.gelu_backward.default: [(gradient(F.gelu), X, Y)],
    aten.alias.default: [(lambda x: aten.alias(x) + 1, X)],
    aten.clone.default: [(lambda x: x.clone() + 1, X)],
    aten.detach.default: [(lambda x: x.detach() + 1, X)],
    aten.lift_fresh.default: [(lambda x: x + T([1.0] * 10), X)],
    aten.view.default: [(lambda x: x.view(12, -1), X)],
    aten._unsafe_view.default: [(lambda x, y: x @ y, X, (10, 3))],
    aten.unsqueeze.default: [(lambda x: x.unsqueeze(-1) * 2, X)],
    aten.squeeze.default: [(lambda x: x.sum((1, 3), keepdim=True).squeeze(), X)],
    aten.squeeze.dim: [(lambda x: x.sum((1, 3), keepdim=True).squeeze(1), X)],
    aten.squeeze.dims: [(lambda x: x.sum((1, 3), keepdim=True).squeeze((1, 3)), X)],
    aten.permute.default: [(lambda x: x.permute(2, 0, -1, 1), X)],
    aten.transpose.int: [(lambda x: x.transpose(1, -1), X)],
    aten.t.default: [(lambda x: x.t() * 2, (3, 5))],
    aten.expand.default: [(lambda x: x[:, :1].expand(-1, 4, -1, -1) * 2, X)],
    aten.repeat.default: [(lambda x: x.repeat(3, 1, 2, 1, 1), X)],
    aten.cat.default: [(lambda x, y: torch.cat([x, y[:, :2], y[:, :0]], 1), X, Y)],
    aten.stack.default: [(lambda x, y: torch.stack([x, y], -1), X, Y)],
    aten.split.Tensor: [(lambda x: torch.split(x, 4, 1), X), (lambda x: x.chunk(2)[1] * 2, X)],
    aten.split_with_sizes.default: [(lambda x: torch.split(x, [1, 5], 1), X)],
    aten.slice.Tensor: [(lambda x: x[:, 1:-2, ::3] * 2, X), (lambda x: x[-1:] * 2, X)],
    aten.slice_backward.default: [(gradient(lambda x: x[:, 1:-2].exp()), X)],
    aten.select.int: [(lambda x: x[:, -2] * 2, X)],
    aten.select_backward.default: [(gradient(lambda x: x[:, -2].exp()), X)],
    aten.constant_pad_nd.default: [
        (lambda x: F.pad(x, (0, 1, 2, 0)), X),
        (lambda x: F.pad(x, (1, -2), value=0.5), X),
    ],
    aten.zeros_like.default: [(lambda x: torch.cat([x, torch.zeros_like(x)]), X)],
    aten.ones_like.default: [(lambda x: torch.cat([x, torch.ones_like(x)]), X)],
    aten.new_zeros.default: [(lambda x: torch.cat([x, x.new_zeros(1, 6, 8, 10)]), X)],
    aten.new_ones.default: [(lambda x: torch.cat([x, x.new_ones(1, 6, 8, 10)]), X)],
    aten.full_like.default: [(lambda x: torch.cat([x, torch.full_like(x, 0.3)]), X)],
    aten.index.Tensor: [
        (lambda x: x[:, T([3, 0, -1])] * 2, X),
        (lambda x: weight(10)[x[:, 0, 0].argmax(-1)], X),
        (lambda x: x[torch.arange(2), x[:, :, 0, 0].argmax(-1)], X),
    ],
    aten.embedding.default: [(lambda x: F.embedding(x.argmax(-1), weight(10, 3)), X)],
    aten.upsample_nearest2d.default: [(lambda x: F.interpolate(x, scale_factor=(2.0, 3.0)), X)],
    aten.upsample_nearest2d_backward.default: [
        (gradient(lambda x: F.interpolate(x, scale_factor=(2.0, 3.0)).exp()), X)
    ],
    aten.mm.default: [
        (lambda x, y: x @ y, (3, 5), (5, 4)),
        (lambda x: F.linear(x, weight(4, 5)), (3, 5)),
        (lambda x: x @ weight(5, 4), (3, 5)),
    ],
    aten.bmm.default: [(torch.bmm, (2, 3, 5), (2, 5, 4))],
    aten.addmm.default: [
        (lambda x: F.linear(x, weight(4, 5), weight(4, seed=5)), (3, 5)),
        (lambda x, y: torch.addmm(weight(4), x, y, beta=2, alpha=0.5), (3, 5), (5, 4)),
    ],
    aten.baddbmm.default: [
        (lambda x, y: torch.baddbmm(weight(2, 3, 4), x, y, beta=2, alpha=0.5), *PAIR),
        (lambda x, y: torch.baddbmm(weight(2, 3, 4), x, y, beta=0), *PAIR),
    ],
    aten.convolution.default: [
        (conv(3, padding=1), X),
        (conv(3, stride=2, padding=1, groups=2), X),
        (conv(3, dilation=2, bias=False), X),
        (conv(4, stride=2, padding=1, transposed=True), X),
    ],
    aten.convolution_backward.default: [
        (gradient(conv(3, padding=1)), X, (2, 4, 8, 10)),
        (gradient(conv(3)), X, (2, 4, 6, 8)),
        (gradient(conv(1, padding=1)), X, (2, 4, 10, 12)),
        (gradient(conv(3, dilation=2, padding=2)), X, (2, 4, 8, 10)),
        (gradient(conv(3, stride=2, padding=1)), X, (2, 4, 4, 5)),
        (gradient(conv(3, stride=2)), X, (2, 4, 3, 4)),
        (gradient(conv(3, padding=1, groups=2)), X, (2, 4, 8, 10)),
        (gradient(conv(4, stride=4)), X, (2, 4, 2, 2)),
        (gradient(conv(3, stride=3)), X, (2, 4, 2, 3)),
        (gradient(conv(4, stride=2, padding=1, transposed=True)), X, (2, 4, 16, 20)),
    ],
    aten.mean.dim: [(lambda x: x.mean((1, -1)), X), (lambda x: x.mean(2, keepdim=True), X)],
    aten.mean.default: [(torch.mean, X)],
    aten.sum.dim_IntList: [(lambda x: x.sum((1, -1)), X), (lambda x: x.sum(2, keepdim=True), X)],
    aten.sum.default: [(torch.sum, X)],
    aten.amax.default: [(lambda x: x.amax((1, -1)), X)],
    aten.argmax.default: [(lambda x: x.argmax(-1), X), (lambda x: x.argmax(1, keepdim=True), X)],
    aten.linalg_vector_norm.default: [
        (lambda x: torch.linalg.vector_norm(x, dim=-1), X),
        (gradient(lambda x: F.normalize(x, dim=1)), X, Y),
    ],
    aten.native_layer_norm.default: [
        (lambda x: F.layer_norm(x, (8, 10), weight(8, 10), weight(8, 10, seed=5), 1e-3), X),
        (lambda x: F.layer_norm(x, (10,)), X),
    ],
    aten.native_layer_norm_backward.default: [
        (gradient(lambda x: F.layer_norm(x, (8, 10), weight(8, 10), weight(8, 10))), X, Y),
        (gradient(lambda x: F.layer_norm(x, (10,))), X, Y),
    ],
    aten.native_group_norm.default: [
        (lambda x: F.group_norm(x, 3, weight(6), weight(6, seed=5), 1e-3), X),
        (lambda x: F.group_norm(x, 2), X),
    ],
    aten.native_group_norm_backward.default: [
        (gradient(lambda x: F.group_norm(x, 3, weight(6), weight(6, seed=5))), X, Y),
        (gradient(lambda x: F.group_norm(x, 2)), X, Y),
    ],
    aten._softmax.default: [(lambda x: x.softmax(1), X)],
    aten._softmax_backward_data.default: [(gradient(lambda x: x.softmax(1)), X, Y)],
    aten._scaled_dot_product_flash_attention_for_cpu.default: [
        (scaled(None), Q, K, K),
        (scaled(0.3), Q, K, K),
        (masked_attention, Q, K, K),
    ],
    aten._scaled_dot_product_flash_attention_for_cpu_backward.default: [
        (attention_gradients, Q, K, K, Q)
    ],
}  # fmt: skip
"""aten operation → (function, shapes of its inputs)."""
