"""The priors' loss, and its weights by noise level."""

from collections.abc import Mapping
from typing import Literal

from jaxtyping import Bool, Float
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


def prior_losses(
    error: Float[Tensor, " b"],
    is_normal: Bool[Tensor, " b"],
    alpha_bar: Float[Tensor, " b"],
    gamma: float | None,
) -> Mapping[str, Tensor]:
    """Terms of a prior's training step, from the mean squared error of v of each sample.

    Args:
        error: the errors.
        is_normal: True for samples that are normal maps.
        alpha_bar: ᾱ of each sample's timestep, in (0, 1).
        gamma: γ of the Min-SNR weights, or None for equal weights.

    Returns:
        `loss`, which is differentiated; `colour` and `normal`, the mean errors of colour views and
        of normal maps (0 if there are none); with γ also `error`, the mean without weights.
    """
    normal = is_normal.float()
    mean = error.mean()
    terms = {
        "loss": mean,
        "colour": (error * (1 - normal)).sum() / (1 - normal).sum().clamp_min(1),
        "normal": (error * normal).sum() / normal.sum().clamp_min(1),
    }
    if gamma is None:
        return terms
    weights = min_snr_weights(alpha_bar, gamma, "v")
    return terms | {"loss": (weights * error).mean(), "error": mean}
