"""`group_norm` in Triton against its definition, value and gradient."""

import copy

import pytest
import torch
from diffusers import AutoencoderKL

from xbind.kernels import group_norm
from xbind.kernels.group_norm import gpu
from xbind.models import channels_last as layout

SHAPES = [
    ((2, 8, 5, 7), 4),  # widths of a power of two
    ((1, 30, 9, 4), 3),  # a width of 10, padded to 16
    ((2, 12, 3, 3), 1),  # one group
    ((1, 7, 4, 5), 7),  # one channel per group
    ((1, 160, 17, 19), 32),  # several spans and several parts of the pixels, the last ones short
    ((1, 6, 40), 2),  # one pixel axis, as in attention
    ((1, 4, 1, 1), 2),
]


def inputs(shape, device, rng, dtype=torch.float32):
    x = torch.randn(shape, generator=rng) * 2 + 0.5
    weight, bias = torch.randn(2, shape[1], generator=rng)
    bar = torch.randn(shape, generator=rng)
    return [t.to(dtype).to(device) for t in (x, weight, bias, bar)]


def both(x, weight, bias, bar, **options):
    """Value and gradient of the definition in float64 and of Triton."""
    results = []
    for impl, dtype in (("reference", torch.float64), ("triton", x.dtype)):
        leaf = x.to(dtype).requires_grad_()
        y = group_norm(leaf, weight.to(dtype), bias.to(dtype), impl=impl, **options)
        results.append([y.detach(), *torch.autograd.grad(y, leaf, bar.to(dtype))])
    return results


@pytest.mark.parametrize("silu", [False, True])
@pytest.mark.parametrize(("shape", "groups"), SHAPES)
def test_value_and_gradient(shape, groups, silu, device, rng):
    want, got = both(*inputs(shape, device, rng), groups=groups, eps=1e-5, silu=silu)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("tiles", [1, 3, 1000])
def test_tiles_and_parts_are_merged(tiles, device, rng, monkeypatch):
    """7 tiles of 16 pixels, the last one short: as parts of their own, in 3 parts, in one."""
    monkeypatch.setattr(gpu, "TILE", 256)
    monkeypatch.setattr(gpu, "TILES", tiles)
    monkeypatch.setattr(gpu, "PROGRAMS", 1)
    monkeypatch.setattr(gpu, "PARTS", 2)
    want, got = both(*inputs((2, 16, 9, 11), device, rng), groups=4, eps=1e-5, silu=True)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=2e-5)


def test_a_large_mean_does_not_cancel(device, rng):
    """E[x²] − E[x]² in float32 has an error of 1 here, where the variance is 1e-2."""
    x, weight, bias, bar = inputs((1, 8, 30, 31), device, rng)
    x = 4000 + 0.1 * x
    want, got = both(x, weight, bias, bar, groups=2, eps=1e-6, silu=False)
    torch.testing.assert_close(got[0].double(), want[0], rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_storage(dtype, device, rng):
    given = inputs((2, 12, 6, 5), device, rng, dtype)
    want, got = both(*given, groups=3, eps=1e-5, silu=True)
    step = 2 * torch.finfo(dtype).eps  # the interpreter cuts bfloat16 off where a GPU rounds
    for a, b in zip(got, want, strict=True):
        assert a.dtype == dtype
        torch.testing.assert_close(a.double(), b, rtol=step, atol=step)


@pytest.mark.parametrize("layout", ["first", "last", "strided"])
def test_any_layout_in_and_channels_last_out(layout, device, rng):
    x, weight, bias, bar = inputs((2, 6, 4, 5), device, rng)
    if layout == "last":
        x, bar = (t.to(memory_format=torch.channels_last) for t in (x, bar))
    elif layout == "strided":
        x = torch.stack([x, x], -1)[..., 0]
        bar = bar[:1].expand(2, -1, -1, -1)
    want, got = both(x, weight, bias, bar, groups=2, eps=1e-5, silu=True)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=2e-5)
        assert a.is_contiguous(memory_format=torch.channels_last)


def test_repeats_to_the_last_bit(device, rng):
    given = inputs((1, 16, 20, 20), device, rng)
    first, second = (both(*given, groups=4, eps=1e-5, silu=True)[1] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("junk", [torch.nan, torch.inf])
def test_what_is_not_a_number_stays_in_its_group(junk, device, rng):
    x, weight, bias, bar = inputs((2, 6, 3, 4), device, rng)
    x[0, 3, 1, 2] = junk
    (y, x_bar) = both(x, weight, bias, bar, groups=3, eps=1e-5, silu=True)[1]
    for found in (y, x_bar):
        assert found[0, 2:4].isnan().all()
        found[0, 2:4] = 0
        assert found.isfinite().all()


def test_far_from_zero_silu_is_0_or_the_identity(device):
    x = torch.tensor([-1.0, 1.0], device=device).repeat(8).view(1, 2, 8)
    weight, bias = torch.full((2,), 500.0, device=device), torch.zeros(2, device=device)
    x.requires_grad_()
    y = group_norm(x, weight, bias, groups=1, eps=1e-5, silu=True, impl="triton")
    (x_bar,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(y, 500 * x.clamp_min(0), rtol=1e-4, atol=1e-4)
    assert x_bar.isfinite().all()


def test_nothing_in_nothing_out(device):
    weight = torch.ones(4, device=device)
    for shape in ((0, 4, 3, 3), (2, 4, 0, 3)):
        x = torch.ones(shape, device=device, requires_grad=True)
        y = group_norm(x, weight, weight, groups=2, eps=1e-5, silu=True, impl="triton")
        assert y.shape == shape
        (x_bar,) = torch.autograd.grad(y.sum(), x)
        assert x_bar.shape == shape


def test_a_second_derivative_is_refused(device, rng):
    x, weight, bias, bar = inputs((1, 4, 3, 3), device, rng)
    x.requires_grad_()
    y = group_norm(x, weight, bias, groups=2, eps=1e-5, silu=True, impl="triton")
    (x_bar,) = torch.autograd.grad(y, x, bar.requires_grad_(), create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        x_bar.sum().backward()


def test_an_autoencoder_with_fused_norms(device, rng, monkeypatch):
    """Its latent and the gradient in its image, in float32 as torch computes them."""
    monkeypatch.setattr(layout, "_has_fused", lambda x: True)
    torch.manual_seed(0)
    plain = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, latent_channels=2)
    plain = plain.eval().requires_grad_(False).to(device)
    fused = layout.channels_last(copy.deepcopy(plain))
    image, bar = torch.rand(1, 3, 6, 7, generator=rng), torch.randn(1, 2, 6, 7, generator=rng)
    results = []
    with torch.backends.cudnn.flags(allow_tf32=False):
        for net in (plain, fused):
            leaf = image.to(device).requires_grad_()
            z = net.encode(leaf).latent_dist.mode()
            results.append((z, *torch.autograd.grad(z, leaf, bar.to(device))))
    assert results[0][1].abs().max() > 0.01
    torch.testing.assert_close(results[1], results[0], rtol=1e-3, atol=1e-4)
