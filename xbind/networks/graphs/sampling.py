"""Sample inputs of graphs: of the kind and range that a run gives them.

Standard normal numbers would hide what overflows; here images show something on white, latents come
from the VAE, and conditions have the lengths that the priors were trained on.
"""

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from xbind.config.method import GuidanceConfig
from xbind.config.terms import PerpNegConfig
from xbind.diffusion.estimator import Estimator, Theta
from xbind.diffusion.latents import encode
from xbind.diffusion.perp_neg import perp_neg_feeds
from xbind.diffusion.unclip import unclip_condition
from xbind.models.bind_config import Modality
from xbind.models.preprocess import normalise_image
from xbind.networks.frozen import Bundle, Unclip, Zero123
from xbind.networks.graphs.size import GraphRequest
from xbind.scene.cameras import Cameras

TRAINED_CHANGE = 0.1
"""Standard deviation of what training is taken to have added to each number of an estimator: the
length of 50 iterations of AdamW at the rate of `EstimatorConfig`."""
MANY = 8
"""From this batch on, a plain UNet's inputs are spread over the whole schedule."""


class InputSampler:
    """Draws inputs of one graph; a `GraphDef` puts them together.

    Sizes are sides in pixels, or those of the graph where none is given.
    """

    def __init__(
        self, bundle: Bundle, request: GraphRequest, share: float, generator: torch.Generator
    ) -> None:
        """Take what does not change.

        Args:
            bundle: the frozen networks.
            request: the graph.
            share: timestep as a share of the schedule, in (0, 1).
            generator: source of every draw.
        """
        self.bundle, self.request, self.generator = bundle, request, generator
        self.batch = request.batch
        self.t = int(share * len(bundle.unclip.schedule.alphas_cumprod))

    def uniform(self, *shape: int) -> Tensor:
        """Numbers in [0, 1)."""
        return torch.rand(*shape, generator=self.generator)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers."""
        return torch.randn(*shape, generator=self.generator)

    def image(self, size: int | None = None, count: int | None = None) -> Float[Tensor, "b 3 s s"]:
        """Images in [0, 1] that show something on white."""
        size = self.request.size if size is None else size
        return shaded_balls(self.batch if count is None else count, size, self.generator)

    def picture_latents(self) -> Float[Tensor, "b c s s"]:
        """Pictures that stand for latents: channels in [−1, 1], and a mask where there are four."""
        channels, image = self.bundle.unclip.latent_shape[0], self.image()
        mask = (image.amin(1, keepdim=True) < 1).to(image)
        return torch.cat([2 * image - 1, mask], 1)[:, :channels]

    def timesteps(self) -> Tensor:
        """The timestep of the sampler, for each row."""
        return torch.full((self.batch,), self.t)

    def spread_timesteps(self) -> Tensor:
        """Timesteps of a large batch: all over the schedule, so that one trial sees them all."""
        if self.batch < MANY:
            return self.timesteps()
        last = len(self.bundle.unclip.schedule.alphas_cumprod) - 1
        return torch.linspace(0.02 * last, 0.98 * last, self.batch).long()

    def latent(self, prior: Unclip | Zero123, size: int) -> Tensor:
        """Latents of images."""
        return encode(prior.vae, self.image(size))

    def latent_noise(
        self, prior: Unclip | Zero123, size: int | None = None, count: int | None = None
    ) -> Tensor:
        """Noise of the shape of latents; by default of the images that a step shows the prior."""
        size = (self.request.shown or prior.image_size) if size is None else size
        channels, height, _ = prior.latent_shape
        side = height * size // prior.image_size
        return self.normal(self.batch if count is None else count, channels, side, side)

    def noisy_latent(self, prior: Unclip | Zero123, steps: Tensor, size: int) -> Tensor:
        """Latents of images with the noise of their timesteps."""
        noise = self.latent_noise(prior, size)
        return prior.schedule.add_noise(self.latent(prior, size), noise, steps)

    def class_labels(self, count: int) -> Tensor:
        """The 2D prior's class vectors."""
        unclip = self.bundle.unclip
        length = next(iter(self.bundle.bind.norms.values()))
        embedding = length * normalize(self.normal(count, len(unclip.mean)), dim=-1)
        return unclip_condition(
            embedding, torch.zeros(count, dtype=torch.long), self.normal(*embedding.shape),
            mean=unclip.mean, std=unclip.std, alphas_cumprod=unclip.noising_alphas_cumprod,
        )  # fmt: skip

    def token(self) -> Tensor:
        """The 3D prior's conditions c(x_r, R, T)."""
        zero123, b = self.bundle.zero123, self.batch
        relative, seen = 2 * self.uniform(b, 4) - 1, 2 * self.uniform(b, 3) - 1
        embedding = self.normal(b, zero123.embedding_dim)
        length = zero123.embedding_norm
        embedding = embedding if length is None else length * normalize(embedding, dim=-1)
        return zero123.token(embedding, seen, relative)

    def reference_latent(self) -> Tensor:
        """The 3D prior's latent of x_r, not scaled."""
        vae = self.bundle.zero123.vae
        image = self.image(self.bundle.zero123.image_size, 1)
        return encode(vae, image) / vae.config.scaling_factor

    def context(self) -> Float[Tensor, "b l c"]:
        """Text contexts: one view word after the other, or the empty prompt alone."""
        contexts = self.bundle.unclip.contexts
        return contexts[(torch.arange(self.batch) + 1) % len(contexts)]

    def unclip_guidance(self) -> dict[str, Tensor]:
        """Condition of each view and guidance scale of the 2D prior."""
        unclip = self.bundle.unclip
        return {
            **({"class_labels": self.class_labels(1)} if unclip.takes_labels else {}),
            "context": self.context(),
            "null_context": unclip.null_context,
            "cfg_scale": torch.tensor(GuidanceConfig().cfg_2d),
        }

    def perp_neg(self) -> dict[str, Tensor]:
        """Contexts of Perp-Neg for views all around, at a weight of 1."""
        elevation, azimuth = torch.zeros(self.batch), 360 * self.uniform(self.batch)
        feeds = perp_neg_feeds(
            self.bundle.unclip.contexts, elevation, azimuth,
            overhead_deg=GuidanceConfig().overhead_deg, factor=1.0, config=PerpNegConfig(),
        )  # fmt: skip
        return {
            "context": feeds.context,
            "negatives": feeds.negatives,
            "negative_weights": feeds.weights,
        }

    def theta(self, estimator: Estimator) -> Theta:
        """θ of an estimator that has been trained: with B = 0 half of its gradient would vanish."""
        start = estimator.start(self.request.rank, self.generator)
        return start + TRAINED_CHANGE * self.normal(len(start))

    def camera(self) -> Float[Tensor, "b 16"]:
        """Camera-to-world matrices of views all around."""
        azimuth, one = 360 * self.uniform(self.batch), torch.ones(self.batch)
        return Cameras(15 * one, azimuth, 2.5 * one, 40 * one).camera_to_world().flatten(1)

    def modality(self, name: Modality) -> Tensor:
        """Prepared inputs of the aligned encoder."""
        encoder, b = self.bundle.bind, self.batch
        if name == "text":
            return torch.tensor([encoder.tokenizer.encode(encoder.tokenizer.example).ids] * b)
        height, width = cast(Any, encoder.model.config.trunks[name]).input_size
        match name:
            case "vision":
                return normalise_image(self.image(height))
            case "audio":
                return self.normal(b, 1, height, width)
            case "imu":
                return self.normal(b, height, width)
            case _:
                return self.uniform(b, 1, height, width)


def shaded_balls(count: int, size: int, generator: torch.Generator) -> Float[Tensor, "b 3 s s"]:
    """A shaded ball each, of a colour and place of its own, on white, in [0, 1]."""
    line = torch.linspace(-1, 1, size)
    y, x = torch.meshgrid(line, line, indexing="ij")
    centre = 0.6 * (torch.rand(count, 2, 1, 1, generator=generator) - 0.5)
    radius = 0.3 + 0.4 * torch.rand(count, 1, 1, 1, generator=generator)
    dx, dy = x - centre[:, :1], y - centre[:, 1:]
    inside = torch.sigmoid(size / 2 * (radius - (dx.square() + dy.square()).sqrt()))
    shade = (0.7 - 0.3 * (dx + dy) / radius).clamp(0.1, 1)
    return 1 - inside * (1 - shade * torch.rand(count, 3, 1, 1, generator=generator))
