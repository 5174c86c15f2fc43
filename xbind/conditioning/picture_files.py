"""Opens picture files with Pillow: formats by list, limits on size before anything is decoded.

Pillow recognises a file by its content, and some of its formats start other programs or read other
files (EPS calls Ghostscript). Only the formats of a `Kind` are tried, whatever a file is called.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from xbind.conditioning.errors import PromptError
from xbind.system.untrusted import fault_of, guarded, silenced

MAX_PIXELS = 64_000_000
"""A picture that claims more is refused before it is decoded (decompression bombs)."""
MAX_FRAME_PIXELS = 36_000_000
"""The same for a frame of a video: 7680 × 4320 is read."""
MIN_SIDE = 16
"""A smaller picture is refused: nothing can be told from it."""
MAX_ASPECT = 32
"""Longer by shorter side, at most: resizing a longer strip by its shorter side takes gigabytes."""
MAX_BLANK_FRAMES = 100
"""Frames of an animation that are looked at for the first that shows something."""
MAX_BLANK_PIXELS = 4 * MAX_PIXELS
"""Pixels of those frames together, at most: about two seconds of decoding."""
GREY_16 = ("I;16", "I;16L", "I;16B", "I;16N", "I")
"""Pillow's modes for grey pictures of 16 bits; `I` when it has widened them."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file is read as."""

    name: str
    """In messages, with its article."""
    formats: tuple[str, ...]
    """Pillow's names of the formats that are tried."""
    max_pixels: int = MAX_PIXELS
    """Pixels of a frame, at most."""


PICTURE = Kind("a picture", ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "AVIF"))
"""Returns a picture, or the first frame of an animation that shows something."""
ANIMATION = Kind("an animation", ("GIF", "WEBP", "PNG"), MAX_FRAME_PIXELS)
"""Several frames."""


def read_picture(path: Path, flag: str, *, lossless: bool = False) -> Image.Image:
    """Decodes a picture file, upright, in the file's own mode.

    Args:
        path: the file; of an animation the first frame that is not blank is used.
        flag: the option to name in messages.
        lossless: whether to refuse formats whose compression changes values.

    Raises:
        PromptError: when the file is missing, no picture, damaged, too large, small or long, or
            when a lossy file is refused.
    """
    with opened(path, flag) as file:
        if lossless and (kind := _lossy_format(file, path)) is not None:
            raise PromptError(
                f"{flag} {path} is a lossy picture ({kind}): its compression changes distances.\n"
                f"Save the original values as a PNG or TIFF of 16 bits, or as a .npy file."
            )
        _seek_shown(file, path, flag)
        return ImageOps.exif_transpose(file)


@contextmanager
def opened(path: Path, flag: str, kind: Kind = PICTURE) -> Iterator[Image.Image]:
    """Opens a picture file, of which only the header has been read and checked.

    Whatever Pillow raises inside of the block becomes a `PromptError`.

    Raises:
        PromptError: the file is missing, not one of `kind.formats`, damaged, or of a size that is
            not read.
    """
    fault = fault_of(path)
    if fault is not None:
        raise PromptError(
            f"{flag} {path} {fault}. Give the path of {kind.name}, such as a {kind.formats[0]} "
            f"file."
        )
    with decoding(path, flag, kind), Image.open(path, formats=kind.formats) as file:
        check_size(file.size, path, flag, kind.max_pixels)
        yield file


@contextmanager
def decoding(path: Path, flag: str, kind: Kind = PICTURE) -> Iterator[None]:
    """Turns whatever Pillow raises into a `PromptError` that names the file."""

    def refuse(why: str) -> PromptError:
        return PromptError(
            f"{flag} {path} cannot be read as {kind.name} ({why}).\n"
            f"Give a file of one of these formats: {', '.join(kind.formats)}."
        )

    with guarded(refuse), silenced():
        try:
            yield
        except Image.DecompressionBombError as error:
            raise _too_large(
                path, flag, "more pixels than can be decoded safely", kind.max_pixels
            ) from error


def check_size(size: tuple[int, int], path: Path, flag: str, max_pixels: int = MAX_PIXELS) -> None:
    """Compares width and height of a picture or frame, in pixels, with the limits.

    Raises:
        PromptError: it is too large, too small or too long.
    """
    if size[0] * size[1] > max_pixels:
        raise _too_large(path, flag, f"{size[0]} × {size[1]} pixels", max_pixels)
    if min(size) < MIN_SIDE:
        raise PromptError(
            f"{flag} {path} has {size[0]} × {size[1]} pixels; at least {MIN_SIDE} × {MIN_SIDE} are "
            f"needed."
        )
    if max(size) > MAX_ASPECT * min(size):
        raise PromptError(
            f"{flag} {path} has {size[0]} × {size[1]} pixels; the longer side may be {MAX_ASPECT} "
            f"times the shorter one.\nCut out the part that shows the object."
        )


def frames_of(
    file: Image.Image, path: Path, flag: str, most: int, max_pixels: int = MAX_PIXELS
) -> Iterator[Image.Image]:
    """Goes through the frames of an open file, at most `most`; yields `file` itself, not decoded.

    Raises:
        PromptError: a frame has a size that is not read.
    """
    for index in range(most):
        try:
            file.seek(index)
        except EOFError:
            return
        check_size(file.size, path, flag, max_pixels)
        yield file


def _seek_shown(file: Image.Image, path: Path, flag: str) -> None:
    """Loads the first frame that is not of one colour; the first one if there is none."""
    pixels = 0
    for frame in frames_of(file, path, flag, MAX_BLANK_FRAMES):
        pixels += frame.width * frame.height
        if not _blank(frame):
            return
        if pixels > MAX_BLANK_PIXELS:
            break
    file.seek(0)
    file.load()


def _blank(frame: Image.Image) -> bool:
    """Returns True if a frame is fully transparent or has one colour."""
    if frame.mode == "F" or frame.mode in GREY_16:
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
    """Returns True if every picture in a WebP file is coded in VP8L; `VP8 ` is the lossy code.

    Chunks of an extended file follow the 12 bytes of its header, each with a name and a size.
    """
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if name == b"VP8 ":
            return False
        at += 8 + (16 if name == b"ANMF" else size + size % 2)
    return True


def _too_large(path: Path, flag: str, what: str, max_pixels: int) -> PromptError:
    return PromptError(
        f"{flag} {path} has {what}; at most {max_pixels // 10**6} million are read.\n"
        f"Reduce it first: 2048 pixels on the longer side are plenty."
    )
