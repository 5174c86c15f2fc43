"""L_nz and L_nv: selected rays by hand, the blur against a direct double loop."""

import math

import pytest
import torch

from xbind.losses.regularizers import normal_vector_loss, z_variance_loss


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
