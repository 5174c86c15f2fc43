"""The two diffusion priors, conditioned and guided: z_t → the network's prediction."""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xbind.diffusion.cfg import classifier_free
from xbind.diffusion.schedule import Latent, SharedLatent, Timestep


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
    """Protocol of a UNet, a subset of diffusers' UNet2DConditionModel."""

    @property
    def config(self) -> _Config:
        """Configuration with the class-embedding type and the shape of latents."""

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


def takes_labels(unet: UNet) -> bool:
    """Returns True if a network has a class embedding."""
    return unet.config.class_embed_type is not None


def condition_feeds(unet: UNet) -> tuple[str, ...]:
    """Names of the feeds that tell the 2D prior what is wanted."""
    return (*(("class_labels",) if takes_labels(unet) else ()), "context", "null_context")


class Prior2d(nn.Module):
    """The 2D prior: guided by a text context for each view, and by the class vector of C_m.

    A network without a class embedding reads the text alone, and no class vector.
    """

    def __init__(self, unet: UNet, *, two_passes: bool = False) -> None:
        super().__init__()
        self.unet, self.two_passes = unet, two_passes
        self.takes_labels = takes_labels(unet)

    def forward(
        self,
        z_t: Latent,
        t: Timestep,
        class_labels: Float[Tensor, "#b d2"] | None,
        context: Float[Tensor, "#b l c"],
        null_context: Float[Tensor, "1 l c"],
        cfg_scale: Float[Tensor, ""],
    ) -> Latent:
        """The guided prediction; without a condition the whole class vector is zero.

        Args:
            z_t: noisy latents of the views.
            t: their timesteps.
            class_labels: unCLIP's class vector of C_m; None for a network without class embedding.
            context: the encoded text of each view.
            null_context: the encoded empty prompt, which stands for no text.
            cfg_scale: s of `classifier_free`.
        """
        cond, uncond = self.predict(z_t, t, class_labels, null_context, context)
        return classifier_free(cond, uncond, cfg_scale)

    def predict(
        self,
        z_t: Latent,
        t: Timestep,
        class_labels: Float[Tensor, "#b d2"] | None,
        null_context: Float[Tensor, "1 l c"],
        *contexts: Float[Tensor, "#b l c"],
    ) -> tuple[Latent, ...]:
        """Predictions under several texts, and after the first one that without a condition."""
        first, *others = [(z_t, class_labels, context) for context in contexts]
        zero = None if class_labels is None else torch.zeros_like(class_labels)
        return self._predict(t, [first, (z_t, zero, null_context), *others])

    def predict_each(
        self,
        z_ts: Sequence[Latent],
        t: Timestep,
        class_labels: Float[Tensor, "#b d2"] | None,
        context: Float[Tensor, "#b l c"],
    ) -> tuple[Latent, ...]:
        """Predictions for several batches of latents at the same timesteps, under one condition."""
        return self._predict(t, [(z_t, class_labels, context) for z_t in z_ts])

    def _predict(
        self, t: Timestep, parts: Sequence[tuple[Tensor, Tensor | None, Tensor]]
    ) -> tuple[Latent, ...]:
        """Predictions for parts (z_t, class vectors, context)."""
        rows: list[tuple[Tensor, ...]] = []
        for z_t, labels, context in parts:
            row = (z_t, context.expand(len(z_t), -1, -1))
            if labels is None or not self.takes_labels:
                rows.append(row)
            else:
                rows.append((*row, labels.expand(len(z_t), -1)))
        return _each(
            lambda z, steps, context, labels=None: self.unet(
                z, steps, context, class_labels=labels, return_dict=False
            )[0],
            t,
            rows,
            two_passes=self.two_passes,
        )


class Zero123Prior(nn.Module):
    """The 3D prior: guided by the reference view and the camera's pose relative to it."""

    def __init__(self, unet: UNet, *, two_passes: bool = False) -> None:
        super().__init__()
        self.unet, self.two_passes = unet, two_passes
        self.takes_labels = takes_labels(unet)

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
        halves = ((conditioned, token), (unconditioned, torch.zeros_like(token)))
        cond, uncond = _each(
            lambda z, steps, tokens: self.unet(
                z, steps, tokens, return_dict=False,
                class_labels=tokens[:, 0] if self.takes_labels else None,
            )[0],
            t, halves, two_passes=self.two_passes,
        )  # fmt: skip
        return classifier_free(cond, uncond, cfg_scale)


def _each(
    predict: Callable[..., Tensor],
    t: Timestep,
    parts: Sequence[tuple[Tensor, ...]],
    *,
    two_passes: bool,
) -> tuple[Latent, ...]:
    """Predictions for each part, from one call at a multiple of the batch or from a call each."""
    if two_passes:
        return tuple(predict(z, t, *others) for z, *others in parts)
    z, *others = (torch.cat(column) for column in zip(*parts, strict=True))
    return predict(z, torch.cat([t] * len(parts)), *others).chunk(len(parts))
