"""A mask that the user gives, as a picture of its own."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from xbind.conditioning.errors import PromptError
from xbind.conditioning.foreground import LARGEST, SMALLEST, Foreground
from xbind.conditioning.image import load_image

ASPECT_TOLERANCE = 0.02
"""Largest relative difference of the aspect ratios of a picture and its mask."""
COLOUR_TOLERANCE = 0.1
"""Largest difference between the channels of a grey picture in [0, 1]; JPEG differs a little."""


def load_mask(path: Path, size: tuple[int, int], picture: Path) -> Foreground:
    """Read a mask: the alpha channel if there is one, else grey, where white is the object.

    Args:
        path: a picture of the same aspect ratio; it is resized to `size`.
        size: height and width of the picture that it belongs to, in pixels.
        picture: that picture, to name in messages.

    Raises:
        PromptError: when the file cannot be read, is coloured, of another shape, or shows next to
            nothing or nearly everything as object.
    """
    loaded = load_image(path, "--mask")
    values = loaded.rgb.mean(0) if loaded.alpha is None else loaded.alpha[0]
    if loaded.alpha is None and float(np.ptp(loaded.rgb.numpy(), axis=0).max()) > COLOUR_TOLERANCE:
        raise PromptError(
            f"--mask {path} is a colour picture.\n"
            f"Give one in grey, white where the object is, or a PNG with an alpha channel."
        )
    height, width = values.shape
    if abs(width / height / (size[1] / size[0]) - 1) > ASPECT_TOLERANCE:
        raise PromptError(
            f"--mask {path} has {width} × {height} pixels, but {picture} has {size[1]} × {size[0]} "
            f"as it is read.\nGive a mask of the same size, or of the same aspect ratio."
        )
    resized = Image.fromarray(values.numpy()).resize(size[::-1], Image.Resampling.BILINEAR)
    mask = torch.from_numpy(np.array(resized, np.float32)).clamp(0, 1)
    share = float((mask > 0.5).float().mean())
    if not SMALLEST <= share <= LARGEST:
        raise PromptError(
            f"--mask {path} marks {share:.1%} of the picture as object.\n"
            f"White is the object and black the background."
        )
    border = torch.cat([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    inverted = float((border > 0.5).float().mean()) > 0.9
    doubts = ("--mask is white all around, and white is taken as the object",) if inverted else ()
    return Foreground(mask[None], "file", doubts)
