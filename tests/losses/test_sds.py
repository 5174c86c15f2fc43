"""Eq. 4, 5 and 10 against priors that are exact in closed form, in float64."""

import numpy as np
import pytest
import torch
from guidance_fakes import ExactUNet, LinearVae

from xbind.diffusion.latents import resize
from xbind.diffusion.schedule import NoiseSchedule
from xbind.losses.sds2d import Sds2d
from xbind.losses.sds3d import Sds3d
from xbind.losses.step import guide

ALPHAS = torch.linspace(0.95, 0.1, 10, dtype=torch.float64)
TYPES = ["epsilon", "v_prediction", "sample"]
SCALE, S, MEAN = 0.5, 0.7, 0.4


def step_2d(prediction_type="v_prediction", *, image_term=True, unet=None):
    return Sds2d(
        LinearVae(SCALE),
        unet or ExactUNet(ALPHAS, prediction_type, s=S),
        NoiseSchedule(ALPHAS, prediction_type),
        latent_px=2,
        image_term=image_term,
    )


@pytest.fixture
def feeds(rng):
    def draw(*shape):
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    return {
        "image": draw(3, 3, 4, 4).sigmoid(),
        "noise": draw(3, 12, 2, 2),
        "t": torch.tensor([0, 4, 9]),
        "class_labels": torch.full((1, 2), MEAN, dtype=torch.float64),
        "context": torch.zeros(1, 1, 1),
        "null_context": torch.zeros(1, 1, 1),
        "cfg_scale": torch.tensor(2.5, dtype=torch.float64),
        "weight": torch.tensor([1.0, 0.5, 2.0], dtype=torch.float64),
        "w_img": torch.tensor(0.7, dtype=torch.float64),
    }


def estimates(image, noise, t, mean):
    """z, ẑ and x̂ for latents N(mean, S²): the posterior mean is a weighted average."""
    vae = LinearVae(SCALE)
    z = SCALE * vae.encode(2 * image - 1).latent_dist.mode()
    a2 = ALPHAS[t].view(-1, 1, 1, 1)
    z_t = a2**0.5 * z + (1 - a2) ** 0.5 * noise
    gain = a2**0.5 * S**2 / (a2 * S**2 + 1 - a2)
    z_hat = mean + gain * (z_t - a2**0.5 * mean)
    x_hat = (vae.decode(z_hat / SCALE).sample + 1) / 2
    return z, z_hat, x_hat.clamp(0, 1)


def test_the_noise_decides_the_size_at_which_views_are_seen(feeds):
    """Views of 8 pixels and latents of 2 places for 2 pixels each: seen at 4 pixels."""
    large = torch.nn.functional.interpolate(feeds.pop("image"), scale_factor=2.0, mode="nearest")
    large.requires_grad_()
    loss, x_bar = step_2d()(large, **feeds)
    seen = torch.nn.functional.interpolate(large, size=4, mode="bilinear", align_corners=False)
    want_loss, seen_bar = step_2d()(seen, **feeds)
    (want_x_bar,) = torch.autograd.grad(seen, large, seen_bar)
    torch.testing.assert_close(loss, want_loss)
    torch.testing.assert_close(x_bar, want_x_bar)


@pytest.mark.parametrize("prediction_type", TYPES)
def test_latent_term_matches_closed_form(feeds, prediction_type):
    del feeds["w_img"]
    loss, x_bar = step_2d(prediction_type, image_term=False)(**feeds)

    z, z_hat, _ = estimates(feeds["image"], feeds["noise"], feeds["t"], 2.5 * MEAN)
    residual = feeds["weight"].view(-1, 1, 1, 1) * (z - z_hat)
    torch.testing.assert_close(loss, (residual * (z - z_hat)).sum() / 2 / 3)
    # The encoder is x ↦ SCALE·Q(2x − 1), so its transposed Jacobian is 2·SCALE·Qᵀ.
    want = 2 * SCALE * LinearVae(SCALE).decode(residual / 3).sample
    torch.testing.assert_close(x_bar, want)


@pytest.mark.parametrize("prediction_type", TYPES)
def test_pictures_that_stand_for_latents_are_averaged_to_their_size(feeds, prediction_type, rng):
    """No VAE: z is the mean of 2 × 2 pixels of 12 channels, and so a quarter of ∂L/∂z each."""
    for name in ("w_img", "image"):
        del feeds[name]
    picture = torch.rand(3, 12, 4, 4, generator=rng, dtype=torch.float64)
    unet, schedule = ExactUNet(ALPHAS, prediction_type, s=S), NoiseSchedule(ALPHAS, prediction_type)
    step = Sds2d(None, unet, schedule, latent_px=1, image_term=False)
    loss, x_bar = step(picture, **feeds)
    z = picture.view(3, 12, 2, 2, 2, 2).mean((3, 5))
    a2 = ALPHAS[feeds["t"]].view(-1, 1, 1, 1)
    z_t = a2**0.5 * z + (1 - a2) ** 0.5 * feeds["noise"]
    mean, gain = 2.5 * MEAN, a2**0.5 * S**2 / (a2 * S**2 + 1 - a2)
    residual = feeds["weight"].view(-1, 1, 1, 1) * (z - mean - gain * (z_t - a2**0.5 * mean))
    want = (residual / 3 / 4).repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(x_bar, want)
    assert loss > 0


def test_gradient_is_that_of_the_surrogate(feeds):
    """Finite differences of Eq. 5's loss with ẑ and x̂ held where they are."""
    loss, x_bar = step_2d()(**feeds)
    image, weight = feeds["image"], feeds["weight"]
    _, z_hat, x_hat = estimates(image, feeds["noise"], feeds["t"], 2.5 * MEAN)

    def surrogate(x):
        z = SCALE * LinearVae(SCALE).encode(2 * x - 1).latent_dist.mode()
        total = 0.0
        for b in range(3):
            latent = ((z[b] - z_hat[b]) ** 2).sum().item() / 2
            pixels = ((x[b] - x_hat[b]) ** 2).sum().item() / (3 * 4 * 4)
            total += weight[b].item() * (latent + 0.7 * pixels) / 3
        return total

    assert loss.item() == pytest.approx(surrogate(image), rel=1e-12)
    for index in [(0, 0, 0, 0), (1, 2, 3, 1), (2, 1, 2, 3)]:
        nudge = torch.zeros_like(image)
        nudge[index] = 1e-5
        slope = (surrogate(image + nudge) - surrogate(image - nudge)) / 2e-5
        assert x_bar[index].item() == pytest.approx(slope, rel=1e-6)


def test_expected_gradient_is_the_score(feeds):
    """E_ε[z − ẑ] = (σ²/α²) ∂/∂z E_ε[−log p_t(α z + σ ε)], for a prior with two modes.

    The expectation is a Gauss–Hermite sum: its nodes are the views' noise, its weights their λ.
    """
    nodes, mass = np.polynomial.hermite_e.hermegauss(60)
    mass = mass / mass.sum()
    b, t, means = len(nodes), 4, (-1.0, 1.0)
    unet = ExactUNet(ALPHAS, "v_prediction", s=0.3, means=means)
    image = feeds["image"][:1]
    _, x_bar = step_2d(unet=unet, image_term=False)(
        image.expand(b, -1, -1, -1),
        torch.from_numpy(nodes).view(-1, 1, 1, 1).expand(b, 12, 2, 2),
        torch.full((b,), t),
        feeds["context"],
        feeds["null_context"],
        torch.tensor(1.0, dtype=torch.float64),
        torch.from_numpy(mass) * b,
        torch.zeros(1, 2, dtype=torch.float64),
    )
    # Undo the encoder: z_bar is the sum over views, seen through the orthogonal map.
    z_bar = LinearVae(SCALE).encode(x_bar.sum(0, keepdim=True)).latent_dist.mode() / (2 * SCALE)

    a2 = ALPHAS[t].item()
    alpha, sigma, variance = a2**0.5, (1 - a2) ** 0.5, a2 * 0.3**2 + 1 - a2

    def free_energy(z):
        z_t = alpha * z[..., None] + sigma * nodes
        p_t = sum(np.exp(-((z_t - alpha * m) ** 2) / (2 * variance)) for m in means)
        return (-np.log(p_t) * mass).sum(-1)

    z = SCALE * LinearVae(SCALE).encode(2 * image - 1).latent_dist.mode().numpy()
    slope = (free_energy(z + 1e-4) - free_energy(z - 1e-4)) / 2e-4
    np.testing.assert_allclose(z_bar.numpy(), sigma**2 / a2 * slope, rtol=1e-6, atol=1e-9)


def test_smaller_renders_are_seen_at_the_prior_s_size(feeds):
    """The step on a small image is the step on its resized copy, pulled back by the resize."""
    small = feeds.pop("image")[..., :3, :2].clone().requires_grad_()
    big = resize(small, 4)
    loss, big_bar = step_2d()(big.detach(), **feeds)
    got_loss, x_bar = step_2d()(small.detach(), **feeds)
    torch.testing.assert_close(got_loss, loss)
    torch.testing.assert_close(x_bar, torch.autograd.grad(big, small, big_bar)[0])


def test_a_step_ignores_the_caller_s_autograd_state(feeds):
    step = step_2d()
    want = step(**feeds)
    assert not feeds["image"].requires_grad
    with torch.no_grad():
        got = step(**{**feeds, "image": feeds["image"].clone().requires_grad_()})
    for a, b in zip(got, want, strict=True):
        assert torch.equal(a, b)
        assert not a.requires_grad


def test_guide_runs_the_step(feeds):
    step = step_2d()
    assert step.inputs == tuple(feeds)
    want, x_bar = step(**feeds)
    image = feeds.pop("image").requires_grad_()
    loss = guide(step, image, **feeds)
    (loss * 3).backward()
    assert torch.equal(loss.detach(), want)
    torch.testing.assert_close(image.grad, 3 * x_bar)


@pytest.mark.parametrize("image_term", [False, True])
def test_3d_sds_is_2d_sds_with_another_condition(feeds, image_term):
    """A prior whose mean is (token + latent) sees what the 2D prior sees with that mean."""
    common = {k: feeds[k] for k in ("noise", "t", "cfg_scale", "weight", "w_img")}
    token = torch.full((3, 1, 2), 0.1, dtype=torch.float64)
    latent = torch.full((1, 12, 2, 2), MEAN - 0.1, dtype=torch.float64)
    step = Sds3d(
        LinearVae(SCALE),
        ExactUNet(ALPHAS, "epsilon", s=S),
        NoiseSchedule(ALPHAS, "epsilon"),
        image_size=4,
        image_term=image_term,
    )
    if not image_term:
        del common["w_img"], feeds["w_img"]
    image = feeds["image"].clone().requires_grad_()
    loss = guide(step, image, token=token, reference_latent=latent, **common)
    loss.backward()
    want_loss, want_x_bar = step_2d(image_term=image_term)(**feeds)
    torch.testing.assert_close(loss.detach(), want_loss)
    torch.testing.assert_close(image.grad, want_x_bar)
