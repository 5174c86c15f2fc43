"""The class vector by which an embedding conditions the unCLIP prior."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor


def unclip_condition(
    embedding: Float[Tensor, "b d"],
    noise_level: Int[Tensor, " b"],
    noise: Float[Tensor, "b d"],
    *,
    mean: Float[Tensor, " d"],
    std: Float[Tensor, " d"],
    alphas_cumprod: Float[Tensor, " steps"],
) -> Float[Tensor, "b d2"]:
    """[noised embedding ; sinusoid of the noise level].

    The embedding is brought to unit variance, noised as √ᾱ e + √(1−ᾱ) ε, and brought back. Level 0
    adds a little noise too, so `noise` has to stay the same throughout a run.

    Args:
        embedding: raw, not of length 1: at the norm that the prior was trained on.
        noise_level: step of the noising schedule, 0 for the least noise.
        noise: standard normal.
        mean: of the prior's normaliser.
        std: of the prior's normaliser.
        alphas_cumprod: ᾱ of the prior's *noising* schedule (`squared_cosine_betas`).

    Returns:
        Class vectors [b, 2d]. The vector for no condition is all zeros, level included.
    """
    alpha_bar = alphas_cumprod[noise_level][:, None]
    noised = alpha_bar.sqrt() * (embedding - mean) / std + (1 - alpha_bar).sqrt() * noise
    return torch.cat([noised * std + mean, _sinusoid(noise_level, embedding.shape[1])], 1)


def _sinusoid(level: Int[Tensor, " b"], d: int) -> Float[Tensor, "b d"]:
    """[cos(ω level) ; sin(ω level)] at d/2 frequencies from 1 down to almost 1/10 000."""
    exponent = torch.arange(d // 2, device=level.device) / (d // 2)
    phase = level[:, None] * torch.exp(-math.log(10_000) * exponent)
    return torch.cat([phase.cos(), phase.sin()], 1)
