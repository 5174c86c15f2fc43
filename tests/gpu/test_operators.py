"""Every Triton kernel on a real device against its definition: values, and gradients."""

import pytest
import torch

from xbind.bench.kernel_cases import CASES

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
