"""Priors whose answers are known in closed form, and tiny random ones. Nothing imports xbind."""

from types import SimpleNamespace

import torch
from torch import nn


class LinearVae(nn.Module):
    """2×2 pixels to 12 channels by an orthogonal matrix: its own pseudo-inverse, exactly."""

    def __init__(self, scaling_factor=0.5, seed=0):
        super().__init__()
        self.config = SimpleNamespace(scaling_factor=scaling_factor)
        noise = torch.randn(
            12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
        )
        self.register_buffer("q", torch.linalg.qr(noise).Q)

    def encode(self, x):
        z = torch.einsum("ij,bjhw->bihw", self.q, nn.functional.pixel_unshuffle(x, 2))
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: z))

    def decode(self, z):
        x = torch.einsum("ij,bihw->bjhw", self.q, z)
        return SimpleNamespace(sample=nn.functional.pixel_shuffle(x, 2))


class ExactUNet(nn.Module):
    """The exact network for latents that are i.i.d. mixtures of N(mean_i, s²), by prediction type.

    The class label's first entry moves every mean, so a zero label is the unconditional prior.
    A prior that is given twice the channels reads its mean from the second half as well.
    """

    def __init__(self, alphas_cumprod, prediction_type, *, s=0.7, means=(0.0,), channels=12):
        super().__init__()
        self.config = SimpleNamespace(class_embed_type="projection")
        self.alphas_cumprod, self.prediction_type = alphas_cumprod, prediction_type
        self.s, self.means, self.channels = s, means, channels
        self.calls = []

    def forward(self, sample, timestep, encoder_hidden_states, *, class_labels, return_dict):
        assert return_dict is False
        self.calls.append((sample, timestep, encoder_hidden_states, class_labels))
        z_t, extra = sample[:, : self.channels], sample[:, self.channels :]
        shift = class_labels[:, :1, None, None] + (extra if extra.shape[1] else 0)
        a2 = self.alphas_cumprod[timestep].view(-1, 1, 1, 1)
        eps = exact_noise(z_t, a2, self.s, [m + shift for m in self.means])
        alpha, sigma = a2**0.5, (1 - a2) ** 0.5
        z = (z_t - sigma * eps) / alpha
        return (
            {"epsilon": eps, "sample": z, "v_prediction": alpha * eps - sigma * z}[
                self.prediction_type
            ],
        )


def exact_noise(z_t, a2, s, means):
    """E[ε | z_t] = −σ ∇log p_t(z_t) for the mixture of N(√ᾱ mean, ᾱ s² + 1 − ᾱ)."""
    variance = a2 * s * s + 1 - a2
    offsets = torch.stack([z_t - a2**0.5 * m for m in means])
    share = torch.softmax(-(offsets**2) / (2 * variance), 0)
    return (1 - a2) ** 0.5 * (share * offsets).sum(0) / variance


def tiny_vae(seed=0):
    """A random AutoencoderKL: 16 px to 4×8×8."""
    from diffusers import AutoencoderKL

    torch.manual_seed(seed)
    return AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=16,
    )


def tiny_unet(in_channels=4, labels=12, seed=0):
    """A random UNet2DConditionModel on 8×8 latents with one cross-attention block."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(seed)
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=in_channels,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        norm_num_groups=4,
        cross_attention_dim=12,
        attention_head_dim=4,
        class_embed_type="projection" if labels else None,
        projection_class_embeddings_input_dim=labels or None,
    )
