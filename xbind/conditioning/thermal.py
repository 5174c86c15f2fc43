"""A thermal picture to the grey values that a thermal encoder reads.

ImageBind ships no loader for thermal pictures and its paper gives no normalisation: grey values in
[0, 1] are what its published results on LLVIP were repeated with.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from xbind.conditioning.errors import PromptError
from xbind.conditioning.image import load_image

_LUMA = (0.299, 0.587, 0.114)
"""Rec. 601: the grey of a picture that was saved in colours."""


def load_thermal(path: Path) -> Float[Tensor, "1 h w"]:
    """Read a thermal picture as grey values in [0, 1], brighter is warmer.

    Raises:
        PromptError: as `load_image`, or when every pixel is the same.
    """
    grey = torch.einsum("chw,c->hw", load_image(path, "--thermal").rgb, torch.tensor(_LUMA))[None]
    if float(grey.max() - grey.min()) < 1 / 255:
        raise PromptError(f"--thermal {path} is one flat grey. Give a picture of something warm.")
    return grey
