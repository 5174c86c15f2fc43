"""Weights of the priors' loss by noise level."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor

Prediction = Literal["v", "epsilon"]
"""What a network predicts."""


def min_snr_weights(
    alpha_bar: Float[Tensor, " b"], gamma: float, prediction: Prediction
) -> Float[Tensor, " b"]:
    """Min-SNR-γ weights of squared errors (Hang et al. 2023, arXiv 2303.09556, section 3.4).

    An error of the clean latents counts min(SNR, γ) times, with SNR = ᾱ / (1 − ᾱ). Their squared
    error is that of ε divided by SNR, and that of v divided by SNR + 1. So the weights are
    min(SNR, γ) / SNR = min(1, γ (1 − ᾱ) / ᾱ) for ε, and
    min(SNR, γ) / (SNR + 1) = min(ᾱ, γ (1 − ᾱ)) for v.

    Args:
        alpha_bar: ᾱ of each sample's timestep, in (0, 1).
        gamma: γ; the paper's is 5.
        prediction: what the squared errors are of.
    """
    if prediction == "epsilon":
        return (gamma * (1 - alpha_bar) / alpha_bar).clamp_max(1.0)
    return alpha_bar.minimum(gamma * (1 - alpha_bar))
