"""Inputs to record and to compare graphs on: of the kind and range that a run feeds them.

Standard normal numbers would hide what overflows; here images show something on white, latents come
from the VAE, and conditions have the lengths that the priors were trained on.
"""

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from xbind.config.presets import CdsConfig, GuidanceConfig
from xbind.diffusion.latents import encode
from xbind.diffusion.timesteps import cds_clamp
from xbind.diffusion.unclip import unclip_condition
from xbind.models.preprocess import normalise_image
from xbind.networks.frozen import Bundle, Unclip, Zero123
from xbind.networks.graphs import BIND, GraphRequest
from xbind.networks.trial import shaded_balls

Feeds = dict[str, Tensor]
MANY = 8
"""From this batch on, a plain UNet's inputs are spread over the whole schedule."""
OF_ZERO123 = ("sds3d", "sds3d_img", "sds3d_tiny", "unet3d")
"""Graphs whose latents are the 3D prior's."""
CDS_GAP = 150
"""t₁ − t₂, in the middle of `CdsConfig.gap`."""


@torch.no_grad()
def trial_feeds(
    bundle: Bundle, request: GraphRequest, noise_share: float, generator: torch.Generator
) -> Feeds:
    """One set of inputs of a graph.

    Args:
        bundle: the frozen networks.
        request: the graph.
        noise_share: timestep as a share of the schedule, in (0, 1).
        generator: source of every draw.
    """
    draw = _Draw(bundle, request, noise_share, generator)
    match request.name:
        case "sds2d" | "sds2d_img" | "sds2d_tiny":
            return draw.step(w_img=request.name != "sds2d") | draw.unclip()
        case "sds3d" | "sds3d_img" | "sds3d_tiny":
            return draw.step(w_img=request.name != "sds3d") | draw.zero123()
        case "cds2d":
            return draw.cds2d()
        case "ms":
            return draw.ms()
        case "unet2d":
            return draw.unet2d()
        case "unet3d":
            return draw.unet3d()
        case "vae_encode":
            return {"image": draw.image(request.batch, request.size)}
        case "vae_decode":
            return {"z": draw.latent(request.batch)}
        case "clip_image":
            return {"pixels": normalise_image(draw.image(request.batch, request.size))}
        case _:
            return {"x": draw.modality(request.name.removeprefix(BIND))}


class _Draw:
    """The parts that several graphs share."""

    def __init__(
        self, bundle: Bundle, request: GraphRequest, share: float, generator: torch.Generator
    ) -> None:
        self.bundle, self.request, self.generator = bundle, request, generator
        self.t = int(share * len(bundle.unclip.schedule.alphas_cumprod))

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.generator)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator)

    def image(self, count: int, size: int) -> Float[Tensor, "b 3 s s"]:
        return shaded_balls(count, size, self.generator)

    def steps(self, count: int) -> Tensor:
        return torch.full((count,), self.t)

    def prior(self) -> Unclip | Zero123:
        return self.bundle.zero123 if self.request.name in OF_ZERO123 else self.bundle.unclip

    def prior_size(self) -> int:
        """Side of the prior's images: what it draws where it draws, else what guidance shows it."""
        if self.request.shown:
            return self.request.shown
        drawn = self.request.name in ("unet2d", "vae_decode")
        return self.bundle.unclip.drawn_size if drawn else self.prior().image_size

    def latent_noise(self, count: int) -> Tensor:
        prior = self.prior()
        side = prior.latent_shape[1] * self.prior_size() // prior.image_size
        return self.normal(count, prior.latent_shape[0], side, side)

    def latent(self, count: int) -> Tensor:
        prior = self.prior()
        return encode(prior.vae, self.image(count, self.prior_size()))

    def spread_steps(self, count: int) -> Tensor:
        """Timesteps of a large batch: all over the schedule, so that one trial sees them all."""
        if count < MANY:
            return self.steps(count)
        last = len(self.bundle.unclip.schedule.alphas_cumprod) - 1
        return torch.linspace(0.02 * last, 0.98 * last, count).long()

    def noisy_latent(self, steps: Tensor) -> Tensor:
        count = len(steps)
        noise = self.latent_noise(count)
        return self.bundle.unclip.schedule.add_noise(self.latent(count), noise, steps)

    def step(self, *, w_img: bool) -> Feeds:
        b = self.request.batch
        feeds = {
            "image": self.image(b, self.request.size),
            "noise": self.latent_noise(b),
            "t": self.steps(b),
            "weight": torch.ones(b),
        }
        return feeds | ({"w_img": torch.tensor(GuidanceConfig().w_img)} if w_img else {})

    def unclip(self) -> Feeds:
        scale = torch.tensor(GuidanceConfig().cfg_2d)
        return {"class_labels": self.class_labels(1), "cfg_scale": scale}

    def class_labels(self, count: int) -> Tensor:
        unclip = self.bundle.unclip
        length = next(iter(self.bundle.bind.norms.values()))
        embedding = length * normalize(self.normal(count, len(unclip.mean)), dim=-1)
        return unclip_condition(
            embedding, torch.zeros(count, dtype=torch.long), self.normal(*embedding.shape),
            mean=unclip.mean, std=unclip.std, alphas_cumprod=unclip.noising_alphas_cumprod,
        )  # fmt: skip

    def zero123(self) -> Feeds:
        return {
            "token": self.token(self.request.batch),
            "reference_latent": self.reference_latent(),
            "cfg_scale": torch.tensor(GuidanceConfig().cfg_3d),
        }

    def token(self, count: int) -> Tensor:
        zero123 = self.bundle.zero123
        relative, seen = 2 * self.uniform(count, 4) - 1, 2 * self.uniform(count, 3) - 1
        embedding = self.normal(count, zero123.embedding_dim)
        length = zero123.embedding_norm
        embedding = embedding if length is None else length * normalize(embedding, dim=-1)
        return zero123.token(embedding, seen, relative)

    def reference_latent(self) -> Tensor:
        vae = self.bundle.zero123.vae
        image = self.image(1, self.bundle.zero123.image_size)
        return encode(vae, image) / vae.config.scaling_factor

    def cds2d(self) -> Feeds:
        b, step = self.request.batch, self.step(w_img=False)
        t_1 = self.steps(b).clamp(CDS_GAP, 500)
        pair = {"eps_star": self.latent_noise(1), "t_1": t_1, "t_2": t_1 - CDS_GAP}
        weight = self.bundle.unclip.schedule.variance(t_1)
        last = {"weight": weight, "clamp": torch.tensor(cds_clamp(0.5, CdsConfig()))}
        return {"image": step["image"]} | pair | self.unclip() | last

    def ms(self) -> Feeds:
        k, d = self.request.batch, self.bundle.bind.model.config.embed_dim
        return {
            "augmented": normalise_image(self.image(k, self.request.size)),
            "c_m": normalize(self.normal(d), dim=0),
            "weight": torch.full((k,), 1 / k),
        }

    def unet2d(self) -> Feeds:
        b = self.request.batch
        steps = self.spread_steps(b)
        return {
            "sample": self.noisy_latent(steps),
            "timestep": steps,
            "encoder_hidden_states": self.bundle.unclip.context.expand(b, -1, -1).contiguous(),
            "class_labels": self.class_labels(b),
        }

    def unet3d(self) -> Feeds:
        b, token = self.request.batch, self.token(self.request.batch)
        reference = self.reference_latent().expand(b, -1, -1, -1)
        steps = self.spread_steps(b)
        feeds = {
            "sample": torch.cat([self.noisy_latent(steps), reference], 1),
            "timestep": steps,
            "encoder_hidden_states": token,
        }
        labelled = self.bundle.zero123.unet.config.class_embed_type is not None
        return feeds | ({"class_labels": token[:, 0]} if labelled else {})

    def modality(self, name: str) -> Tensor:
        encoder, b = self.bundle.bind, self.request.batch
        if name == "text":
            return torch.tensor([encoder.tokenizer.encode(encoder.tokenizer.example).ids] * b)
        height, width = cast(Any, encoder.model.config.trunks[name]).input_size
        match name:
            case "vision":
                return normalise_image(self.image(b, height))
            case "audio":
                return self.normal(b, 1, height, width)
            case "imu":
                return self.normal(b, height, width)
            case _:
                return self.uniform(b, 1, height, width)
