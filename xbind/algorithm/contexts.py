"""Text contexts that the 2D prior is given for views: the word of each view's direction."""

import torch
from jaxtyping import Float
from torch import Tensor

from xbind.config.method import GuidanceConfig
from xbind.diffusion.perp_neg import perp_neg_feeds
from xbind.diffusion.view_words import view_rows
from xbind.scene.cameras import Cameras


def context_feeds(
    contexts: Float[Tensor, "n l c"],
    null_context: Float[Tensor, "1 l c"],
    config: GuidanceConfig,
    cameras: Cameras,
) -> dict[str, Tensor]:
    """Feeds of a guidance step under classifier-free guidance.

    Args:
        contexts: a row for each of `VIEW_WORDS`, or for the first alone.
        null_context: the encoded empty prompt, of predictions without a condition.
        config: whether words are given, and the angles between them.
        cameras: of the views.

    Returns:
        `context` [b, l, c], a row of the table for each view, and `null_context` [1, l, c].
    """
    rows = torch.zeros(len(cameras), dtype=torch.long, device=contexts.device)
    if config.view_words and len(contexts) > 1:
        rows = view_rows(
            cameras.elevation_deg, cameras.azimuth_deg,
            front_deg=config.front_deg, overhead_deg=config.overhead_deg,
        )  # fmt: skip
    return {"context": contexts[rows], "null_context": null_context}


def perp_neg_context_feeds(
    contexts: Float[Tensor, "n l c"],
    null_context: Float[Tensor, "1 l c"],
    config: GuidanceConfig,
    cameras: Cameras,
) -> dict[str, Tensor]:
    """Feeds of a guidance step under Perp-Neg: those of `context_feeds`, and the negative texts.

    Returns:
        Also `negatives` [b, 2, l, c] and `negative_weights` [b, 2].
    """
    feeds = perp_neg_feeds(
        contexts, cameras.elevation_deg, cameras.azimuth_deg,
        overhead_deg=config.overhead_deg, factor=config.perp_neg, config=config.perp_neg_curves,
    )  # fmt: skip
    return {
        "context": feeds.context,
        "null_context": null_context,
        "negatives": feeds.negatives,
        "negative_weights": feeds.weights,
    }
