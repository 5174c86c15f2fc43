"""Counting against closed forms, and against torch's own counter where that has one."""

import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from xbind.bench.ops import OpCounter


def test_a_product_and_its_gradient():
    a = torch.ones(3, 5, requires_grad=True)
    b = torch.ones(5, 7)
    with OpCounter() as counter:
        torch.autograd.grad((a @ b).sum(), a)
    assert counter.flops == 2 * (2 * 3 * 5 * 7)  # the product, and the gradient of one side


def test_traffic_counts_every_array_once_and_views_not_at_all():
    a, b = torch.ones(3, 5), torch.ones(5, 7)
    with OpCounter() as counter:
        (a @ b).view(21).reshape(7, 3).t()
    (op,) = counter.ops
    assert op.name == "aten.mm"
    assert op.bytes == 4 * (15 + 35 + 21)


def test_agrees_with_torch_on_convolutions(rng):
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, stride=2), nn.SiLU(), nn.Conv2d(8, 4, 1))
    x = torch.randn(2, 3, 16, 16, generator=rng)
    with OpCounter() as ours:
        net(x).sum().backward()
    with FlopCounterMode(display=False) as theirs:
        net(x).sum().backward()
    assert ours.flops == theirs.get_total_flops() > 0


def test_attention_counts_its_products():
    q = torch.rand(2, 3, 16, 8, requires_grad=True)
    k, v = torch.rand(2, 3, 20, 8), torch.rand(2, 3, 20, 8)
    product = 2 * 2 * 3 * 16 * 20 * 8
    with OpCounter() as counter:
        out = functional.scaled_dot_product_attention(q, k, v)
    assert counter.flops == 2 * product  # q kᵀ, and the weights times v
    with OpCounter() as counter:
        torch.autograd.grad(out.sum(), q)
    assert counter.flops == 5 * product
