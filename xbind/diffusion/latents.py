"""Between images in [0, 1] and a prior's latents."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from xbind.diffusion.schedule import Latent

Image = Float[Tensor, "b 3 h w"]


@runtime_checkable
class _Posterior(Protocol):
    def mode(self) -> Tensor: ...


@runtime_checkable
class _Encoded(Protocol):
    @property
    def latent_dist(self) -> _Posterior: ...


@runtime_checkable
class _Decoded(Protocol):
    @property
    def sample(self) -> Tensor: ...


@runtime_checkable
class _Config(Protocol):
    @property
    def scaling_factor(self) -> float: ...


@runtime_checkable
class Decoder(Protocol):
    """Protocol of an autoencoder's decoder, a subset of diffusers' autoencoders."""

    @property
    def config(self) -> _Config:
        """Holds the factor that brings its latents to unit variance: 1 in AutoencoderTiny."""

    def decode(self, z: Tensor, /) -> _Decoded:
        """Unscaled latent to an image in [−1, 1]."""


@runtime_checkable
class Vae(Decoder, Protocol):
    """Protocol of an autoencoder, a subset of diffusers' AutoencoderKL."""

    def encode(self, x: Tensor, /) -> _Encoded:
        """Image in [−1, 1] to the posterior of its latent."""


def resize(image: Float[Tensor, "b c h w"], size: int) -> Float[Tensor, "b c {size} {size}"]:
    """Bilinear resize with aligned pixel centres and no antialiasing; the identity if it fits.

    Two products with constant matrices, so that the gradient is two products as well: every
    engine can run it, which is not true of the gradient of a resize operator.
    """
    rows, columns = (
        None if n == size else _resize_matrix(n, size, image.device).to(image)
        for n in image.shape[-2:]
    )
    image = image if rows is None else rows @ image
    return image if columns is None else image @ columns.T


def _resize_matrix(
    source: int, target: int, device: torch.device
) -> Float[Tensor, "target source"]:
    """Row i holds the weights of the source pixels in target pixel i: a hat around its centre."""
    pixels = torch.arange(target, dtype=torch.float64, device=device)
    centres = (pixels + 0.5) * (source / target) - 0.5
    distance = centres.clamp(0, source - 1)[:, None] - torch.arange(source, device=device)
    return (1 - distance.abs()).clamp_min(0)


def encode(vae: Vae, image: Image) -> Latent:
    """z: the posterior's mode, times the VAE's scaling factor. Differentiable in `image`.

    The mode and not a sample: the posterior of these VAEs is far narrower than any noise that a
    loss adds, and without a draw a step stays a function of its feeds.
    """
    return vae.encode(2 * image - 1).latent_dist.mode() * vae.config.scaling_factor


def decode(vae: Decoder, z: Latent) -> Image:
    """The image of a scaled latent, clamped to [0, 1], where renders live."""
    return (vae.decode(z / vae.config.scaling_factor).sample / 2 + 0.5).clamp(0, 1)


def latent_loss(residual: Latent, weight: Float[Tensor, " b"] | float = 1.0) -> Float[Tensor, ""]:
    """½ λ ‖residual‖²: *sum* over a latent, *mean* over views.

    For a residual z − ẑ its gradient in z is λ (z − ẑ) / b, as Eq. 4, 5 and 10 are printed.
    """
    return (0.5 * weight * residual.square().sum((1, 2, 3))).mean()
