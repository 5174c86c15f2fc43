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
from torch import Tensor

from xbind.conditioning.errors import PromptError

MAX_PIXELS = 64_000_000
"""A picture that claims more is refused before it is decoded (decompression bombs)."""
MAX_SIDE = 2048
"""A larger picture is reduced to this while it is read; no encoder sees more than a third of it."""
MIN_SIDE = 16
"""A smaller picture is refused: nothing can be told from it."""
MARGIN = 0.125
"""Blank share of the side at each end of an object's longer extent: it then fills 0.75 of it,
the mean of the views on which the mini bundle's 3D prior was trained (0.75 ± 0.08)."""
GREY_BITS = (8, 10, 12, 14, 16)
"""Bits of a grey value in a 16-bit file; the fewest that hold its largest value set its white."""
MAX_BLANK_FRAMES = 100
"""Frames of an animation that are looked at for the first that shows something."""
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
        path: the file; of an animation the first frame that is not blank is used.
        flag: the option to name in messages.

    Raises:
        PromptError: when the file is missing, no picture, damaged, too large or small, or
            transparent throughout.
    """
    picture = read_picture(path, flag)
    if picture.mode == "F" or picture.mode in _GREY_16:
        return _load_grey(picture, path, flag)
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


def read_picture(path: Path, flag: str, *, lossless: bool = False) -> Image.Image:
    """Decode a picture file, upright, in the file's own mode.

    Args:
        path: the file; of an animation the first frame that is not blank is used.
        flag: the option to name in messages.
        lossless: whether to refuse formats whose compression changes values.

    Raises:
        PromptError: as `load_image`, or when a lossy file is refused.
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
                if lossless and (kind := _lossy_format(file, path)) is not None:
                    raise _lossy(path, flag, kind)
                _seek_shown(file)
                return ImageOps.exif_transpose(file)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise _too_large(path, flag, "more pixels than can be decoded safely") from error
    except _BROKEN as error:
        raise PromptError(
            f"{flag} {path} cannot be read as a picture ({str(error) or type(error).__name__}).\n"
            f"Give a PNG, JPEG, WebP, BMP, TIFF or GIF file."
        ) from error


def _seek_shown(file: Image.Image) -> None:
    """Load the first frame that is not of one colour; the first one if there is none."""
    for index in range(min(getattr(file, "n_frames", 1), MAX_BLANK_FRAMES)):
        file.seek(index)
        file.load()
        if not _blank(file):
            return
    file.seek(0)
    file.load()


def _blank(frame: Image.Image) -> bool:
    """Whether a frame is transparent throughout or shows one colour."""
    if frame.mode == "F" or frame.mode in _GREY_16:
        low, high = frame.getextrema()
        return low == high
    shown = frame.convert("RGBA" if frame.has_transparency_data else "RGB")
    extrema = [shown.getchannel(band).getextrema() for band in shown.getbands()]
    transparent = len(extrema) == 4 and extrema[3][1] == 0
    return transparent or all(low == high for low, high in extrema)


def _lossy_format(file: Image.Image, path: Path) -> str | None:
    """The name of a compression that changes values; None for a lossless file."""
    if file.format in ("JPEG", "MPO", "AVIF"):
        return file.format
    if file.format == "TIFF" and "jpeg" in str(file.info.get("compression", "")):
        return "JPEG in TIFF"
    if file.format == "WEBP" and not _is_lossless_webp(path.read_bytes()):
        return "lossy WebP"
    return None


def _is_lossless_webp(data: bytes) -> bool:
    """Whether every picture in a WebP file is coded in VP8L; `VP8 ` is the lossy code.

    Chunks of an extended file follow the 12 bytes of its header, each with a name and a size.
    """
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if name == b"VP8 ":
            return False
        at += 8 + (16 if name == b"ANMF" else size + size % 2)
    return True


def _lossy(path: Path, flag: str, kind: str) -> PromptError:
    return PromptError(
        f"{flag} {path} is a lossy picture ({kind}): its compression changes distances.\n"
        f"Save the original values as a PNG or TIFF of 16 bits, or as a .npy file."
    )


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
    """Grey values of 16 bits or floats to [0, 1]; 16 bits by the fewest bits that hold them."""
    values: np.ndarray = np.asarray(picture, dtype=np.float32)
    if picture.mode in _GREY_16:
        largest = float(values.max())
        whites = [2.0**bits - 1 for bits in GREY_BITS]
        values = values / next((white for white in whites if largest <= white), whites[-1])
    if not (np.isfinite(values).all() and values.min() >= 0.0 and values.max() <= 1.0):
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
