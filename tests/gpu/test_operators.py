"""Every Triton kernel on a real device against its definition: values, and gradients.

`tests/kernels/gpu`, which `make verify-gpu` runs too, has small and degenerate inputs; here are the
sizes of a run.
"""

import pytest
import torch
from torch.nn import functional

from xbind.bench.kernel_cases import CASES, bumpy_ball
from xbind.kernels import group_norm, rasterize

CUDA = torch.device("cuda")
SMALL = {"rasterize": 300, "antialias": 300, "interpolate": 300}
"""Triangles; their definitions look at every one for every pixel."""


@pytest.mark.parametrize("name", CASES)
def test_triton_computes_its_definition(name):
    make, quoted, _ = CASES[name]
    case = make(SMALL.get(name, max(quoted // 16, 1)), CUDA)
    for got, want in zip(case.both("triton"), case.both("reference"), strict=True):
        assert got.device.type == "cuda"
        scale = want.abs().max().clamp_min(1e-6)
        # a few places may differ, where a decision hangs on the last bit
        assert ((got - want).abs() > case.tolerance * scale).float().mean() < 1e-3


@pytest.mark.parametrize(("triangles", "side"), [(600_000, 512), (20_000, 512), (200, 1024)])
def test_the_nearest_face_is_the_cpus_at_every_pixel(triangles, side):
    clip, faces = bumpy_ball(triangles, torch.device("cpu"))
    clip = torch.cat([clip.detach(), clip.detach()[:, :, [1, 0, 2, 3]]])
    want = rasterize(clip, faces, (side, side), impl="numba")
    for _ in range(3):  # atomic minima: no order of the triangles may show
        got = rasterize(clip.to(CUDA), faces.to(CUDA), (side, side), impl="triton").cpu()
        assert torch.equal(got[..., 3], want[..., 3])
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 128, 512, 512), (2, 512, 64, 64), (2, 320, 64, 64)])
def test_group_norm_in_float16_at_the_size_of_public_networks(shape):
    rng = torch.Generator(CUDA).manual_seed(0)
    x, bar = (torch.randn(shape, generator=rng, device=CUDA) * 3 + 1 for _ in range(2))
    weight, bias = torch.randn(2, shape[1], generator=rng, device=CUDA).half()
    x, bar = (t.half().to(memory_format=torch.channels_last) for t in (x, bar))
    results = []
    for dtype in (torch.float32, torch.float16):
        leaf = x.to(dtype).requires_grad_()
        w, b = weight.to(dtype), bias.to(dtype)
        if dtype == torch.float32:
            y = functional.silu(functional.group_norm(leaf, 32, w, b, 1e-6))
        else:
            y = group_norm(leaf, w, b, groups=32, eps=1e-6, silu=True, impl="triton")
        results.append((y, *torch.autograd.grad(y, leaf, bar.to(dtype))))
    for got, want in zip(results[1], results[0], strict=True):
        assert got.dtype == torch.float16
        assert got.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(got.float(), want, rtol=4e-3, atol=4e-3)
