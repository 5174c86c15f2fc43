"""Eq. 3 on Gaussian data N(MEAN, S²), where every prediction is known."""

import pytest
import torch
from guidance_fakes import ExactUNet, LinearVae

from xbind.diffusion.schedule import NoiseSchedule
from xbind.losses.cds2d import Cds2d
from xbind.losses.step import guide

MEAN, S = 2.0, 1.0
LEVELS = torch.tensor([0.3, 1.0, 1.5, 4.0], dtype=torch.float64)
"""σ̃ at t = 0, 1, 2, 3."""
ALPHAS = 1 / (1 + LEVELS**2)


def step(prediction_type="v_prediction"):
    # scaling_factor ½ makes the encoder an isometry of the image: z̄ and x̄ have equal length.
    return Cds2d(
        LinearVae(0.5),
        ExactUNet(ALPHAS, prediction_type, s=S),
        NoiseSchedule(ALPHAS, prediction_type),
        latent_px=2,
    )


def feeds(views, eps_star, *, t_1=2, t_2=1, weight=1.0, clamp=float("inf"), cfg_scale=1.0):
    return {
        "eps_star": eps_star,
        "t_1": torch.full((views,), t_1),
        "t_2": torch.full((views,), t_2),
        "class_labels": torch.full((1, 1), MEAN, dtype=torch.float64),
        "context": torch.zeros(1, 1, 1),
        "null_context": torch.zeros(1, 1, 1),
        "cfg_scale": torch.tensor(cfg_scale, dtype=torch.float64),
        "weight": torch.full((views,), weight, dtype=torch.float64),
        "clamp": torch.tensor(clamp, dtype=torch.float64),
    }


def latent(image):
    return 0.5 * LinearVae(0.5).encode(2 * image - 1).latent_dist.mode()


@pytest.fixture
def eps_star(rng):
    return torch.randn(1, 12, 1, 1, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("clamp", [float("inf"), 0.2])
def test_gradient_matches_closed_form(rng, eps_star, prediction_type, clamp):
    """ε̂₁ − ε̂₂ = y S² (σ̃₁ − σ̃₂) / ((S² + σ̃₁²)(S² + σ̃₂²)),  y = z_t₁ − s·mean."""
    image = torch.randn(3, 3, 2, 2, generator=rng, dtype=torch.float64)
    given = feeds(3, eps_star, clamp=clamp, cfg_scale=3.0)
    given["class_labels"] = torch.full((1, 1), 0.1, dtype=torch.float64)
    given["t_1"], given["t_2"] = torch.tensor([2, 3, 3]), torch.tensor([1, 2, 0])
    given["weight"] = torch.tensor([1.0, 0.5, 2.0], dtype=torch.float64)
    loss, x_bar = step(prediction_type)(image, **given)

    s1, s2 = (LEVELS[given[k]].view(-1, 1, 1, 1) for k in ("t_1", "t_2"))
    y = latent(image) + s1 * eps_star - 3 * 0.1
    z_bar = y * S**2 * (s1 - s2) / ((S**2 + s1**2) * (S**2 + s2**2))
    z_bar = (given["weight"].view(-1, 1, 1, 1) * z_bar).clamp(-clamp, clamp)
    torch.testing.assert_close(x_bar, LinearVae(0.5).decode(z_bar / 3).sample)
    torch.testing.assert_close(loss, (z_bar**2).sum() / 2 / 3)
    assert not loss.requires_grad


def descend(eps_at, *, steps, views=1, sign=1.0):
    """The latent after gradient descent on one image, shown to `views` cameras alike."""
    cds, image = step(), torch.zeros(1, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    for _ in range(steps):
        loss = guide(cds, image.expand(views, -1, -1, -1), **feeds(views, eps_at()))
        (x_bar,) = torch.autograd.grad(loss, image)
        image = (image - sign * x_bar).detach().requires_grad_()
    return latent(image.detach())


def test_fixed_noise_converges_to_a_biased_mean(eps_star):
    got = descend(lambda: eps_star, steps=300)
    torch.testing.assert_close(got, MEAN - LEVELS[2] * eps_star, rtol=0, atol=1e-8)


def test_fresh_noise_converges_to_the_mean(rng):
    def fresh():
        return torch.randn(256, 12, 1, 1, generator=rng, dtype=torch.float64)

    got = descend(fresh, steps=120, views=256)
    # Stationary spread of one element: 0.077·1.5/√256 per step, over √(2·0.077): 0.018.
    torch.testing.assert_close(got, torch.full_like(got, MEAN), rtol=0, atol=0.09)


def test_the_printed_sign_runs_away(eps_star):
    """D₁ − D₂, which Eq. 3 gives once the network's Jacobian is dropped, is −σ̃₂ (ε̂₁ − ε̂₂)."""
    image = torch.zeros(1, 3, 2, 2, dtype=torch.float64)
    _, x_bar = step()(image, **feeds(1, eps_star))
    s1, s2 = LEVELS[2], LEVELS[1]
    z_1 = latent(image) + s1 * eps_star

    def denoise(z, s):
        return (S**2 * z + s**2 * MEAN) / (S**2 + s**2)

    z_2 = z_1 + (s2 - s1) / s1 * (z_1 - denoise(z_1, s1))
    printed = denoise(z_1, s1) - denoise(z_2, s2)
    torch.testing.assert_close(LinearVae(0.5).decode(printed).sample, -s2 * x_bar)

    start = latent(image) - (MEAN - s1 * eps_star)
    end = descend(lambda: eps_star, steps=60, sign=-1.0) - (MEAN - s1 * eps_star)
    rate = 1 + S**2 * (s1 - s2) / ((S**2 + s1**2) * (S**2 + s2**2))
    torch.testing.assert_close(end, start * rate**60)
    assert rate**60 > 50


def test_one_noise_serves_every_view(rng, eps_star):
    image = torch.rand(3, 3, 2, 2, generator=rng, dtype=torch.float64)
    one = step()(image, **feeds(3, eps_star))
    each = step()(image, **feeds(3, eps_star.repeat(3, 1, 1, 1)))
    assert torch.equal(one[1], each[1])
