"""Losses of a volume: rays by hand, a blur as a double loop, closed forms."""

import math

import pytest
import torch

from xbind.losses.regularizers import (
    entropy_loss,
    normal_vector_loss,
    orientation_loss,
    sparsity_loss,
    z_variance_loss,
)


def test_z_variance_is_averaged_over_solid_rays_only():
    variance = torch.tensor([1.0, 2.0, 40.0, 7.0], requires_grad=True)
    loss = z_variance_loss(variance, torch.tensor([0.6, 1.0, 0.5, 0.1]), least_opacity=0.5)
    (bar,) = torch.autograd.grad(loss, variance)
    assert loss.item() == 1.5
    assert bar.tolist() == [0.5, 0.5, 0.0, 0.0]


@pytest.mark.parametrize("rays", [0, 3])
def test_z_variance_without_solid_rays_is_exactly_zero(rays):
    variance = torch.full((rays,), 2.0, requires_grad=True)
    loss = z_variance_loss(variance, torch.full((rays,), 0.4), least_opacity=0.5)
    (bar,) = torch.autograd.grad(loss, variance)
    assert loss.item() == 0.0
    assert not bar.any()


def test_normal_loss_against_a_direct_blur(rng):
    n = torch.randn(2, 3, 6, 7, generator=rng, dtype=torch.float64).requires_grad_()
    x = n.detach()

    def mirrored(i, size):
        return -i if i < 0 else 2 * (size - 1) - i if i >= size else i

    weight = {o: math.exp(-0.5 * (o / 1.7) ** 2) for o in range(-4, 5)}
    blurred = torch.zeros_like(x)
    for i in range(6):
        for j in range(7):
            for di, wi in weight.items():
                for dj, wj in weight.items():
                    blurred[:, :, i, j] += (
                        wi * wj * x[:, :, mirrored(i + di, 6), mirrored(j + dj, 7)]
                    )
    blurred /= sum(weight.values()) ** 2

    loss = normal_vector_loss(n, taps=9, sigma=1.7)
    (bar,) = torch.autograd.grad(loss, n)
    torch.testing.assert_close(loss, (x - blurred).square().mean(), rtol=1e-6, atol=0)
    # the blurred copy is constant, so the gradient is that of a plain square
    torch.testing.assert_close(bar, 2 * (x - blurred) / x.numel(), rtol=1e-5, atol=1e-9)


def test_a_flat_normal_map_costs_nothing():
    flat = torch.tensor([0.0, 0.6, 0.8])[None, :, None, None].expand(1, 3, 8, 8)
    assert normal_vector_loss(flat, taps=9, sigma=1.7).item() == pytest.approx(0.0, abs=1e-12)


def test_orientation_against_a_loop(rng):
    weights = torch.rand(40, generator=rng, dtype=torch.float64).requires_grad_()
    normals, directions = (
        torch.nn.functional.normalize(torch.randn(40, 3, generator=rng, dtype=torch.float64), dim=1)
        for _ in range(2)
    )
    normals.requires_grad_()
    want = 0.0
    for w, n, d in zip(weights.tolist(), normals.tolist(), directions.tolist(), strict=True):
        along = sum(a * b for a, b in zip(n, d, strict=True))
        want += w * along**2 if along > 0 else 0.0
    loss = orientation_loss(weights, normals, directions, rays=7)
    assert loss.item() == pytest.approx(want / 7, rel=1e-12)
    w_bar, n_bar = torch.autograd.grad(loss, (weights, normals), allow_unused=True)
    assert w_bar is None  # it moves normals, not densities
    along = (normals * directions).sum(1, keepdim=True).detach()
    torch.testing.assert_close(n_bar, 2 / 7 * weights[:, None] * along.clamp_min(0) * directions)


def test_orientation_without_samples_is_zero():
    nothing = torch.zeros(0, 3)
    assert orientation_loss(torch.zeros(0), nothing, nothing, rays=0).item() == 0.0


def test_sparsity_in_closed_form():
    opacity = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64, requires_grad=True)
    loss = sparsity_loss(opacity, offset=0.16)
    roots = [0.4, 0.5, math.sqrt(1.16)]
    assert loss.item() == pytest.approx(sum(roots) / 3, rel=1e-12)
    (bar,) = torch.autograd.grad(loss, opacity)
    assert bar.tolist() == pytest.approx([0.0, 0.3 / 0.5 / 3, 1 / roots[2] / 3], rel=1e-12)


def test_entropy_is_that_of_a_coin():
    opacity = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64, requires_grad=True)
    loss = entropy_loss(opacity, margin=1e-3)
    coins = torch.distributions.Bernoulli(probs=opacity.detach())
    torch.testing.assert_close(loss.detach(), coins.entropy().mean())
    (bar,) = torch.autograd.grad(loss, opacity)
    assert bar.tolist() == pytest.approx([math.log((1 - o) / o) / 3 for o in (0.2, 0.5, 0.9)])


def test_entropy_stays_finite_beyond_its_margin():
    opacity = torch.tensor([0.0, 1.0], requires_grad=True)
    loss = entropy_loss(opacity, margin=0.01)
    (bar,) = torch.autograd.grad(loss, opacity)
    least = -0.01 * math.log(0.01) - 0.99 * math.log(0.99)
    assert loss.item() == pytest.approx(least, rel=1e-5)
    assert bar.tolist() == [0.0, 0.0]
