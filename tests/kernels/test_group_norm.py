"""`group_norm`: the definition against sums in Python, and what is refused."""

import math

import pytest
import torch
from torch.nn import functional

from xbind.kernels import group_norm
from xbind.kernels.common import choice
from xbind.kernels.errors import KernelError


def by_hand(x, weight, bias, groups, eps, silu):
    """One number at a time, with exact sums."""
    y = torch.empty_like(x)
    width = x.shape[1] // groups
    for sample, found in zip(x, y, strict=True):
        for g in range(groups):
            members = sample[g * width : (g + 1) * width].flatten().tolist()
            mean = math.fsum(members) / len(members)
            variance = math.fsum((v - mean) ** 2 for v in members) / len(members)
            for c in range(g * width, (g + 1) * width):
                flat = found[c].view(-1)
                for k, v in enumerate(sample[c].flatten().tolist()):
                    z = (v - mean) / math.sqrt(variance + eps) * weight[c].item() + bias[c].item()
                    flat[k] = z / (1 + math.exp(-z)) if silu else z
    return y


@pytest.mark.parametrize("silu", [False, True])
@pytest.mark.parametrize(
    ("shape", "groups"), [((2, 6, 3, 5), 3), ((1, 4, 7), 1), ((3, 5, 1, 2), 5)]
)
def test_computes_its_formula(shape, groups, silu, rng):
    x = torch.randn(shape, generator=rng, dtype=torch.float64) * 3 + 1
    weight, bias = torch.randn(2, shape[1], generator=rng, dtype=torch.float64)
    y = group_norm(x, weight, bias, groups=groups, eps=1e-2, silu=silu)
    torch.testing.assert_close(y, by_hand(x, weight, bias, groups, 1e-2, silu))


def test_gradient_matches_finite_differences(rng):
    x = torch.randn(2, 6, 2, 3, generator=rng, dtype=torch.float64, requires_grad=True)
    weight, bias = torch.randn(2, 6, generator=rng, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: group_norm(x, weight, bias, groups=2, eps=1e-3, silu=True), x
    )


def test_half_is_computed_in_float32(rng):
    x = torch.randn(1, 4, 16, 16, generator=rng).half() + 30  # 30² · 256 is beyond float16
    weight, bias = torch.ones(4).half(), torch.zeros(4).half()
    y = group_norm(x, weight, bias, groups=2, eps=1e-5, silu=False)
    assert y.dtype == torch.float16
    want = functional.group_norm(x.float(), 2)
    torch.testing.assert_close(y.float(), want, rtol=1e-3, atol=1e-3)


def test_auto_is_the_reference_on_a_cpu(caplog):
    choice.say.cache_clear()
    with caplog.at_level("INFO", logger="xbind.kernels"):
        group_norm(torch.ones(1, 2, 3), torch.ones(2), torch.ones(2), groups=1, eps=1e-5, silu=True)
    assert caplog.messages == ["group_norm runs as reference on cpu"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.ones(2, 6)}, r"x as \[n, c, …\] with a pixel axis, found \[2, 6\]"),
        ({"groups": 4}, "a number of groups that divides the 6 channels, found 4"),
        ({"groups": 0}, "a number of groups that divides the 6 channels, found 0"),
        ({"bias": torch.ones(3)}, r"weight and bias as \[6\], found \[6\], \[3\]"),
        ({"weight": torch.ones(6, requires_grad=True)}, "a frozen weight and bias"),
        ({"impl": "triton"}, "float16 or bfloat16 on CUDA"),
    ],
)
def test_refuses_what_it_cannot_do(change, message, monkeypatch):
    if "impl" in change:
        pytest.importorskip("triton")
        from xbind.kernels.common import gpu

        monkeypatch.setattr(gpu, "is_interpreted", lambda: False)
    given = {
        "x": torch.ones(2, 6, 4, 4), "weight": torch.ones(6), "bias": torch.ones(6),
        "groups": 3, "eps": 1e-5, "silu": True,
    } | change  # fmt: skip
    x, weight, bias = (given.pop(name) for name in ("x", "weight", "bias"))
    with pytest.raises(KernelError, match=message):
        group_norm(x, weight, bias, **given)
