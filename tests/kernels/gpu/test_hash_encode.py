"""The hash grid in Triton against its definition."""

import pytest
import torch

from xbind.kernels import hash_encode

RESOLUTIONS = (5, 9)
"""With 256 entries the first level is dense (6³ = 216 vertices), the second one hashed."""


def both(x, table, bar, device, resolutions=RESOLUTIONS):
    """Value and gradients of the definition and of Triton, on the CPU."""
    results = []
    for impl, where in (("reference", "cpu"), ("triton", device)):
        inputs = [v.detach().to(where).requires_grad_() for v in (x, table)]
        encoded = hash_encode(*inputs, resolutions, impl=impl)
        bars = torch.autograd.grad(encoded, inputs, bar.to(where))
        results.append([v.detach().cpu() for v in (encoded, *bars)])
    return results


@pytest.mark.parametrize(("n", "features"), [(1, 2), (201, 2), (7, 3), (130, 1), (0, 2)])
def test_agrees_with_the_definition(n, features, device, rng):
    x = (1.2 * torch.rand(3, n, generator=rng) - 0.1).T  # some outside; not contiguous
    table = torch.randn(2, features, 256, generator=rng).mT
    bar = torch.randn(2 * features, n, generator=rng).T
    want, got = both(x, table, bar, device)
    # sums of eight float32 products near 1; of up to n of them in an entry
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


def test_corners_and_faces_of_the_cube(device, rng):
    steps = torch.tensor([0.0, 1 / 5, 1 / 3, 1.0])  # also vertices of both levels
    x = torch.cartesian_prod(steps, steps, steps)
    bar = torch.randn(64, 4, generator=rng)
    want, got = both(x, torch.randn(2, 256, 2, generator=rng), bar, device)
    torch.testing.assert_close(got[0], want[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(got[2], want[2], rtol=1e-5, atol=1e-5)


def test_large_tables_are_addressed_like_the_definition(device, rng):
    """A vertex number whose products pass 2³², and a level that is dense by one vertex."""
    x = torch.rand(40, 3, generator=rng)
    table = torch.randn(2, 2**15, 2, generator=rng)
    want, got = both(x, table, torch.randn(40, 4, generator=rng), device, (31, 60_000))
    # at this resolution the place inside a cell is known to 60 000 · 2⁻²⁴ of its size
    torch.testing.assert_close(got[0], want[0], rtol=0, atol=2e-2)
    torch.testing.assert_close(got[2][0], want[2][0], rtol=1e-5, atol=1e-5)
    assert torch.equal(got[2][1] != 0, want[2][1] != 0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_coordinates_that_are_not_finite(value, device, rng):
    x = torch.rand(4, 3, generator=rng)
    x[1, 1] = value
    want, got = both(x, torch.randn(2, 256, 2, generator=rng), torch.ones(4, 4), device)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5, equal_nan=True)
    assert got[0][1].isnan().all() == (value != value)
    assert got[0][[0, 2, 3]].isfinite().all()
    assert got[1][1, 1] == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_table_in_half_precision(dtype, device, rng):
    x = torch.rand(50, 3, generator=rng)
    table = torch.randn(2, 256, 2, generator=rng).to(dtype)
    bar = torch.randn(50, 4, generator=rng)
    want, _ = both(x, table.float(), bar, device)
    inputs = [v.to(device).requires_grad_() for v in (x, table)]
    encoded = hash_encode(*inputs, RESOLUTIONS, impl="triton")
    x_bar, table_bar = torch.autograd.grad(encoded, inputs, bar.to(device))
    assert encoded.dtype == x_bar.dtype == torch.float32
    assert table_bar.dtype == dtype
    torch.testing.assert_close([encoded.cpu(), x_bar.cpu()], want[:2], rtol=1e-5, atol=1e-5)
    step = torch.finfo(dtype).eps  # the interpreter cuts bfloat16 off where a GPU rounds
    torch.testing.assert_close(table_bar.float().cpu(), want[2], rtol=step, atol=1e-5)


def test_only_the_gradient_that_is_wanted(device, rng):
    x, table = torch.rand(9, 3, generator=rng), torch.randn(2, 256, 2, generator=rng)
    x, table = x.to(device), table.to(device).requires_grad_()
    encoded = hash_encode(x, table, RESOLUTIONS, impl="triton")
    encoded.sum().backward()
    # every point's eight weights add up to 1
    torch.testing.assert_close(table.grad.sum((0, 1)).cpu(), torch.full((2,), 18.0))
