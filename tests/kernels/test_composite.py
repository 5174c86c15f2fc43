"""Compositing and Eq. 6 against closed forms of a slab and against scalar float64 blending."""

import math

import numpy as np
import pytest
import torch
import volume_oracles

from xbind.kernels import RaySamples, composite

FIELDS = ("colour", "opacity", "depth", "z_variance", "weights")

impls = pytest.mark.parametrize("impl", ["reference", "numba"])


def packed(rng, counts):
    """Rays with the given numbers of samples; `density` in [0, 2.5), steps of different length."""
    counts = torch.tensor(counts, dtype=torch.int64)
    ray = torch.arange(len(counts)).repeat_interleave(counts)
    n = len(ray)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    dt = 0.2 + 0.5 * torch.rand(n, generator=rng)
    reach = dt.cumsum(0)
    samples = RaySamples(offsets, 1.5 + reach - dt / 2, dt, ray, torch.zeros(n, 3))
    density = 2.5 * torch.rand(n, generator=rng) ** 3
    return density.requires_grad_(), torch.rand(n, 3, generator=rng).requires_grad_(), samples


def outputs(seen):
    return [getattr(seen, name) for name in FIELDS]


def oracle(density, colour, samples):
    row = (samples.t.double().numpy(), samples.dt.double().numpy(), samples.offsets.tolist())
    return volume_oracles.composite(density, colour, *row)


def slab(thickness, density, n):
    dt = thickness / n
    t = 2.0 + (torch.arange(n) + 0.5) * dt
    offsets = torch.tensor([0, n])
    ray = torch.zeros(n, dtype=torch.int64)
    samples = RaySamples(offsets, t, torch.full((n,), dt), ray, torch.zeros(n, 3))
    return torch.full((n,), density), torch.full((n, 3), 0.25), samples


@impls
@pytest.mark.parametrize("density", [1e-3, 2.0, 40.0])
def test_uniform_slab(impl, density):
    # depths behind the face follow an exponential law cut off at the thickness ℓ
    length, n = 0.8, 1600
    seen = composite(*slab(length, density, n), impl=impl)
    left = math.exp(-density * length)
    mean = 1 / density - length * left / (1 - left)
    variance = 1 / density**2 - length**2 * left / (1 - left) ** 2
    assert seen.opacity.item() == pytest.approx(1 - left, rel=1e-4)
    assert seen.depth.item() == pytest.approx((2.0 + mean) * (1 - left), rel=1e-4)
    assert seen.z_variance.item() == pytest.approx(variance, rel=2e-3)
    assert seen.colour[0].tolist() == pytest.approx([0.25 * (1 - left)] * 3, rel=1e-4)


@impls
@pytest.mark.parametrize("counts", [[1], [5, 0, 33, 1, 0], [17] * 6])
def test_forward_matches_scalar_blending(impl, counts, rng):
    density, colour, samples = packed(rng, counts)
    seen = composite(density, colour, samples, impl=impl)
    want = oracle(density.detach().double().numpy(), colour.detach().double().numpy(), samples)
    for name, got in zip(FIELDS, outputs(seen), strict=True):
        # float32 sums of a few dozen terms below 4
        torch.testing.assert_close(got.double(), torch.from_numpy(want[name]), rtol=1e-5, atol=3e-6)


@impls
def test_gradient_matches_finite_differences_of_every_output(impl, rng):
    density, colour, samples = packed(rng, [5, 0, 23, 1])
    seen = outputs(composite(density, colour, samples, impl=impl))
    bars = [torch.randn(out.shape, generator=rng) for out in seen]
    density_bar, colour_bar = torch.autograd.grad(seen, (density, colour), bars)

    density64, colour64 = (x.detach().double().numpy() for x in (density, colour))

    def scalar(density, colour):
        want = oracle(density, colour, samples)
        return sum((want[k] * bar.numpy()).sum() for k, bar in zip(FIELDS, bars, strict=True))

    for x, bar, both in (
        (density64, density_bar, lambda h: (density64 + h, colour64)),
        (colour64, colour_bar, lambda h: (density64, colour64 + h)),
    ):
        for i in np.ndindex(x.shape):
            h = np.zeros_like(x)
            h[i] = 1e-5
            slope = (scalar(*both(h)) - scalar(*both(-h))) / 2e-5
            assert bar[i].item() == pytest.approx(slope, rel=1e-3, abs=2e-5)


@impls
def test_one_output_at_a_time(impl, rng):
    # what autograd leaves out must count as zero
    density, colour, samples = packed(rng, [9, 4])
    seen = outputs(composite(density, colour, samples, impl=impl))
    together = torch.autograd.grad([x.sum() for x in seen], (density, colour), retain_graph=True)
    parts = [
        torch.autograd.grad(x.sum(), (density, colour), retain_graph=True, materialize_grads=True)
        for x in seen
    ]
    for whole, part in zip(together, zip(*parts, strict=True), strict=True):
        torch.testing.assert_close(whole, sum(part), rtol=1e-4, atol=1e-5)


@impls
@pytest.mark.parametrize("counts", [[], [0, 0]])
def test_no_samples(impl, counts, rng):
    density, colour, samples = packed(rng, counts)
    seen = composite(density, colour, samples, impl=impl)
    assert seen.colour.shape == (len(counts), 3)
    assert all(not x.any() for x in outputs(seen))


@impls
@pytest.mark.parametrize("value", [0.0, 1e8, math.inf])
def test_nothing_and_a_wall_have_finite_gradients(impl, value, rng):
    _, colour, samples = packed(rng, [4, 3])
    density = torch.full((7,), value, requires_grad=True)
    seen = composite(density, colour, samples, impl=impl)
    assert not seen.z_variance.any()
    assert torch.equal(seen.opacity, torch.full((2,), float(value > 0)))
    bars = torch.autograd.grad([x.sum() for x in outputs(seen)], (density, colour))
    assert all(bar.isfinite().all() for bar in bars)


@impls
def test_strided_inputs(impl, rng):
    density, colour, samples = packed(rng, [8, 5])
    strided = torch.stack([density, density], -1)[:, 0], colour.detach().T.contiguous().T
    assert not any(x.is_contiguous() for x in strided)
    got = composite(*strided, samples, impl=impl)
    want = composite(density, colour, samples, impl="reference")
    torch.testing.assert_close(outputs(got), outputs(want), rtol=1e-5, atol=1e-6)


@impls
def test_a_density_that_is_not_a_number_stays_on_its_ray(impl, rng):
    density, colour, samples = packed(rng, [5, 6, 4])
    clean = composite(density, colour, samples, impl=impl)
    broken = density.detach().clone()
    broken[8] = torch.nan
    broken.requires_grad_()
    seen = composite(broken, colour, samples, impl=impl)
    for name in ("colour", "opacity", "depth"):
        got, want = getattr(seen, name), getattr(clean, name)
        assert got[1].isnan().all()
        assert torch.equal(got[[0, 2]], want[[0, 2]])
    assert seen.z_variance[1] == 0
    assert torch.equal(seen.weights[:8], clean.weights[:8])
    assert seen.weights[8:11].isnan().all()
    bars = torch.autograd.grad([x.sum() for x in outputs(seen)], (broken, colour))
    for bar in bars:
        assert bar[[0, 1, 2, 3, 4, 11, 12, 13, 14]].isfinite().all()
        assert bar[8:11].isnan().any()
