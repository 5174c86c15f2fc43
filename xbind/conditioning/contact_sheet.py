"""All sampled reference views on one picture, with their numbers."""

import math

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

GAP = 2
"""Width of the lines between pictures, in pixels."""
CHOSEN = (0.85, 0.1, 0.1)
"""Colour of the lines around the chosen one."""
_BACKGROUND = 0.8
_LEAST_STRIP, _STRIPS = 12, 24
"""Height of the strip that holds a number: at least this many pixels, and this share of a
picture's height."""


def columns_of(count: int) -> int:
    """Pictures in a row of the sheet."""
    return math.ceil(math.sqrt(count))


def strip_of(height: int) -> int:
    """Pixels above a picture of this height that hold its number."""
    return max(_LEAST_STRIP, height // _STRIPS)


def contact_sheet(images: Float[Tensor, "b 3 h w"], chosen: int) -> Float[Tensor, "3 h2 w2"]:
    """Pictures row by row on grey, in a grid that is about square, with a frame around one.

    Above each stands its number, counted from 1.

    Args:
        images: in [0, 1].
        chosen: index of the one with the frame.
    """
    count, _, height, width = images.shape
    columns, strip = columns_of(count), strip_of(height)
    rows = math.ceil(count / columns)
    cell = strip + height + GAP
    sheet = torch.full((3, rows * cell + GAP, columns * (width + GAP) + GAP), _BACKGROUND)
    for i, image in enumerate(images.cpu()):
        top, left = i // columns * cell + strip, i % columns * (width + GAP)
        if i == chosen:
            frame = sheet[:, top : top + height + 2 * GAP, left : left + width + 2 * GAP]
            frame[:] = torch.tensor(CHOSEN)[:, None, None]
        number = _number(i + 1, strip, width)
        sheet[:, top - strip + GAP : top, left + GAP : left + GAP + width] *= 1 - number[GAP:]
        sheet[:, top + GAP : top + GAP + height, left + GAP : left + GAP + width] = image
    return sheet


def _number(number: int, height: int, width: int) -> Float[Tensor, "h w"]:
    """A number at the left, in [0, 1]: 1 is ink."""
    picture = Image.new("L", (width, height))
    font = ImageFont.load_default(height - GAP)
    ImageDraw.Draw(picture).text((0, height - GAP), str(number), fill=255, font=font, anchor="ls")
    return torch.from_numpy(np.asarray(picture).astype(np.float32) / 255)
