"""Compositing and Eq. 6 in Triton against their definition."""

from dataclasses import fields

import pytest
import torch

from xbind.kernels import Composited, RaySamples, composite

NAMES = tuple(field.name for field in fields(Composited))


def packed(rng, counts):
    """Rays with the given numbers of samples; steps of different length."""
    counts = torch.tensor(counts, dtype=torch.int64)
    ray = torch.arange(len(counts)).repeat_interleave(counts)
    n = len(ray)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    dt = 0.02 + 0.05 * torch.rand(n, generator=rng)
    samples = RaySamples(offsets, 1.5 + dt.cumsum(0) - dt / 2, dt, ray, torch.zeros(n, 3))
    density = 25 * torch.rand(n, generator=rng) ** 3
    return density, torch.rand(3, n, generator=rng).T, samples


def run(density, colour, samples, bars, impl, device):
    """Outputs, and the gradients of those that have a cotangent, on the CPU."""
    parts = (getattr(samples, field.name).to(device) for field in fields(RaySamples))
    inputs = [x.detach().to(device).requires_grad_() for x in (density, colour)]
    seen = composite(*inputs, RaySamples(*parts), impl=impl)
    outputs = [getattr(seen, name) for name in bars]
    grads = torch.autograd.grad(outputs, inputs, [bar.to(device) for bar in bars.values()])
    return [getattr(seen, name).detach().cpu() for name in NAMES], [g.cpu() for g in grads]


def cotangents(rng, samples, names=NAMES):
    rays, n = len(samples.offsets) - 1, len(samples.t)
    shapes = {"colour": (rays, 3), "weights": (n,)}
    return {name: torch.randn(shapes.get(name, (rays,)), generator=rng) for name in names}


@pytest.mark.parametrize(
    "counts",
    [[1], [5, 0, 33, 1, 0], [64, 65, 63, 128, 200], [], [0, 0]],
    ids=["one", "ragged", "blocks", "no rays", "empty rays"],
)
def test_agrees_with_the_definition(counts, device, rng):
    density, colour, samples = packed(rng, counts)
    if max(counts, default=0) > 64:
        density /= 30  # or nothing would come through the first block of samples
    bars = cotangents(rng, samples)
    want = run(density, colour, samples, bars, "reference", "cpu")
    got = run(density, colour, samples, bars, "triton", device)
    torch.testing.assert_close(got, want, rtol=2e-5, atol=4e-6)


@pytest.mark.parametrize("name", NAMES)
def test_one_output_at_a_time(name, device, rng):
    density, colour, samples = packed(rng, [9, 70])
    bars = cotangents(rng, samples, (name,))
    if name != "colour":  # or autograd has nothing to say about the colour
        bars["colour"] = torch.zeros(2, 3)
    want = run(density, colour, samples, bars, "reference", "cpu")
    got = run(density, colour, samples, bars, "triton", device)
    torch.testing.assert_close(got, want, rtol=2e-5, atol=2e-6)


def test_a_thin_shell_far_away_keeps_its_variance(device):
    """σ_z² is 10⁻⁵ of t²; a difference of moments would lose it, across blocks too."""
    n, dt = 150, 1e-4
    t = 3.0 + (torch.arange(n) + 0.5) * dt
    samples = RaySamples(
        torch.tensor([0, n]), t, torch.full((n,), dt), torch.zeros(n, dtype=torch.int64),
        torch.zeros(n, 3),
    )  # fmt: skip
    density, colour = torch.full((n,), 80.0), torch.ones(n, 3)
    bars = {"z_variance": torch.ones(1), "colour": torch.zeros(1, 3)}
    (_, _, _, got, _), _ = run(density, colour, samples, bars, "triton", device)
    w = torch.exp(-80 * dt * torch.arange(n).double())
    t64 = 3 + (torch.arange(n).double() + 0.5) * dt
    mean = (w * t64).sum() / w.sum()
    want = (w * (t64 - mean) ** 2).sum() / w.sum()
    # t is known to 2⁻²³ · 3 of a spread of 4 · 10⁻³
    assert got.item() == pytest.approx(want.item(), rel=1e-3)


@pytest.mark.parametrize("value", [0.0, 1e-7, 1e8, float("inf")])
def test_nothing_and_a_wall(value, device, rng):
    density, colour, samples = packed(rng, [4, 70, 3])
    density = torch.full_like(density, value)
    bars = cotangents(rng, samples)
    want = run(density, colour, samples, bars, "reference", "cpu")
    got = run(density, colour, samples, bars, "triton", device)
    assert all(x.isfinite().all() for x in (*got[0], *got[1]))
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-8)


def test_a_density_that_is_not_a_number_stays_on_its_ray(device, rng):
    density, colour, samples = packed(rng, [5, 70, 6])
    clean = run(density, colour, samples, cotangents(rng, samples), "triton", device)
    density[20] = torch.nan
    bars = cotangents(rng.manual_seed(0), samples)
    want = run(density, colour, samples, bars, "reference", "cpu")
    got = run(density, colour, samples, bars, "triton", device)
    torch.testing.assert_close(got, want, rtol=2e-5, atol=2e-6, equal_nan=True)
    rgb, opacity, depth, variance, weights = got[0]
    assert torch.stack([opacity, depth, rgb[:, 0]], 1).isnan().tolist() == [
        [False] * 3, [True] * 3, [False] * 3,
    ]  # fmt: skip
    assert variance[1] == 0
    assert torch.equal(weights[:20], clean[0][4][:20])
    assert weights[20:75].isnan().all()
    assert weights[75:].isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_storage_of_density_and_colour(dtype, device, rng):
    density, colour, samples = packed(rng, [20, 7])
    density, colour = density.to(dtype), colour.to(dtype)
    bars = cotangents(rng, samples)
    want = run(density.float(), colour.float(), samples, bars, "reference", "cpu")
    got = run(density, colour, samples, bars, "triton", device)
    assert all(x.dtype == torch.float32 for x in got[0])
    assert all(x.dtype == dtype for x in got[1])
    torch.testing.assert_close(got[0], want[0], rtol=2e-5, atol=2e-6)
    step = torch.finfo(dtype).eps  # the interpreter cuts bfloat16 off where a GPU rounds
    for bar, exact in zip(got[1], want[1], strict=True):
        torch.testing.assert_close(bar.float(), exact, rtol=step, atol=1e-5)
