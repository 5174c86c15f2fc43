"""A picture file to colours and a mask, and to the square view that the 3D prior is shown."""

import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageOps
from scipy import ndimage
from torch import Tensor

from xbind.conditioning.background import NoObject, cut_out
from xbind.conditioning.errors import PromptError

MAX_PIXELS = 64_000_000
"""A picture that claims more is refused before it is decoded (decompression bombs)."""
MAX_SIDE = 2048
"""A larger picture is reduced to this while it is read; no encoder sees more than a third of it."""
MIN_SIDE = 16
"""A smaller picture is refused: nothing can be told from it."""
BACKGROUND_DISTANCE = 0.1
"""A colour closer to the background's than this (Euclidean, RGB in [0, 1]) is background."""
MARGIN = 0.125
"""Blank share of the side at each end of an object's longer extent: it then fills 0.75 of it,
the mean of the views on which the mini bundle's 3D prior was trained (0.75 ± 0.08)."""
HOLE_SHARE = 0.005
"""Holes smaller than this share of the object are highlights and get filled; a handle's is not."""
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "AVIF")
_GREY_16 = ("I;16", "I;16L", "I;16B", "I;16N", "I")
"""Pillow's modes for grey pictures of 16 bits; `I` when it has widened them."""
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)
"""What Pillow raises for a damaged file, depending on the format and the place of the damage."""


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
        path: the file; of an animation the first picture is used.
        flag: the option to name in messages.

    Raises:
        PromptError: when the file is missing, no picture, damaged, too large or small, or
            transparent throughout.
    """
    picture = read_picture(path, flag)
    if picture.mode == "F" or picture.mode in _GREY_16:
        picture = Image.fromarray(_grey(picture, path, flag))
    else:
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    picture.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX)
    values = np.atleast_3d(np.array(picture, dtype=np.float32))
    pixels = torch.from_numpy(values).permute(2, 0, 1) / (1.0 if picture.mode == "F" else 255.0)
    rgb = pixels[:3].expand(3, -1, -1).contiguous()
    alpha = pixels[3:].contiguous()
    if picture.mode != "RGBA" or alpha.min() == 1.0:
        return LoadedImage(rgb, None)
    if alpha.max() < 0.5:
        raise PromptError(f"{flag} {path} is transparent throughout; give one with an object.")
    return LoadedImage(rgb, alpha)


def read_picture(path: Path, flag: str) -> Image.Image:
    """Decode a picture file, upright, in the file's own mode.

    Raises:
        PromptError: as `load_image`.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise PromptError(f"{flag} {path} {what}. Give the path of a picture, such as a PNG.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
            with Image.open(path, formats=_FORMATS) as file:
                _check_size(file.size, path, flag)
                file.load()
                return ImageOps.exif_transpose(file)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise _too_large(path, flag, "more pixels than can be decoded safely") from error
    except _BROKEN as error:
        raise PromptError(
            f"{flag} {path} cannot be read as a picture ({str(error) or type(error).__name__}).\n"
            f"Give a PNG, JPEG, WebP, BMP, TIFF or GIF file."
        ) from error


def _check_size(size: tuple[int, int], path: Path, flag: str) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise _too_large(path, flag, f"{size[0]} × {size[1]} pixels")
    if min(size) < MIN_SIDE:
        raise PromptError(
            f"{flag} {path} has {size[0]} × {size[1]} pixels; at least {MIN_SIDE} × {MIN_SIDE} are "
            f"needed."
        )


def _too_large(path: Path, flag: str, what: str) -> PromptError:
    return PromptError(
        f"{flag} {path} has {what}; at most {MAX_PIXELS // 10**6} million are read.\n"
        f"Reduce it first: {MAX_SIDE} pixels on the longer side are plenty."
    )


def _grey(picture: Image.Image, path: Path, flag: str) -> np.ndarray:
    """Grey values of 16 bits or floats to [0, 1]."""
    white = 65535.0 if picture.mode in _GREY_16 else 1.0
    values: np.ndarray = np.asarray(picture, dtype=np.float32) / white
    if not (np.isfinite(values).all() and values.min() >= 0.0 and values.max() <= 1.0):
        raise PromptError(
            f"{flag} {path} holds grey values outside of what its format calls black and white. "
            f"Save it with 8 or 16 bits."
        )
    return values


def foreground_mask(image: LoadedImage, name: str = "the picture") -> Float[Tensor, "1 h w"]:
    """The object's coverage: the alpha channel, or what differs from a plain background.

    Without alpha the background is the median colour of the border; the object is the largest
    connected region of other colours. Where the border has no such colour, `cut_out` looks for a
    background that changes smoothly.

    Args:
        image: what `load_image` returned.
        name: what to call it in messages.

    Raises:
        PromptError: when there is no alpha and no plain background or no object can be made out.
    """
    if image.alpha is not None:
        return image.alpha
    pixels = image.rgb.numpy()
    border = np.concatenate(
        [pixels[:, 0], pixels[:, -1], pixels[:, 1:-1, 0], pixels[:, 1:-1, -1]], axis=1
    )
    background = np.median(border, axis=1)
    away = np.linalg.norm(pixels - background[:, None, None], axis=0) > BACKGROUND_DISTANCE
    plain = np.linalg.norm(border - background[:, None], axis=0) <= BACKGROUND_DISTANCE
    if plain.mean() < 0.5:
        try:
            return torch.from_numpy(_fill_specks(cut_out(pixels)).astype(np.float32))[None]
        except NoObject as error:
            raise _no_object(name, str(error)) from error
    labels, count = ndimage.label(away)
    if count == 0:
        raise _no_object(name, "nothing in it differs from its border")
    sizes = np.bincount(labels.ravel())[1:]
    largest = labels == 1 + int(sizes.argmax())
    share = float(largest.mean())
    if not 0.002 <= share <= 0.98:
        raise _no_object(name, f"what differs from its border covers {share:.1%} of it")
    return torch.from_numpy(_fill_specks(largest).astype(np.float32))[None]


def _no_object(name: str, why: str) -> PromptError:
    return PromptError(
        f"No object can be told from the background in {name}: {why}.\n"
        f"Give a picture of one object on a plain background, or a PNG whose alpha channel is "
        f"the object's mask."
    )


def _fill_specks(region: np.ndarray) -> np.ndarray:
    """Close the small holes of a region and leave the large ones open."""
    holes, count = ndimage.label(ndimage.binary_fill_holes(region) & ~region)
    if count == 0:
        return region
    sizes = np.bincount(holes.ravel())
    small = sizes < HOLE_SHARE * region.sum()
    small[0] = False
    filled: np.ndarray = region | small[holes]
    return filled


def to_square(
    image: LoadedImage,
    size: int,
    *,
    background: float = 1.0,
    margin: float = MARGIN,
    name: str = "the picture",
) -> SquareImage:
    """The object alone, centred on a plain square: the reference view x_r and its mask m.

    Args:
        image: what `load_image` returned.
        size: side of the result, in pixels.
        background: grey value to put behind the object, in [0, 1].
        margin: blank share of the side, left at each end of the object's longer extent.
        name: what to call the picture in messages.

    Raises:
        PromptError: when no object can be made out; see `foreground_mask`.
    """
    if not 0.0 <= margin < 0.5:
        raise ValueError(f"margin must be in [0, 0.5), got {margin}")
    mask = foreground_mask(image, name)
    top, bottom, left, right = _bounds(mask[0] > 0.5)
    side = max(bottom - top, right - left) / (1.0 - 2.0 * margin)
    centre_y, centre_x = (top + bottom) / 2, (left + right) / 2
    # Multiplied by the mask before it is resampled: no colour of the background may leak in.
    layers = torch.cat([image.rgb * mask, mask])
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
