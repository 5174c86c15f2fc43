"""Resizing against torch's own, coding against a linear autoencoder, and the sum/mean rule."""

import pytest
import torch
from guidance_fakes import LinearVae
from torch.nn.functional import interpolate

from xbind.diffusion.latents import decode, encode, latent_loss, resize


@pytest.mark.parametrize(("h", "w", "size"), [(5, 5, 8), (8, 8, 3), (7, 4, 4), (6, 9, 13)])
def test_resize_is_bilinear_and_so_is_its_gradient(rng, h, w, size):
    x = torch.rand(2, 3, h, w, generator=rng, dtype=torch.float64, requires_grad=True)
    y_bar = torch.randn(2, 3, size, size, generator=rng, dtype=torch.float64)
    ours = resize(x, size)
    torch_s = interpolate(x, (size, size), mode="bilinear", align_corners=False, antialias=False)
    torch.testing.assert_close(ours, torch_s, rtol=0, atol=1e-12)
    (got,) = torch.autograd.grad(ours, x, y_bar)
    (want,) = torch.autograd.grad(torch_s, x, y_bar)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


def test_resize_leaves_an_image_that_fits_alone(rng):
    x = torch.rand(1, 3, 4, 4, generator=rng)
    assert resize(x, 4) is x


def test_latents_are_centred_and_scaled(rng):
    vae = LinearVae(scaling_factor=0.3)
    x = torch.rand(2, 3, 4, 4, generator=rng, dtype=torch.float64)
    z = encode(vae, x)
    # An orthogonal map keeps the length of the centred image.
    torch.testing.assert_close(z.norm(), 0.3 * (2 * x - 1).norm())
    torch.testing.assert_close(decode(vae, z), x)
    assert encode(vae, torch.full_like(x, 0.5)).abs().max() == 0


def test_decoded_images_stay_in_range():
    vae = LinearVae()
    far = encode(
        vae, torch.tensor([-3.0, 7.0], dtype=torch.float64).view(2, 1, 1, 1).expand(2, 3, 2, 2)
    )
    image = decode(vae, far)
    torch.testing.assert_close(image[0], torch.zeros_like(image[0]))
    torch.testing.assert_close(image[1], torch.ones_like(image[1]))


def test_latent_loss_sums_over_latents_and_averages_over_views(rng):
    residual = torch.randn(3, 2, 4, 5, generator=rng, dtype=torch.float64)
    weight = torch.tensor([1.0, 0.5, 2.0], dtype=torch.float64)
    want = sum(
        weight[b].item() * sum(v * v for v in residual[b].flatten().tolist()) / 2 for b in range(3)
    )
    torch.testing.assert_close(latent_loss(residual, weight).item(), want / 3)
