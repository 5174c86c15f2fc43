"""How well the mini 2D prior follows its view words, judged by networks that guide nothing."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from xbind.algorithm.reference_view import condition_unclip, ddim
from xbind.config.method import GuidanceConfig, ReferenceConfig
from xbind.diffusion.latents import decode
from xbind.diffusion.priors import Prior2d
from xbind.diffusion.view_words import BACK, FRONT, NO_WORD, SIDE, VIEW_WORDS, view_rows
from xbind.mini.judging import recognise
from xbind.mini.world.captions import prompts
from xbind.mini.world.categories import CATEGORIES, COLOUR_NAMES
from xbind.models.convnet import ConvNet
from xbind.networks.frozen import Bundle

SAMPLES = 12
"""Samples per category and word."""
ASKED = (NO_WORD, SIDE, FRONT, BACK)
"""Words that are measured; the world has no views from overhead."""


def measure_view_words(
    bundle: Bundle, judge: ConvNet, *, steps: int, samples: int = SAMPLES
) -> tuple[Mapping[str, float], Float[Tensor, "k n 3 s s"]]:
    """Sample every category under each word, and read the azimuths and what is shown.

    Of the samples whose azimuth the pose estimator is sure of, the shares that it puts at the side,
    front and back; of all samples, the share that the judge finds to be of the category and colour.

    Args:
        bundle: with view words and a pose estimator.
        judge: of the bundle.
        steps: DDIM steps.
        samples: of each category under each word.

    Returns:
        The figures, and two samples of each word for each category.
    """
    wanted = torch.arange(len(CATEGORIES)).repeat_interleave(samples)
    colours = 3 * wanted % len(COLOUR_NAMES)
    words = [prompts()[k * len(COLOUR_NAMES) + c] for k, c in zip(wanted, colours, strict=True)]
    generator = torch.Generator().manual_seed(4)
    figures: dict[str, float] = {}
    shown = []
    for row in ASKED:
        images = _sample(bundle, words, row, steps, generator)
        category, colour = recognise(judge, images)
        is_right = (category == wanted) & (colour == colours)
        figures |= _azimuths(bundle, images, VIEW_WORDS[row])
        figures[f"word_{VIEW_WORDS[row]}_both"] = float(is_right.float().mean())
        shown.append(images.view(len(CATEGORIES), samples, *images.shape[1:])[:, :2])
    return figures, torch.cat(shown, 1)


def _sample(
    bundle: Bundle, words: list[str], row: int, steps: int, generator: torch.Generator
) -> Float[Tensor, "b 3 s s"]:
    """A sample for each text, with a view word and the default guidance."""
    unclip, encoder = bundle.unclip, bundle.bind
    ids = torch.tensor([encoder.tokenizer.encode(text).ids for text in words])
    with torch.inference_mode():
        embedding = encoder.norms["text"] * encoder.model.embed("text", ids)
    labels = condition_unclip(embedding, unclip, generator)
    noise = torch.randn(len(words), *unclip.latent_shape, generator=generator)
    prior, scale = Prior2d(unclip.unet), torch.tensor(ReferenceConfig().cfg_scale)
    context = unclip.contexts[row : row + 1]
    z = ddim(
        unclip.schedule, noise, steps,
        lambda z_t, t: prior(z_t, t, labels, context, unclip.null_context, scale),
    )  # fmt: skip
    with torch.inference_mode():
        return decode(unclip.vae, z)


def _azimuths(bundle: Bundle, images: Float[Tensor, "b 3 s s"], word: str) -> dict[str, float]:
    """Shares of the samples at the side, front and back."""
    assert bundle.view is not None
    with torch.inference_mode():
        pose = bundle.view(images)
    is_read = pose[:, 1:3].norm(dim=1) > ReferenceConfig().azimuth_confidence
    azimuth = torch.rad2deg(torch.atan2(pose[is_read, 2], pose[is_read, 1]))
    angles = GuidanceConfig()
    rows = view_rows(
        torch.zeros_like(azimuth), azimuth,
        front_deg=angles.front_deg, overhead_deg=angles.overhead_deg,
    )  # fmt: skip
    shares = {
        f"word_{word}_{VIEW_WORDS[seen]}": float((rows == seen).float().mean())
        for seen in (SIDE, FRONT, BACK)
    }
    return shares | {f"word_{word}_read": float(is_read.float().mean())}
