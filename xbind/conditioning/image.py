"""A picture file to colours and a mask, and to the square view that the 3D prior is shown."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from xbind.conditioning.errors import PromptError
from xbind.conditioning.picture_files import GREY_16, decoding, read_picture

MAX_SIDE = 2048
"""A larger picture is reduced to this while it is read; no encoder sees more than a third of it."""
MARGIN = 0.125
"""Blank share of the side at each end of an object's longer extent: it then fills 0.75 of it,
the mean of the views on which the mini bundle's 3D prior was trained (0.75 ± 0.08)."""
GREY_BITS = (8, 10, 12, 14, 16)
"""Bits of a grey value in a 16-bit file; the fewest that hold its largest value set its white."""


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """A picture as the user meant it: turned upright, colours not multiplied by alpha."""

    rgb: Float[Tensor, "3 h w"]
    """Colours in [0, 1]."""
    alpha: Float[Tensor, "1 h w"] | None
    """Coverage in [0, 1]; None when the picture is opaque throughout."""


@dataclass(frozen=True, slots=True)
class SquareImage:
    """An object centred on a plain background."""

    rgb: Float[Tensor, "3 s s"]
    """Colours in [0, 1], composited."""
    mask: Float[Tensor, "1 s s"]
    """Coverage of the object, in [0, 1]."""


def load_image(path: Path, flag: str = "--image") -> LoadedImage:
    """Read a picture of any common kind: grey, palette, CMYK, 8 or 16 bits, with or without alpha.

    Args:
        path: the file; of an animation the first frame that is not blank is used.
        flag: the option to name in messages.

    Raises:
        PromptError: when the file is missing, no picture, damaged, too large or small, or
            transparent throughout.
    """
    picture = read_picture(path, flag)
    if picture.mode == "F" or picture.mode in GREY_16:
        return _load_grey(picture, path, flag)
    with decoding(path, flag):  # colour spaces that Pillow does not convert
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
        picture.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX)
    values = np.atleast_3d(np.array(picture, dtype=np.float32))
    pixels = torch.from_numpy(values).permute(2, 0, 1) / 255.0
    alpha = pixels[3:].contiguous() if picture.mode == "RGBA" else None
    return _loaded(pixels[:3].contiguous(), alpha, path, flag)


def _load_grey(picture: Image.Image, path: Path, flag: str) -> LoadedImage:
    """A grey picture of 16 bits or floats; a transparent grey value (tRNS) becomes alpha."""
    values = _grey(picture, path, flag)
    clear = picture.info.get("transparency")
    alpha = None
    if isinstance(clear, int):
        alpha = _reduced((np.asarray(picture) != clear).astype(np.float32))
    return _loaded(_reduced(values).expand(3, -1, -1).contiguous(), alpha, path, flag)


def _reduced(values: np.ndarray) -> Float[Tensor, "1 h w"]:
    plane = Image.fromarray(values)
    plane.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX)
    return torch.from_numpy(np.array(plane))[None]


def _loaded(
    rgb: Float[Tensor, "3 h w"], alpha: Float[Tensor, "1 h w"] | None, path: Path, flag: str
) -> LoadedImage:
    if alpha is None or alpha.min() == 1.0:
        return LoadedImage(rgb, None)
    if alpha.max() < 0.5:
        raise PromptError(f"{flag} {path} is transparent throughout; give one with an object.")
    return LoadedImage(rgb, alpha)


def _grey(picture: Image.Image, path: Path, flag: str) -> np.ndarray:
    """Grey values of 16 bits or floats to [0, 1]; 16 bits by the fewest bits that hold them."""
    values: np.ndarray = np.asarray(picture, dtype=np.float32)
    if picture.mode in GREY_16:
        largest = float(values.max())
        whites = [2.0**bits - 1 for bits in GREY_BITS]
        values = values / next((white for white in whites if largest <= white), whites[-1])
    if not np.isfinite(values).all():
        raise PromptError(
            f"{flag} {path} holds values that are not finite numbers (NaN or infinity). "
            f"Save it with 8 or 16 bits."
        )
    if not (values.min() >= 0.0 and values.max() <= 1.0):
        raise PromptError(
            f"{flag} {path} holds grey values outside of what its format calls black and white. "
            f"Save it with 8 or 16 bits."
        )
    return values


def to_square(
    rgb: Float[Tensor, "3 h w"],
    mask: Float[Tensor, "1 h w"],
    size: int,
    *,
    background: float = 1.0,
    margin: float = MARGIN,
) -> SquareImage:
    """The object alone, centred on a plain square: the reference view x_r and its mask m.

    Args:
        rgb: colours in [0, 1].
        mask: the object's coverage in [0, 1]; above 0.5 somewhere.
        size: side of the result, in pixels.
        background: grey value to put behind the object, in [0, 1].
        margin: blank share of the side, left at each end of the object's longer extent.
    """
    if not 0.0 <= margin < 0.5:
        raise ValueError(f"margin must be in [0, 0.5), got {margin}")
    top, bottom, left, right = _bounds(mask[0] > 0.5)
    side = max(bottom - top, right - left) / (1.0 - 2.0 * margin)
    centre_y, centre_x = (top + bottom) / 2, (left + right) / 2
    # Multiplied by the mask before it is resampled: no colour of the background may leak in.
    layers = torch.cat([rgb * mask, mask])
    window = _window(layers, centre_y - side / 2, centre_x - side / 2, side, size)
    coverage = window[3:].clamp(0.0, 1.0)
    return SquareImage((window[:3] + background * (1.0 - coverage)).clamp(0.0, 1.0), coverage)


def _bounds(inside: Tensor) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of the True pixels; the ends are exclusive."""
    rows, columns = inside.any(1).nonzero()[:, 0], inside.any(0).nonzero()[:, 0]
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _window(
    layers: Float[Tensor, "c h w"], top: float, left: float, side: float, size: int
) -> Float[Tensor, "c s s"]:
    """A square window of an image, zero outside, resampled with antialiasing to `size`."""
    whole = round(side)
    first_y, first_x = round(top), round(left)
    height, width = layers.shape[1:]
    left_pad, top_pad = max(0, -first_x), max(0, -first_y)
    right_pad, bottom_pad = max(0, first_x + whole - width), max(0, first_y + whole - height)
    padded = torch.nn.functional.pad(layers, (left_pad, right_pad, top_pad, bottom_pad))
    y, x = first_y + top_pad, first_x + left_pad
    return torch.nn.functional.interpolate(
        padded[None, :, y : y + whole, x : x + whole],
        (size, size),
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )[0]
