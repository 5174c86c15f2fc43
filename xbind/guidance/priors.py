"""The two diffusion priors, conditioned and guided: z_t → the network's prediction."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xbind.guidance.cfg import classifier_free
from xbind.guidance.noise import Latent, SharedLatent, Timestep


@runtime_checkable
class _Config(Protocol):
    @property
    def class_embed_type(self) -> str | None: ...
    @property
    def in_channels(self) -> int: ...
    @property
    def sample_size(self) -> int: ...


@runtime_checkable
class UNet(Protocol):
    """As much of diffusers' UNet2DConditionModel as a prior uses."""

    @property
    def config(self) -> _Config:
        """Says whether the network takes class labels, and the shape of its latents."""

    def __call__(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        *,
        class_labels: Tensor | None,
        return_dict: bool,
    ) -> tuple[Tensor, ...]:
        """Return the prediction at (z_t, t) as the only element, given `return_dict=False`."""


class UnclipPrior(nn.Module):
    """The 2D prior: guided by the class vector of C_m, under a text context that never changes."""

    context: Float[Tensor, "1 l c"]

    def __init__(self, unet: UNet, context: Float[Tensor, "1 l c"]) -> None:
        """`context` is the encoded empty prompt, used with and without the condition."""
        super().__init__()
        self.unet = unet
        self.register_buffer("context", context)

    def forward(
        self,
        z_t: Latent,
        t: Timestep,
        class_labels: Float[Tensor, "#b d2"],
        cfg_scale: Float[Tensor, ""],
    ) -> Latent:
        """The guided prediction; without a condition the whole class vector is zero."""
        labels = class_labels.expand(len(z_t), -1)
        prediction = self.unet(
            torch.cat([z_t, z_t]),
            torch.cat([t, t]),
            self.context.expand(2 * len(z_t), -1, -1),
            class_labels=torch.cat([labels, torch.zeros_like(labels)]),
            return_dict=False,
        )[0]
        cond, uncond = prediction.chunk(2)
        return classifier_free(cond, uncond, cfg_scale)


class Zero123Prior(nn.Module):
    """The 3D prior: guided by the reference view and the camera's pose relative to it."""

    def __init__(self, unet: UNet) -> None:
        super().__init__()
        self.unet = unet
        self.takes_labels = unet.config.class_embed_type is not None

    def forward(
        self,
        z_t: Latent,
        t: Timestep,
        token: Float[Tensor, "b 1 d"],
        reference_latent: SharedLatent,
        cfg_scale: Float[Tensor, ""],
    ) -> Latent:
        """The guided prediction; without a condition both the token and the latent are zero.

        Args:
            z_t: noisy latents of the views.
            t: their timesteps.
            token: projected embedding of the reference view and relative pose. A network with
                a class embedding gets it there as well.
            reference_latent: VAE mode of the reference view, *not* times the scaling factor.
            cfg_scale: s of `classifier_free`.
        """
        reference = reference_latent.expand_as(z_t)
        conditioned = torch.cat([z_t, reference], 1)
        unconditioned = torch.cat([z_t, torch.zeros_like(reference)], 1)
        tokens = torch.cat([token, torch.zeros_like(token)])
        prediction = self.unet(
            torch.cat([conditioned, unconditioned]),
            torch.cat([t, t]),
            tokens,
            class_labels=tokens[:, 0] if self.takes_labels else None,
            return_dict=False,
        )[0]
        cond, uncond = prediction.chunk(2)
        return classifier_free(cond, uncond, cfg_scale)
