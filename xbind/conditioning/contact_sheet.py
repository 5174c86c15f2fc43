"""All sampled reference views on one picture."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

GAP = 2
"""Width of the lines between pictures, in pixels."""
CHOSEN = (0.85, 0.1, 0.1)
"""Colour of the lines around the chosen one."""


def contact_sheet(images: Float[Tensor, "b 3 h w"], chosen: int) -> Float[Tensor, "3 h2 w2"]:
    """Pictures row by row on grey, in a grid that is about square, with a frame around one.

    Args:
        images: in [0, 1].
        chosen: number of the one with the frame.
    """
    count, _, height, width = images.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    sheet = torch.full((3, rows * (height + GAP) + GAP, columns * (width + GAP) + GAP), 0.8)
    for i, image in enumerate(images.cpu()):
        top, left = i // columns * (height + GAP), i % columns * (width + GAP)
        if i == chosen:
            frame = sheet[:, top : top + height + 2 * GAP, left : left + width + 2 * GAP]
            frame[:] = torch.tensor(CHOSEN)[:, None, None]
        sheet[:, top + GAP : top + GAP + height, left + GAP : left + GAP + width] = image
    return sheet
