"""The denoising error of the 2D prior on pictures: small for pictures that are likely under it."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from xbind.config.savings import FASTEST, Savings
from xbind.diffusion.latents import encode
from xbind.diffusion.priors import Prior2d
from xbind.networks.frozen import Unclip


def prior_errors(
    images: Float[Tensor, "n 3 s s"],
    class_labels: Float[Tensor, "1 d2"],
    unclip: Unclip,
    *,
    timesteps: Sequence[int],
    pairs: int,
    generator: torch.Generator,
    context: Float[Tensor, "1 l c"] | None = None,
    savings: Savings = FASTEST,
) -> Float[Tensor, "t n"]:
    """Returns Σ (ẑ − z)² over the latent of each image at each timestep, averaged over noises.

    All images are given the same noises, so that their errors can be compared. Noises come in
    pairs (ε, −ε), which fill one call of the size that guided sampling has.

    Args:
        images: on white, in [0, 1], at the size of the prior's VAE.
        class_labels: the class vector of C_m.
        unclip: the 2D prior.
        timesteps: of its schedule.
        pairs: of noises for each timestep.
        generator: source of the noises.
        context: the encoded text; None for the empty prompt.
        savings: how the networks are run.
    """
    config = unclip.unet.config
    context = unclip.null_context if context is None else context
    shape = (config.in_channels, config.sample_size, config.sample_size)
    noises = torch.randn(
        (len(timesteps), pairs, 1, *shape), generator=generator, device=generator.device
    )
    with torch.inference_mode():
        parts = []
        for image in images.split(savings.at_once(len(images))):
            z = encode(unclip.vae, image)
            errors = [
                torch.stack(
                    [
                        _pair_error(z, noise, t, class_labels, context, unclip, savings)
                        for noise in row
                    ]
                )
                for t, row in zip(timesteps, noises, strict=True)
            ]
            parts.append(torch.stack(errors).mean(1))
        return torch.cat(parts, 1)


def _pair_error(
    z: Float[Tensor, "b c h w"],
    noise: Float[Tensor, "1 c h w"],
    timestep: int,
    class_labels: Float[Tensor, "1 d2"],
    context: Float[Tensor, "1 l c"],
    unclip: Unclip,
    savings: Savings,
) -> Float[Tensor, " b"]:
    """Mean error under a noise and its opposite."""
    schedule = unclip.schedule
    t = torch.full((len(z),), timestep, device=z.device)
    noisy = [schedule.add_noise(z, x.expand_as(z), t) for x in (noise, -noise)]
    prior = Prior2d(unclip.unet, two_passes=savings.split_guidance)
    predicted = prior.predict_each(noisy, t, class_labels, context)
    errors = [
        (schedule.latent_of(prediction, z_t, t) - z).square().sum((1, 2, 3))
        for prediction, z_t in zip(predicted, noisy, strict=True)
    ]
    return (errors[0] + errors[1]) / 2
