"""The reference view x_r, sampled by the 2D prior or given by the user; its mask and camera."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import ndimage
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from xbind.algorithm.prior_error import prior_errors
from xbind.conditioning.background import NoObject, cut_out, solid
from xbind.conditioning.errors import PromptError
from xbind.conditioning.prompt import EncodedPrompt, embed_images
from xbind.config.presets import ReferenceConfig
from xbind.config.savings import FASTEST, Savings
from xbind.diffusion.latents import decode
from xbind.diffusion.priors import Prior2d
from xbind.diffusion.schedule import NoiseSchedule
from xbind.diffusion.unclip import unclip_condition
from xbind.models.preprocess import normalise_image
from xbind.networks.frozen import Bundle, Unclip, Zero123
from xbind.scene.cameras import Cameras

Show = Callable[[Float[Tensor, "b 3 s s"], int], None]
"""Receives the sampled views, in [0, 1], and the number of the chosen one."""


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceView:
    """x_r with what is known of it."""

    image: Float[Tensor, "1 3 s s"]
    """On white, in [0, 1]."""
    mask: Float[Tensor, "1 1 s s"]
    """m, in [0, 1]."""
    camera: Cameras
    """Returns the camera at the pose of x_r."""

    def at_size(self, size: int) -> "ReferenceView":
        """The same view with `size` pixels a side, to compare renders of that size with."""
        if self.image.shape[-1] == size:
            return self
        image, mask = (
            interpolate(x, (size, size), mode="bilinear", antialias=True)
            for x in (self.image, self.mask)
        )
        return ReferenceView(image, mask, self.camera)


def condition_unclip(
    embedding: Float[Tensor, "b d"],
    unclip: Unclip,
    generator: torch.Generator,
    *,
    noise_level: int = 0,
) -> Float[Tensor, "b d2"]:
    """The class vector of each C_m at a noise level; its noise is drawn here, once per run.

    Args:
        embedding: at the length that the 2D prior was trained on.
        unclip: the 2D prior.
        generator: source of the noise.
        noise_level: step of the prior's noising schedule, 0 for the least noise.
    """
    return unclip_condition(
        embedding,
        torch.full((len(embedding),), noise_level, device=embedding.device),
        torch.randn(embedding.shape, generator=generator, device=generator.device),
        mean=unclip.mean,
        std=unclip.std,
        alphas_cumprod=unclip.noising_alphas_cumprod,
    )


def make_reference_view(
    prompt: EncodedPrompt,
    class_labels: Float[Tensor, "1 d2"],
    bundle: Bundle,
    config: ReferenceConfig,
    generator: torch.Generator,
    savings: Savings = FASTEST,
    *,
    candidate: int | None = None,
    show: Show | None = None,
) -> ReferenceView:
    """The prompt's own picture, or one of several samples of the 2D prior: the best by default.

    With `show`, the samples and the index of the one that was taken are passed to it.

    Raises:
        PromptError: in no sample, or not in the candidate, an object can be told from its
            background; there is no such candidate.
    """
    if prompt.image is not None:
        image, mask = prompt.image.rgb[None], prompt.image.mask[None]
    else:
        image, mask = _best_sample(
            prompt, class_labels, bundle, config, generator, savings, candidate, show=show
        )
    return ReferenceView(image, mask, _reference_camera(image, prompt, bundle, config))


def sample_unclip(
    unclip: Unclip,
    class_labels: Float[Tensor, "1 d2"],
    *,
    count: int,
    steps: int,
    cfg_scale: float,
    generator: torch.Generator,
    context: Float[Tensor, "1 l c"] | None = None,
    savings: Savings = FASTEST,
) -> Float[Tensor, "b 3 s s"]:
    """Draw images from the 2D prior by DDIM (η = 0); the same ones whatever `savings` says.

    Args:
        unclip: the 2D prior.
        class_labels: the class vector of C_m, for a prior that reads it.
        count: of images.
        steps: evaluations of the prior.
        cfg_scale: s of `classifier_free`.
        generator: source of the noise.
        context: the encoded text; None for the empty prompt.
        savings: how the networks are run.
    """
    prior = Prior2d(unclip.unet, two_passes=savings.split_guidance)
    scale = torch.full((), cfg_scale, device=generator.device)
    null_context = unclip.null_context
    told = (class_labels, null_context if context is None else context, null_context, scale)
    channels, side = unclip.unet.config.in_channels, unclip.unet.config.sample_size
    shape = (count, channels, side, side)
    noise = torch.randn(shape, generator=generator, device=generator.device)
    images = []
    for z in noise.split(1 if savings.one_at_a_time else count):
        z = ddim(unclip.schedule, z, steps, lambda z_t, t: prior(z_t, t, *told))
        with torch.inference_mode():
            images.append(decode(unclip.vae, z))
    return torch.cat(images)


def ddim(
    schedule: NoiseSchedule,
    z: Float[Tensor, "b c h w"],
    steps: int,
    prior: Callable[[Tensor, Tensor], Tensor],
    *,
    start: int | None = None,
) -> Float[Tensor, "b c h w"]:
    """Denoise without new noise (DDIM, η = 0).

    Args:
        schedule: of the prior.
        z: latents at timestep `start`.
        steps: evaluations of the prior, evenly spaced down to 0.
        prior: (z_t, t [b]) → the network's prediction.
        start: timestep of `z`; the schedule's last by default.
    """
    length = len(schedule.alphas_cumprod) if start is None else start + 1
    with torch.inference_mode():
        for t, t_next in ddim_timesteps(steps, length):
            at = torch.full((len(z),), t, device=z.device)
            z = ddim_step(schedule, z, prior(z, at), at, t_next)
    return z


def ddim_timesteps(steps: int, length: int) -> list[tuple[int, int]]:
    """Pairs (t, next t), evenly spaced from the last step down; the last next is −1: no noise."""
    t = torch.linspace(length - 1, 0, steps + 1, device="cpu").long().tolist()
    return list(zip(t[:-1], [*t[1:-1], -1], strict=True))


def ddim_step(
    schedule: NoiseSchedule, z_t: Tensor, prediction: Tensor, t: Int[Tensor, " b"], t_next: int
) -> Tensor:
    """Takes one deterministic step: z_next = α' ẑ + σ' ε̂."""
    z_hat = schedule.latent_of(prediction, z_t, t)
    if t_next < 0:
        return z_hat
    eps_hat = schedule.noise_of(prediction, z_t, t)
    return schedule.add_noise(z_hat, eps_hat, torch.full_like(t, t_next))


def sampled_mask(
    image: Float[Tensor, "3 s s"], config: ReferenceConfig
) -> Float[Tensor, "1 s s"] | None:
    """The object of a sampled view, without specks; its holes stay open.

    On white it is what is not white; on any other background what `cut_out` finds.

    Returns:
        None when the background is not plain or smooth, or nothing or nearly everything is object.
    """
    away = ((1 - image).amax(0) > config.white_distance).cpu().numpy()
    border = np.concatenate([away[0], away[-1], away[:, 0], away[:, -1]])
    try:
        kept = solid(away) if border.mean() <= config.border_share else cut_out(image.cpu().numpy())
    except NoObject:
        return None
    return torch.from_numpy(kept.astype(np.float32))[None].to(image.device)


def _best_sample(
    prompt: EncodedPrompt,
    class_labels: Tensor,
    bundle: Bundle,
    config: ReferenceConfig,
    generator: torch.Generator,
    savings: Savings,
    candidate: int | None,
    *,
    show: Show | None,
) -> tuple[Tensor, Tensor]:
    """A sample and its mask: the candidate, or the best by score among those with an object."""
    context = None if prompt.contexts is None else prompt.contexts[:1]
    images = sample_unclip(
        bundle.unclip, class_labels, count=config.candidates, steps=config.steps,
        cfg_scale=config.cfg_scale, generator=generator, context=context, savings=savings,
    )  # fmt: skip
    masks = [sampled_mask(image, config) for image in images]
    usable = [i for i, mask in enumerate(masks) if mask is not None]
    if not usable:
        raise PromptError(
            f"None of the {config.candidates} sampled reference views shows an object that can be "
            f"told from its background.\nTry another --seed, or give a picture with --image."
        )
    if candidate is None:
        score = _scores(images[usable], masks, usable, prompt, bundle, config)
        if config.w_error > 0:
            score = score + config.w_error * _wholeness(
                images, masks, usable, class_labels, context, bundle, config, generator, savings
            )
        best = usable[int(score.argmax())]
    elif candidate - 1 in usable:
        best = candidate - 1
    else:
        if show is not None:
            show(images, usable[0])
        raise PromptError(
            f"--candidate {candidate}: no object can be told from its background in that sample.\n"
            f"Choose one of {', '.join(str(i + 1) for i in usable)}, as references.png shows them."
        )
    if show is not None:
        show(images, best)
    chosen = masks[best]
    assert chosen is not None
    image = chosen * images[best] + (1 - chosen)
    return image[None], chosen[None]


def _scores(
    shown: Tensor,
    masks: list[Tensor | None],
    usable: list[int],
    prompt: EncodedPrompt,
    bundle: Bundle,
    config: ReferenceConfig,
) -> Float[Tensor, " n"]:
    """Scores of the usable samples: nearness to C_m, and a pose and an outline that show parts.

    The three are compared in standard deviations over these samples, since each has another
    spread for every kind of object. `_wholeness` is added to them.
    """
    with torch.inference_mode():
        score = config.w_cos * standardised(embed_images(shown, bundle.bind) @ prompt.c_m)
        if bundle.view is not None:
            score = score + config.w_pose * standardised(
                informativeness(bundle.view(shown), config)
            )
    outlines = [
        intricacy(_solid(image, masks[i], config.solid_share), config.w_apart)
        for image, i in zip(shown, usable, strict=True)
    ]
    outline = torch.tensor(outlines, device=score.device)
    return score + config.w_parts * standardised(outline).clamp(
        -config.parts_limit, config.parts_limit
    )


def _wholeness(
    images: Float[Tensor, "n 3 s s"],
    masks: list[Tensor | None],
    usable: list[int],
    class_labels: Tensor,
    context: Tensor | None,
    bundle: Bundle,
    config: ReferenceConfig,
    generator: torch.Generator,
    savings: Savings,
) -> Float[Tensor, " n2"]:
    """Scores of the usable samples by the prior's error: high where it denoises the object well.

    An error is divided by the length of the outline, where most of it arises; otherwise objects
    that show fewer parts would win.
    """
    shown = images.clone()
    for i in usable:
        mask = masks[i]
        assert mask is not None
        shown[i] = mask * images[i] + (1 - mask)
    errors = prior_errors(  # of all samples, since an engine has one batch size
        shown, class_labels, bundle.unclip, context=context, timesteps=config.error_t,
        pairs=config.error_pairs, savings=savings,
        generator=generator.clone_state(),  # so that the score changes no later draw
    )  # fmt: skip
    solid = [_solid(images[i], masks[i], config.solid_share) for i in usable]
    lengths = torch.tensor([outline_length(mask) for mask in solid], device=errors.device)
    relative = errors[:, usable] / lengths
    return standardised(-torch.stack([standardised(row) for row in relative]).sum(0))


def _solid(
    image: Float[Tensor, "3 s s"], mask: Tensor | None, share: float
) -> Float[Tensor, "1 s s"]:
    """The object without its faint edges: they close holes and join what hangs on nothing."""
    assert mask is not None
    away = (1 - image).amax(0, keepdim=True) * mask
    return (away > share * away[mask > 0].median()).float()


def standardised(x: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Zero mean and unit standard deviation; zeros where nothing differs."""
    return (x - x.mean()) / x.std(correction=0).clamp_min(1e-6)


def outline_length(mask: Float[Tensor, "1 s s"]) -> float:
    """Length of the outlines in pixels, holes included.

    By Crofton's formula: how often lines of four directions cross the outline.
    """
    inside = np.pad(mask[0].cpu().numpy() > 0.5, 1)
    straight = np.diff(inside, axis=0).sum() + np.diff(inside, axis=1).sum()
    falling = (inside[1:, 1:] != inside[:-1, :-1]).sum()
    rising = (inside[1:, :-1] != inside[:-1, 1:]).sum()
    return float(math.pi / 8 * (straight + (falling + rising) / math.sqrt(2)))


def intricacy(mask: Float[Tensor, "1 s s"], w_apart: float) -> float:
    """Length of the outlines, holes included, over that of a disc of the same area.

    1 for a disc, more where handles, spouts, legs and wings show. Pieces that do not hang together
    are no parts: the share of the area outside the largest is subtracted `w_apart` times.
    """
    inside = mask[0].cpu().numpy() > 0.5
    labels, _ = ndimage.label(inside)
    apart = 1 - np.bincount(labels.ravel())[1:].max() / inside.sum()
    return float(outline_length(mask) / math.sqrt(4 * math.pi * inside.sum()) - w_apart * apart)


def informativeness(pose: Float[Tensor, "b 4"], config: ReferenceConfig) -> Float[Tensor, " b"]:
    """Returns a score of a pose, at most 1: highest for a three-quarter front, a little from above.

    `pose` is the estimator's output (elevation / 45°, cos az, sin az, zoom); the length of
    (cos, sin) says how sure it is of the azimuth, and a round object has none.
    """
    elevation, cosine, sine, _ = pose.unbind(-1)
    low = (45 * elevation - config.elevation_deg).abs() / 45
    side = math.radians(config.azimuth_deg)
    front = torch.maximum(
        cosine * math.cos(side) + sine * math.sin(side),
        cosine * math.cos(side) - sine * math.sin(side),
    )
    return front.clamp(-1, 1) - low


def _reference_camera(
    image: Tensor, prompt: EncodedPrompt, bundle: Bundle, config: ReferenceConfig
) -> Cameras:
    """The pose of x_r: as given, else estimated where the bundle can, else level and in front."""
    elevation, azimuth = 0.0, 0.0
    if bundle.view is not None:
        with torch.inference_mode():
            pose = bundle.view(image)[0]
        elevation = float((45 * pose[0]).clamp(-45, 45))
        if float(pose[1:3].norm()) > config.azimuth_confidence:
            azimuth = float(torch.rad2deg(torch.atan2(pose[2], pose[1])))
    if prompt.elevation_deg is not None:
        elevation = prompt.elevation_deg
    if prompt.azimuth_deg is not None:
        azimuth = prompt.azimuth_deg
    return Cameras(
        *(
            torch.tensor([x], device=image.device)
            for x in (elevation, azimuth, config.distance, config.fov_y_deg)
        )
    )


def told_pose(seen: Float[Tensor, "1 3"], prompt: EncodedPrompt) -> Float[Tensor, "1 3"]:
    """The pose of x_r that the 3D prior is told: what it reads, replaced by what the user gave.

    Args:
        seen: elevation / 45°, cos and sin of the azimuth, as `Zero123.seen_pose` returns them.
        prompt: with the given angles. A given azimuth is certain: its (cos, sin) has length 1.
    """
    told = seen.clone()
    if prompt.elevation_deg is not None:
        told[:, 0] = prompt.elevation_deg / 45
    if prompt.azimuth_deg is not None:
        azimuth = math.radians(prompt.azimuth_deg)
        told[:, 1], told[:, 2] = math.cos(azimuth), math.sin(azimuth)
    return told


def embed_reference_image(
    image: Float[Tensor, "b 3 s s"], zero123: Zero123
) -> Float[Tensor, "b d"]:
    """Embeddings of images in [0, 1] as the 3D prior's camera projection wants them."""
    size = cast(Any, zero123.image_encoder).config.image_size
    # CLIP's pixels as the authors of Zero-1-to-3 resize them
    pixels = interpolate(image, (size, size), mode="bicubic", align_corners=True)
    with torch.inference_mode():
        embedding = zero123.image_encoder(pixel_values=normalise_image(pixels)).image_embeds
    length = zero123.embedding_norm
    embedding = embedding.clone()
    return embedding if length is None else length * normalize(embedding, dim=-1)
