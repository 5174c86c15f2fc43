"""Schedules against diffusers', conversions against its samplers and against algebra."""

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from xbind.diffusion.errors import GuidanceError
from xbind.diffusion.schedule import (
    NoiseSchedule,
    alphas_cumprod,
    scaled_linear_betas,
    squared_cosine_betas,
)

TYPES = ["epsilon", "v_prediction", "sample"]


def schedule(prediction_type="epsilon"):
    return NoiseSchedule(alphas_cumprod(scaled_linear_betas().double()), prediction_type)


@pytest.mark.parametrize(
    ("betas", "name"),
    [(scaled_linear_betas(), "scaled_linear"), (squared_cosine_betas(), "squaredcos_cap_v2")],
)
def test_betas_are_those_of_the_checkpoints(betas, name):
    scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule=name)
    torch.testing.assert_close(betas, scheduler.betas, rtol=2e-5, atol=1e-9)
    torch.testing.assert_close(
        alphas_cumprod(betas), scheduler.alphas_cumprod, rtol=1e-4, atol=1e-9
    )


def test_variance_exploding_sigma_at_known_steps():
    # σ̃ of Stable Diffusion's schedule, as tabulated for Consistent3D.
    t = torch.tensor([20, 200, 500, 700, 980])
    want = torch.tensor([0.138, 0.572, 1.62, 3.33, 13.0])
    got = schedule().sigma_ve(t).flatten()
    torch.testing.assert_close(got.float(), want, rtol=5e-3, atol=0)


@pytest.mark.parametrize("prediction_type", TYPES)
def test_conversions_agree_with_a_sampler(rng, prediction_type):
    sampler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=prediction_type,
        clip_sample=False,
    )
    ours = NoiseSchedule(sampler.alphas_cumprod, prediction_type)
    z, noise, prediction = torch.randn(3, 2, 4, 5, 5, generator=rng)
    t = torch.tensor([321, 321])

    z_t = ours.add_noise(z, noise, t)
    torch.testing.assert_close(z_t, sampler.add_noise(z, noise, t))
    sampler.set_timesteps(1000)
    want = sampler.step(prediction, 321, z_t).pred_original_sample
    torch.testing.assert_close(ours.latent_of(prediction, z_t, t), want)


@pytest.mark.parametrize("prediction_type", TYPES)
def test_a_perfect_prediction_gives_back_noise_and_latent(rng, prediction_type):
    ours = schedule(prediction_type)
    z, noise = torch.randn(2, 3, 4, 5, 5, generator=rng, dtype=torch.float64)
    t = torch.tensor([0, 400, 999])
    cos = ours.alphas_cumprod[t].sqrt().view(-1, 1, 1, 1)
    sin = (1 - cos**2).sqrt()
    perfect = {"epsilon": noise, "sample": z, "v_prediction": cos * noise - sin * z}

    z_t = ours.add_noise(z, noise, t)
    prediction = perfect[prediction_type]
    torch.testing.assert_close(ours.noise_of(prediction, z_t, t), noise)
    torch.testing.assert_close(ours.latent_of(prediction, z_t, t), z)


def test_the_two_lines_of_eq_4_agree_under_their_weights(rng):
    ours = schedule()
    z, noise, eps_hat = torch.randn(3, 3, 4, 5, 5, generator=rng, dtype=torch.float64)
    t = torch.tensor([20, 500, 980])
    residual = z - ours.latent_of(eps_hat, ours.add_noise(z, noise, t), t)

    by_noise = ours.variance(t).view(-1, 1, 1, 1) * (eps_hat - noise)
    by_latent = ours.alpha(t) * ours.sigma(t) * residual  # λ = w α/σ
    torch.testing.assert_close(by_latent, by_noise)


def test_unknown_prediction_type_is_named():
    with pytest.raises(GuidanceError, match=r"(?s)'velocity'.*scheduler_config"):
        schedule("velocity")
