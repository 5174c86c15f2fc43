"""The hash grid against a scalar float64 loop, and against fields it must reproduce exactly."""

from inspect import unwrap

import pytest
import torch
import volume_oracles

from xbind.kernels import hash_encode
from xbind.kernels.errors import KernelError

RESOLUTIONS = (5, 9)
"""With 256 entries the first level is dense (6³ = 216 vertices), the second one hashed."""

impls = pytest.mark.parametrize("impl", ["reference", "numba"])


def grid(rng, n, features=2):
    x = torch.rand(n, 3, generator=rng)
    table = torch.randn(2, 256, features, generator=rng)
    return x.requires_grad_(), table.requires_grad_()


def oracle(x, table):
    return torch.from_numpy(volume_oracles.hash_grid(x.numpy(), table.numpy(), RESOLUTIONS))


@impls
@pytest.mark.parametrize(("n", "features"), [(1, 2), (301, 2), (7, 3)])
def test_forward_and_table_gradient(impl, n, features, rng):
    x, table = grid(rng, n, features)
    encoded = hash_encode(x.detach(), table, RESOLUTIONS, impl=impl)
    bar = torch.randn(encoded.shape, generator=rng)
    (table_bar,) = torch.autograd.grad(encoded, table, bar)

    x64, table64 = x.detach().double(), table.detach().double()
    # a sum of eight float32 products near 1
    torch.testing.assert_close(encoded.double(), oracle(x64, table64), rtol=0, atol=2e-6)
    # the encoding is linear in the table, so its slope along any v is its value at v
    for _ in range(3):
        v = torch.randn(table.shape, generator=rng).double()
        want = (oracle(x64, v) * bar).sum()
        torch.testing.assert_close((table_bar * v).sum(), want, rtol=1e-4, atol=1e-4)


@impls
def test_position_gradient_matches_finite_differences(impl, rng):
    x, table = grid(rng, 33)
    encoded = hash_encode(x, table, RESOLUTIONS, impl=impl)
    bar = torch.randn(encoded.shape, generator=rng)
    x_bar, table_bar = torch.autograd.grad(encoded, (x, table), bar)

    x64, table64 = x.detach().double(), table.detach().double()
    for axis in range(3):
        h = torch.zeros(3).double()
        h[axis] = 1e-6
        slope = (oracle(x64 + h, table64) - oracle(x64 - h, table64)) / 2e-6
        want = (slope * bar).sum(-1).float()
        torch.testing.assert_close(x_bar[:, axis], want, rtol=1e-4, atol=1e-4)
    assert table_bar.any()


@impls
def test_reproduces_a_linear_field(impl, rng):
    # trilinear interpolation of a + b·x is a + b·x; dense level, so the vertices are known
    r, slope = 5, torch.tensor([2.0, -3.0, 0.5])
    index = torch.arange(256)
    vertex = torch.stack([index % 6, index // 6 % 6, index // 36], -1) / r
    table = (vertex @ slope + 1.0)[None, :, None]
    x = torch.cat([torch.rand(50, 3, generator=rng), torch.eye(3), torch.ones(1, 3)])
    got = hash_encode(x, table.repeat(1, 1, 2).contiguous(), (r,), impl=impl)
    torch.testing.assert_close(got[:, 0], x @ slope + 1.0, rtol=0, atol=2e-6)


@impls
def test_outside_is_clamped_and_has_no_slope(impl, rng):
    _, table = grid(rng, 0)
    x = torch.tensor([[-0.3, 0.4, 0.6], [0.2, 1.7, 0.6], [0.1, 0.2, 9.0]], requires_grad=True)
    encoded = hash_encode(x, table, RESOLUTIONS, impl=impl)
    torch.testing.assert_close(encoded, hash_encode(x.clamp(0, 1), table, RESOLUTIONS, impl=impl))
    (x_bar,) = torch.autograd.grad(encoded.sum(), x)
    assert torch.equal(x_bar == 0, torch.eye(3).bool())


@impls
def test_strided_inputs_and_cotangents(impl, rng):
    x, table = (v.detach() for v in grid(rng, 20))
    strided = x.T.contiguous().T.requires_grad_()
    wide = table.repeat(1, 1, 2)[..., :2].requires_grad_()
    assert not strided.is_contiguous()
    assert not wide.is_contiguous()
    got = hash_encode(strided, wide, RESOLUTIONS, impl=impl)
    bars = torch.autograd.grad(got, (strided, wide), torch.ones(1, 1).expand_as(got))

    x, table = x.requires_grad_(), table.requires_grad_()
    want = hash_encode(x, table, RESOLUTIONS, impl="reference")
    want_bars = torch.autograd.grad(want.sum(), (x, table))
    torch.testing.assert_close((got, *bars), (want, *want_bars), rtol=1e-4, atol=1e-4)


@impls
def test_no_points(impl, rng):
    x, table = grid(rng, 0)
    encoded = hash_encode(x, table, RESOLUTIONS, impl=impl)
    x_bar, table_bar = torch.autograd.grad(encoded.sum(), (x, table))
    assert encoded.shape == (0, 4)
    assert x_bar.shape == (0, 3)
    assert not table_bar.any()


@impls
@pytest.mark.parametrize("place", [1e-45, 1e-39, 1e-30])
def test_the_slope_is_the_cell_s_however_near_its_face(impl, place, rng):
    x, table = grid(rng, 1)
    nearby = x.detach().clone()
    x.data[0, 0], nearby[0, 0] = place, 1e-6
    found, wanted = (
        torch.autograd.grad(hash_encode(at, table, RESOLUTIONS, impl=impl).sum(), at)[0]
        for at in (x, nearby.requires_grad_())
    )
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


@impls
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 3e38])
def test_a_coordinate_that_is_not_finite(impl, value, rng):
    x, table = (v.detach() for v in grid(rng, 4))
    x[1, 1] = value
    x.requires_grad_()
    table.requires_grad_()
    encoded = hash_encode(x, table, RESOLUTIONS, impl=impl)
    x_bar, table_bar = torch.autograd.grad(encoded.sum(), (x, table))
    assert encoded[1].isnan().all() == (value != value)
    assert encoded[[0, 2, 3]].isfinite().all()
    assert x_bar[1, 1] == 0
    assert x_bar[[0, 2, 3]].isfinite().all()
    touched = table_bar[0].isnan().any(-1).nonzero()[:, 0]
    # cell 0 along y: entries of the dense level whose vertex has y = 0 or 1
    assert len(touched) == (8 if value != value else 0)
    assert (touched // 6 % 6 <= 1).all()


def test_second_derivative_is_refused(rng):
    x, table = grid(rng, 3)
    encoded = hash_encode(x, table, RESOLUTIONS, impl="numba")
    (x_bar,) = torch.autograd.grad(encoded.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        x_bar.sum().backward()


@pytest.mark.parametrize(
    ("shape", "resolutions", "message"),
    [
        ((2, 256, 2), (5,), "one resolution .* for each of the 2 levels, found"),
        ((2, 256, 2), (5, 0), "of 1 to"),
        ((2, 200, 2), (5, 9), "a power of two of entries per level, found 200"),
        ((512, 2), (5, 9), "table as"),
    ],
)
def test_refuses_what_does_not_fit(shape, resolutions, message):
    with pytest.raises(KernelError, match=message):
        # below a run-time type checker, if there is one
        unwrap(hash_encode)(torch.zeros(1, 3), torch.zeros(shape), resolutions)


def test_numba_refuses_other_types_than_float32():
    x, table = torch.zeros(1, 3).double(), torch.zeros(2, 256, 2).double()
    with pytest.raises(KernelError, match="impl='reference'"):
        hash_encode(x, table, RESOLUTIONS)
