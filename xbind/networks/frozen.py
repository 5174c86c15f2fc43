"""The frozen networks of a bundle, in memory; `load` reads them."""

from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xbind.diffusion.latents import Decoder, Vae
from xbind.diffusion.priors import UNet, takes_labels
from xbind.diffusion.schedule import NoiseSchedule
from xbind.models.bind import BindModel
from xbind.models.bind_config import Modality
from xbind.models.convnet import ConvNet
from xbind.models.inputs import DepthConfig, FbankConfig
from xbind.models.patches import project_patches
from xbind.models.text_encoder import TextEncoder
from xbind.models.tokenizer import Tokenizer
from xbind.networks.manifest import BundleManifest
from xbind.scene.cameras import OWN_POSE_SCALE, turned_pose


@dataclass(frozen=True, slots=True)
class AlignedEncoder:
    """The encoder C(·) with the preparation of each modality."""

    model: BindModel
    tokenizer: Tokenizer
    groups: dict[str, list[str]]
    """The words of a closed vocabulary by kind, for messages."""
    fbank: FbankConfig
    depth: DepthConfig
    norms: dict[str, float]
    """Modality → length at which its embedding conditions the 2D prior."""
    names: tuple[str, ...] = ()
    """Of an open vocabulary: names of things to compare prompts with; empty where the bundle brings
    none."""

    @property
    def device(self) -> torch.device:
        """Device of its embeddings."""
        return next(self.model.parameters()).device

    def embed(self, modality: Modality, x: Tensor) -> Float[Tensor, "b d"]:
        """Unit vectors of prepared inputs, which may be on any device: see `BindModel.embed`."""
        return self.model.embed(modality, x.to(self.device))

    @property
    def text_scale(self) -> float:
        """Factor of cosines with texts in the softmax that the encoder was trained with (1/τ)."""
        unit = torch.ones(1, self.model.config.embed_dim, device=self.device)
        scaling = self.model.modality_postprocessors["text"]
        return float(scaling(unit).norm())


@dataclass(frozen=True, slots=True)
class Unclip:
    """The 2D prior."""

    unet: UNet
    vae: Vae
    schedule: NoiseSchedule
    contexts: Float[Tensor, "n l c"]
    """Encoded texts: the empty prompt, and, in a bundle with view words, one for each other row of
    `VIEW_WORDS`. A prior with a text encoder reads the contexts of the prompt in their place."""
    mean: Float[Tensor, " d"]
    """Mean of the embedding normaliser."""
    std: Float[Tensor, " d"]
    """Standard deviation of the embedding normaliser."""
    noising_alphas_cumprod: Float[Tensor, " steps"]
    """ᾱ of the schedule that noises embeddings."""
    image_size: int
    """Side of the images that guidance shows it, in pixels."""
    text_encoder: TextEncoder | None = None
    """Encodes the text of a prompt, for a prior that reads nothing else; always on the CPU."""

    @property
    def takes_labels(self) -> bool:
        """True if it reads C_m, from a class vector."""
        return takes_labels(self.unet)

    @property
    def null_context(self) -> Float[Tensor, "1 l c"]:
        """The encoded empty prompt."""
        return self.contexts[:1]

    @property
    def has_view_words(self) -> bool:
        """True if there is a context for the direction of a view."""
        return len(self.contexts) > 1

    @property
    def reads_text(self) -> bool:
        """True if its attention to a text can differ from place to place: under several tokens."""
        return self.contexts.shape[1] > 1

    @property
    def drawn_size(self) -> int:
        """Side of the images that it draws: the size it was trained at, in pixels."""
        side: int = self.unet.config.sample_size
        return side << _halvings(self.vae)

    @property
    def latent_px(self) -> int:
        """Side of the square of pixels that one place of a latent stands for."""
        return 1 << _halvings(self.vae)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a latent of `image_size`."""
        return self.latent_shape_at(self.image_size)

    def latent_shape_at(self, size: int) -> tuple[int, int, int]:
        """Channels, height and width of a latent of an image of `size` pixels a side."""
        return _latent_shape(self.vae, size)


@dataclass(frozen=True, slots=True)
class Zero123:
    """The 3D prior."""

    unet: UNet
    vae: Vae
    schedule: NoiseSchedule
    image_encoder: nn.Module
    projection: nn.Linear
    """[image embedding ; camera vector (; the view's own pose)] → one token."""
    embedding_norm: float | None
    """Length to which the image embedding is brought; None leaves it raw."""
    image_size: int
    """Side of its images, in pixels."""
    view: ConvNet | None = None
    """Reads the reference's pose, where the projection is told the view's own as well."""

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a latent of `image_size`."""
        return _latent_shape(self.vae, self.image_size)

    @property
    def embedding_dim(self) -> int:
        """Length of the image embedding."""
        return self.projection.in_features - (4 if self.view is None else 7)

    def seen_pose(self, image: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b 3"]:
        """What is read off pictures in [0, 1]: see `turned_pose`; zeros if nothing reads them."""
        if self.view is None:
            return torch.zeros(len(image), 3, device=image.device)
        with torch.inference_mode():
            return self.view(image)[:, :3].clone()

    def token(
        self,
        embedding: Float[Tensor, "b d"],
        seen: Float[Tensor, "b 3"],
        relative: Float[Tensor, "b 4"],
    ) -> Float[Tensor, "b 1 c"]:
        """c(x_r, R, T).

        Args:
            embedding: of x_r, as `embed_reference_image` makes it.
            seen: the pose of x_r, as `seen_pose` reads it.
            relative: what `relative_pose` returned.
        """
        told = [embedding, relative]
        if self.view is not None:
            told.append(OWN_POSE_SCALE * turned_pose(seen, relative))
        with torch.no_grad():
            token: Tensor = self.projection(torch.cat(told, 1))
        return token[:, None]


def _halvings(vae: Any) -> int:  # noqa: ANN401
    return len(vae.config.block_out_channels) - 1


def _latent_shape(vae: Any, image_size: int) -> tuple[int, int, int]:  # noqa: ANN401
    side = image_size >> _halvings(vae)
    return vae.config.latent_channels, side, side


@dataclass(frozen=True, slots=True)
class Bundle:
    """Everything frozen."""

    manifest: BundleManifest
    bind: AlignedEncoder
    clip: nn.Module
    """CLIPVisionModelWithProjection of the MS loss."""
    clip_size: int
    """Side of its images, in pixels."""
    unclip: Unclip
    zero123: Zero123
    view: ConvNet | None
    """Estimates the elevation and azimuth of a reference view, and how its object is framed."""
    taesd: Decoder | None = None
    """A small decoder of both priors' latents, for x̂."""

    def to(self, device: torch.device, *, guiding: bool = True) -> "Bundle":
        """The bundle on another device; its networks are moved, not copied.

        Args:
            device: where they are wanted.
            guiding: False leaves what is only called in guidance steps where it is (UNets, TAESD,
                the MS loss's encoder): engines have weights of their own.
        """
        moved = [self.bind.model, self.unclip.vae, self.zero123.vae, self.zero123.image_encoder]
        moved += [self.unclip.schedule, self.zero123.schedule, self.zero123.projection]
        moved += [view for view in (self.view, self.zero123.view) if view is not None]
        if guiding:
            moved += [self.unclip.unet, self.zero123.unet, self.clip]
            if device.type == "cuda":
                project_patches(self.clip)
            moved += [] if self.taesd is None else [self.taesd]
        for net in moved:
            nn.Module.to(cast(nn.Module, net), device)
        tensors = ("contexts", "mean", "std", "noising_alphas_cumprod")
        there = {name: getattr(self.unclip, name).to(device) for name in tensors}
        return replace(self, unclip=replace(self.unclip, **there))
