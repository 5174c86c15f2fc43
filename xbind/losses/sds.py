"""Score distillation in latent and image space, whatever the prior (Eq. 4, 5, 10)."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from xbind.diffusion.latents import Decoder, Vae, decode, encode, latent_loss, resize
from xbind.diffusion.schedule import Latent, NoiseSchedule, Timestep


@torch.enable_grad()
def distil(
    vae: Vae | None,
    schedule: NoiseSchedule,
    predict: Callable[[Latent], Latent],
    image: Float[Tensor, "b c h w"],
    *,
    image_size: int,
    noise: Latent,
    t: Timestep,
    weight: Float[Tensor, " b"],
    w_img: Float[Tensor, ""] | None,
    decoder: Decoder | None = None,
) -> tuple[Tensor, Tensor]:
    """Pull rendered views towards what a prior takes them for.

    Eq. 5:  λ(t) [ (z − ẑ) ∂z/∂θ + ω_img (x − x̂) ∂x/∂θ ]
            z_t = α z + σ ε,   ẑ = the prior's estimate of z from z_t,   x̂ = decode(ẑ)

    It is the gradient of ½λ‖z − ẑ‖² + λ ω_img ‖x − x̂‖² with ẑ and x̂ constant: nothing is
    differentiated but the encoder. The latent term is a sum over the latent, the image term a
    *mean* over pixels and channels; both are means over views.

    Args:
        vae: the prior's autoencoder; None for an `image` that stands for latents.
        schedule: its noise schedule.
        predict: z_t ↦ its guided prediction.
        image: x, views in [0, 1].
        image_size: side of the images that the prior knows, in pixels, where both terms live; that
            of its latents without a VAE.
        noise: ε, standard normal.
        t: timesteps.
        weight: λ(t), on (z − ẑ) = (σ/α)(ε̂ − ε).
        w_img: ω_img; None leaves the image term and its decoding out.
        decoder: of the same latents, for x̂; None for that of `vae`.

    Returns:
        loss and x_bar = ∂loss/∂image; x̂ is clamped to [0, 1].
    """
    image = image.detach().requires_grad_()
    x = resize(image, image_size)
    z = x if vae is None else encode(vae, x)
    with torch.no_grad():
        z_t = schedule.add_noise(z, noise, t)
        z_hat = schedule.latent_of(predict(z_t), z_t, t)
    loss = latent_loss(z - z_hat, weight)
    if w_img is not None:
        shown_by = decoder or vae
        assert shown_by is not None, "an image term needs a decoder"
        with torch.no_grad():
            x_hat = decode(shown_by, z_hat)
        loss = loss + w_img * (weight * (x - x_hat).square().mean((1, 2, 3))).mean()
    (x_bar,) = torch.autograd.grad(loss, image)
    return loss.detach(), x_bar
