"""Learning rates, averaging and loss weights of the trainer against closed forms."""

import dataclasses
import math

import pytest
import torch

from xbind.mini.train.lengths import LENGTHS, LoopConfig
from xbind.mini.train.priors import velocity
from xbind.mini.train.weighting import min_snr_weights, prior_losses

CONFIG = LoopConfig(samples=1000, batch=10, learning_rate=1.0, warmup_steps=4, decay_fraction=0.2)


@pytest.mark.parametrize(
    ("shape", "first_quarter", "half"),
    [("linear", 0.75, 0.5), ("sqrt", 0.5, 1 - math.sqrt(0.5)), ("cosine", 0.85355, 0.5)],
)
def test_the_rate_falls_over_the_last_fifth(shape, first_quarter, half):
    config = dataclasses.replace(CONFIG, decay_shape=shape)
    assert config.learning_rate_at(800, 9) == 1.0
    assert config.learning_rate_at(850, 9) == pytest.approx(first_quarter, abs=1e-5)
    assert config.learning_rate_at(900, 9) == pytest.approx(half)
    assert config.learning_rate_at(1000, 9) == 0.02
    timed = dataclasses.replace(config, minutes=1.0)
    assert timed.learning_rate_at(0, 9, 51.0) == pytest.approx(first_quarter, abs=1e-5)
    assert timed.learning_rate_at(900, 9, 51.0) == pytest.approx(half)


def test_the_rate_follows_the_square_root_of_the_batch():
    default = LENGTHS["unclip"]
    assert default.peak_rate == default.learning_rate
    for batch, factor in ((16, 0.5), (256, 2.0), (576, 3.0), (4096, 3.0)):
        config = dataclasses.replace(default, batch=batch)
        assert config.base_batch == 64
        assert config.peak_rate == pytest.approx(factor * default.learning_rate)
    assert dataclasses.replace(default, batch=256).learning_rate_at(0, 99) == 2e-3


@pytest.mark.parametrize("batch", [10, 250, 500])
def test_half_of_the_average_is_left_after_its_half_life(batch):
    config = LoopConfig(samples=1, batch=batch, ema_half_life=500.0)
    left = 1.0
    for step in range(500 // batch):
        left *= 1 - config.ema_weight_at(10**6 + step * batch)
    assert left == pytest.approx(0.5)


def test_a_young_average_has_a_shorter_half_life():
    config = LoopConfig(samples=1, batch=50, ema_half_life=500.0, ema_ramp=0.05)
    assert config.ema_weight_at(50) == pytest.approx(1 - 2.0**-20)
    assert config.ema_weight_at(1000) == pytest.approx(0.5)  # half-life 50
    assert config.ema_weight_at(10_000) == config.ema_weight_at(10**9)
    assert config.ema_weight_at(10_000) == pytest.approx(1 - 0.5**0.1)


def test_min_snr_weighs_errors_of_the_clean_latents(rng):
    """Whatever is predicted, an error of z counts min(SNR, γ) times."""
    alpha_bar = torch.tensor([0.999, 0.9, 0.84, 0.5, 0.1, 0.005], dtype=torch.float64)
    t, gamma = torch.arange(6), 5.0
    z, noise, error = torch.randn(3, 6, 4, 2, 2, generator=rng, dtype=torch.float64)
    z_t, v = velocity(z, t, noise, alpha_bar)
    a, s = (x.sqrt().view(-1, 1, 1, 1) for x in (alpha_bar, 1 - alpha_bar))
    predicted_noise = (z_t - a * (z + error)) / s
    predicted_v = a * predicted_noise - s * (z + error)
    snr = alpha_bar / (1 - alpha_bar)
    want = snr.clamp_max(gamma) * error.square().mean((1, 2, 3))
    assert (snr > gamma).tolist() == [True, True, True, False, False, False]
    for found, prediction in (
        ((predicted_v - v).square().mean((1, 2, 3)), "v"),
        ((predicted_noise - noise).square().mean((1, 2, 3)), "epsilon"),
    ):
        weighted = min_snr_weights(alpha_bar, gamma, prediction) * found
        torch.testing.assert_close(weighted, want, rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ("gamma", "loss"), [(None, 13 / 3), (2.0, (2 * 0.2 + 4 * 0.5 + 7 * 0.1) / 3)]
)
def test_terms_of_a_prior_are_means_of_their_samples(gamma, loss):
    alpha_bar = torch.tensor([0.9, 0.5, 0.1])
    terms = prior_losses(
        torch.tensor([2.0, 4.0, 7.0]), torch.tensor([False, True, False]), alpha_bar, gamma
    )
    want = {"loss": loss, "colour": 4.5, "normal": 4.0} | ({"error": 13 / 3} if gamma else {})
    assert {name: pytest.approx(value.item()) for name, value in terms.items()} == want
    alone = prior_losses(torch.tensor([2.0]), torch.tensor([False]), alpha_bar[:1], None)
    assert (alone["colour"], alone["normal"]) == (2.0, 0.0)


def test_only_priors_are_trained_with_the_new_schedule():
    fifth = {name for name, config in LENGTHS.items() if config.decay_fraction == 0.2}
    assert fifth == {"unclip", "zero123", "zero123_narrow"}
    assert all(config.ema_half_life > config.batch for config in LENGTHS.values())
