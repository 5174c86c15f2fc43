"""Pixel normalisation shared by every encoder that follows CLIP."""

import torch
from jaxtyping import Float
from torch import Tensor

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
"""Mean of CLIP's training images, per channel."""
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""Standard deviation of CLIP's training images, per channel."""


def normalise_image(x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """[0,1] → CLIP's normalised range. Differentiable in `x`."""
    mean = torch.tensor(CLIP_MEAN, device=x.device, dtype=x.dtype).view(1, 3, 1, 1)
    std = torch.tensor(CLIP_STD, device=x.device, dtype=x.dtype).view(1, 3, 1, 1)
    return (x - mean) / std
