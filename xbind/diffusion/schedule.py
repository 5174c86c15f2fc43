"""The forward diffusion process of a prior: α, σ, σ̃, and what its network predicts."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from xbind.diffusion.errors import GuidanceError

PREDICTION_TYPES = ("epsilon", "v_prediction", "sample")
"""Prediction types of networks, named as in diffusers' scheduler files: ε̂, v̂ = αε̂ − σẑ, or ẑ."""

Latent = Float[Tensor, "b cz hz wz"]
SharedLatent = Float[Tensor, "#b cz hz wz"]
"""Timesteps, one per view or one for all views."""
Timestep = Int[Tensor, " b"]
PerView = Float[Tensor, "b 1 1 1"]


class NoiseSchedule(nn.Module):
    """z_t = α z + σ ε with α = √ᾱ_t, σ = √(1−ᾱ_t); a module so that it moves with its step."""

    alphas_cumprod: Float[Tensor, " steps"]
    """ᾱ_t, falling from almost 1 to almost 0."""

    def __init__(self, alphas_cumprod: Float[Tensor, " steps"], prediction_type: str) -> None:
        """Hold ᾱ and remember what the prior's network predicts.

        Raises:
            GuidanceError: `prediction_type` is not one of `PREDICTION_TYPES`.
        """
        super().__init__()
        if prediction_type not in PREDICTION_TYPES:
            raise GuidanceError(
                f"Unknown prediction type {prediction_type!r}; wanted one of "
                f"{', '.join(PREDICTION_TYPES)}.\n"
                "Correct `prediction_type` in the prior's scheduler_config.json."
            )
        self.register_buffer("alphas_cumprod", alphas_cumprod)
        self.prediction_type = prediction_type

    def alpha(self, t: Timestep) -> PerView:
        """α = √ᾱ_t, which is also 1/√(1+σ̃²)."""
        return self.alphas_cumprod[t].sqrt().view(-1, 1, 1, 1)

    def sigma(self, t: Timestep) -> PerView:
        """σ = √(1−ᾱ_t)."""
        return (1 - self.alphas_cumprod[t]).sqrt().view(-1, 1, 1, 1)

    def sigma_ve(self, t: Timestep) -> PerView:
        """σ̃ = σ/α: the noise level where the signal is not scaled (variance exploding)."""
        return self.sigma(t) / self.alpha(t)

    def variance(self, t: Timestep) -> Float[Tensor, " b"]:
        """1 − ᾱ_t: DreamFusion's w(t) on (ε̂ − ε), and the w of CDS."""
        return 1 - self.alphas_cumprod[t]

    def add_noise(self, z: Latent, noise: Latent, t: Timestep) -> Latent:
        """z_t = α z + σ ε."""
        return self.alpha(t) * z + self.sigma(t) * noise

    def target_of(self, z: Latent, noise: Latent, t: Timestep) -> Latent:
        """What the network is trained to predict at z_t: ε, v = α ε − σ z, or z."""
        if self.prediction_type == "epsilon":
            return noise
        if self.prediction_type == "v_prediction":
            return self.alpha(t) * noise - self.sigma(t) * z
        return z

    def noise_of(self, prediction: Latent, z_t: Latent, t: Timestep) -> Latent:
        """ε̂ from the network's output at (z_t, t): σ z_t + α v̂ for v-prediction."""
        alpha, sigma = self.alpha(t), self.sigma(t)
        if self.prediction_type == "epsilon":
            return prediction
        if self.prediction_type == "v_prediction":
            return sigma * z_t + alpha * prediction
        return (z_t - alpha * prediction) / sigma

    def latent_of(self, prediction: Latent, z_t: Latent, t: Timestep) -> Latent:
        """ẑ from the network's output at (z_t, t): α z_t − σ v̂ for v-prediction."""
        alpha, sigma = self.alpha(t), self.sigma(t)
        if self.prediction_type == "epsilon":
            return (z_t - sigma * prediction) / alpha
        if self.prediction_type == "v_prediction":
            return alpha * z_t - sigma * prediction
        return prediction


def scaled_linear_betas(
    start: float = 0.00085, end: float = 0.012, steps: int = 1000
) -> Float[Tensor, " steps"]:
    """β_t of Stable Diffusion and Zero-1-to-3: linear in √β."""
    return torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64).square().float()


def squared_cosine_betas(steps: int = 1000, largest: float = 0.999) -> Float[Tensor, " steps"]:
    """β_t of unCLIP's embedding noise: ᾱ(t) ∝ cos²((t + 0.008)/1.008 · π/2), β capped."""
    time = torch.arange(steps + 1, dtype=torch.float64) / steps
    alpha_bar = torch.cos((time + 0.008) / 1.008 * math.pi / 2).square()
    return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp_max(largest).float()


def alphas_cumprod(betas: Float[Tensor, " steps"]) -> Float[Tensor, " steps"]:
    """ᾱ_t = Π_s≤t (1 − β_s)."""
    return (1 - betas).cumprod(0)
