"""Which views the view words of the mini 2D priors name, and the tokens that stand for them."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from xbind.diffusion.view_words import BACK, FRONT, SIDE, VIEW_WORDS, view_rows

TRAINED_WORDS = (SIDE, FRONT, BACK)
"""Words that the world has views for: none of its cameras stands above 45°."""
FRONT_DEG = 45.0
"""Half width of the front's and the back's azimuths, in degrees."""
OVERHEAD_DEG = 60.0
"""Elevation of overhead views, in degrees."""


def contexts_of(tokens: Float[Tensor, "w c"]) -> Float[Tensor, "n 1 c"]:
    """One context for each of `VIEW_WORDS`; zeros for those that are not trained.

    Args:
        tokens: of `TRAINED_WORDS`, in this order.
    """
    words = [torch.zeros_like(tokens[0])] * len(VIEW_WORDS)
    for word, token in zip(TRAINED_WORDS, tokens, strict=True):
        words[word] = token
    return torch.stack(words)[:, None]


def words_of(pose: Float[Tensor, "b 4"]) -> Int[Tensor, " b"]:
    """The word of each view; `pose` starts with elevation and azimuth in degrees."""
    elevation, azimuth = pose[:, :2].unbind(1)
    return view_rows(elevation, azimuth, front_deg=FRONT_DEG, overhead_deg=OVERHEAD_DEG)
