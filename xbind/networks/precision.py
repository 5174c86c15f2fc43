"""A bundle whose frozen networks compute in half, everything between them in float32.

Losses, noise schedules, guidance and the gradient's two ends stay in float32; the networks are cast
once, and what goes in and out of them is cast at the border. Norms, softmax and sums inside of them
are float32 in the graphs (`xbind.export`).
"""

import copy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from xbind.config.options import Precision
from xbind.diffusion.priors import UNet
from xbind.networks.frozen import Bundle

GRADIENT_SCALE = 1024.0
"""Gradients are this much larger inside of a float16 network, where small ones would vanish."""


def dtype_of(precision: Precision) -> torch.dtype:
    """The element type of the networks; a mixed graph is lowered in float16 and changed then."""
    dtype: torch.dtype = getattr(torch, "float16" if precision == "mixed" else precision)
    return dtype


def in_precision(bundle: Bundle, precision: Precision) -> Bundle:
    """The bundle with its networks in `precision`; itself for float32."""
    if precision == "float32":
        return bundle
    dtype = dtype_of(precision)
    scale = GRADIENT_SCALE if dtype == torch.float16 else 1.0
    vaes = {id(p.vae): HalfVae(p.vae, dtype, scale) for p in (bundle.unclip, bundle.zero123)}
    unclip = replace(
        bundle.unclip,
        unet=HalfUNet(bundle.unclip.unet, dtype),
        vae=vaes[id(bundle.unclip.vae)],
    )
    zero123 = replace(
        bundle.zero123,
        unet=HalfUNet(bundle.zero123.unet, dtype),
        vae=vaes[id(bundle.zero123.vae)],
    )
    encoder: Any = HalfEncoder(bundle.bind.model, dtype)  # all that an export calls of it
    bind = replace(bundle.bind, model=encoder)
    clip = HalfClip(bundle.clip, dtype, scale)
    taesd = None if bundle.taesd is None else HalfVae(bundle.taesd, dtype, scale)
    return replace(bundle, unclip=unclip, zero123=zero123, bind=bind, clip=clip, taesd=taesd)


def gradient_scale(unet: UNet) -> float:
    """How much larger than they are gradients must be inside of a UNet of the bundle."""
    is_float16 = isinstance(unet, HalfUNet) and unet.dtype == torch.float16
    return GRADIENT_SCALE if is_float16 else 1.0


class _Scaled(Function):
    """x, with its gradient times a factor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:  # noqa: ANN401
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, y_bar: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        return y_bar * ctx.factor, None


def _enter(x: Tensor, dtype: torch.dtype, scale: float) -> Tensor:
    """Into a network: its gradient comes back at its true size."""
    return _scaled(x, 1 / scale).to(dtype)


def _leave(y: Tensor, scale: float) -> Tensor:
    """Out of a network: the gradient that goes in is enlarged, before it is cast."""
    return _scaled(y.float(), scale)


def _scaled(x: Tensor, factor: float) -> Tensor:
    scaled: Tensor = x if factor == 1 else _Scaled.apply(x, factor)  # type: ignore[no-untyped-call]
    return scaled


def _cast(net: Any, dtype: torch.dtype) -> Any:  # noqa: ANN401
    """A copy in another type; the bundle's own networks stay as they are."""
    if all(p.dtype == dtype for p in net.parameters()):
        return net
    # nn.Module's own `to`: that of diffusers warns of modules it would rather keep as they are.
    return nn.Module.to(copy.deepcopy(net), dtype).requires_grad_(False)


class HalfUNet(nn.Module):
    """A UNet in half. What differentiates it scales its loss: see `gradient_scale`."""

    def __init__(self, unet: Any, dtype: torch.dtype) -> None:  # noqa: ANN401
        super().__init__()
        self.net, self.dtype, self.config = _cast(unet, dtype), dtype, unet.config

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        *,
        class_labels: Tensor | None,
        return_dict: bool,
    ) -> tuple[Tensor, ...]:
        """Return the prediction in float32 as the only element."""
        labels = None if class_labels is None else class_labels.to(self.dtype)
        states = encoder_hidden_states.to(self.dtype)
        (prediction,) = self.net(
            sample.to(self.dtype), timestep, states, class_labels=labels, return_dict=return_dict
        )
        return (prediction.float(),)


class HalfVae(nn.Module):
    """A VAE in half, differentiable in the image that it encodes."""

    def __init__(self, vae: Any, dtype: torch.dtype, scale: float) -> None:  # noqa: ANN401
        super().__init__()
        self.net, self.dtype, self.scale = _cast(vae, dtype), dtype, scale
        self.config = vae.config

    def encode(self, x: Tensor) -> SimpleNamespace:
        """Image in [−1, 1] to an object with `latent_dist.mode()`."""
        mode = self.net.encode(_enter(x, self.dtype, self.scale)).latent_dist.mode()
        latent = _leave(mode, self.scale)
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: latent))

    def decode(self, z: Tensor) -> SimpleNamespace:
        """Latent to an object with `sample`."""
        return SimpleNamespace(sample=self.net.decode(z.to(self.dtype)).sample.float())


class HalfClip(nn.Module):
    """A CLIPVisionModelWithProjection in half, differentiable in its pixels."""

    def __init__(self, clip: nn.Module, dtype: torch.dtype, scale: float) -> None:
        super().__init__()
        self.net, self.dtype, self.scale = _cast(clip, dtype), dtype, scale

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        """Pixels to an object with `image_embeds`."""
        embeds = self.net(pixel_values=_enter(pixel_values, self.dtype, self.scale)).image_embeds
        return SimpleNamespace(image_embeds=_leave(embeds, self.scale))


class HalfEncoder(nn.Module):
    """The aligned encoder in half."""

    def __init__(self, model: Any, dtype: torch.dtype) -> None:  # noqa: ANN401
        super().__init__()
        self.net, self.dtype, self.config = _cast(model, dtype), dtype, model.config

    def embed(self, modality: Any, x: Tensor) -> Tensor:  # noqa: ANN401
        """Unit vectors in float32."""
        given = x.to(self.dtype) if x.is_floating_point() else x
        raw: Tensor = self.net.raw(modality, given).float()
        return nn.functional.normalize(raw, dim=-1)
