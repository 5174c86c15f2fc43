"""Pixel preparation shared by every encoder that follows CLIP."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
"""Mean of CLIP's training images, per channel."""
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""Standard deviation of CLIP's training images, per channel."""


def normalise_image(x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """[0,1] → CLIP's normalised range. Differentiable in `x`."""
    mean = torch.tensor(CLIP_MEAN, device=x.device, dtype=x.dtype).view(1, 3, 1, 1)
    std = torch.tensor(CLIP_STD, device=x.device, dtype=x.dtype).view(1, 3, 1, 1)
    return (x - mean) / std


def fit_image(x: Float[Tensor, "b c h w"], size: int) -> Float[Tensor, "b c {size} {size}"]:
    """Shorter side to `size` (bicubic, antialiased), the middle of the longer: CLIP's preparation.

    The identity for what fits. Values that the filter throws out of [0, 1] are clamped to it.
    """
    height, width = x.shape[-2:]
    if height == width == size:
        return x
    short = min(height, width)
    shape = (size * height // short, size * width // short)
    scaled = interpolate(x, shape, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
    top, left = (round((n - size) / 2) for n in shape)
    return scaled[..., top : top + size, left : left + size]
