"""Frames of a turning object, as an animated GIF, a video or one sheet."""

import importlib.util
import io
import math
from fractions import Fraction
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from xbind.errors import XBindError
from xbind.files import atomic_write


class TurntableError(XBindError):
    """A turntable that cannot be written as asked."""


CRF = 18
"""Constant rate factor of the video, 0 (lossless) … 51; x264's manual calls 18 nearly lossless."""

_BT709 = 1  # ITU-T H.273: matrix, primaries and transfer of HDTV


def can_write_video() -> bool:
    """Whether PyAV is installed, which .mp4 needs."""
    return importlib.util.find_spec("av") is not None


def to_frames(*images: Float[Tensor, "t 3 h w"]) -> UInt8[Tensor, "t h wide 3"]:
    """Put `n` sequences of images in [0, 1] side by side, as bytes (colour | normals, say)."""
    wide = torch.cat([x.detach().cpu() for x in images], -1)
    return (wide.clamp(0, 1) * 255).round().to(torch.uint8).movedim(1, -1).contiguous()


def write_turntable(path: Path, frames: UInt8[Tensor, "t h w 3"], fps: float = 20.0) -> None:
    """Write `frames` to `path`: an endless .gif, an .mp4 (H.264), or all of them on a .png sheet.

    The same frames give the same bytes. The file appears whole or not at all.

    Args:
        path: ends in .gif, .mp4 or .png.
        frames: RGB.
        fps: frames per second of the animation; GIF counts in hundredths of a second.

    Raises:
        TurntableError: there are no frames, the file's ending names another format, or PyAV is
            missing for .mp4.
        DiskError: the file cannot be written.
    """
    if len(frames) == 0:
        raise TurntableError(f"No frames to write to {path}.")
    match path.suffix.lower():
        case ".gif":
            content = _gif(frames, fps)
        case ".mp4":
            content = _mp4(frames, fps)
        case ".png":
            content = _sheet(frames)
        case other:
            raise TurntableError(f"A turntable is a .gif, .mp4 or .png, not {other!r} ({path}).")
    atomic_write(path, content)


def _gif(frames: UInt8[Tensor, "t h w 3"], fps: float) -> bytes:
    first, *rest = (_palettised(Image.fromarray(frame.numpy())) for frame in frames)
    buffer = io.BytesIO()
    hundredths = max(round(100 / fps), 2)  # viewers slow down what claims to be faster
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=10 * hundredths, loop=0)
    return buffer.getvalue()


def _mp4(frames: UInt8[Tensor, "t h w 3"], fps: float) -> bytes:
    if not can_write_video():
        raise TurntableError("An .mp4 needs PyAV: pip install 'xbind[video]', or write a .gif.")
    import av

    _, height, width, _ = frames.shape
    # 4:2:0 halves the resolution of colour, so both sides have to be even
    even = torch.nn.functional.pad(frames, (0, 0, 0, width % 2, 0, height % 2), value=255)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.width, stream.height = even.shape[2], even.shape[1]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(CRF)}
        # said in the file: players guess the matrix by the size of the picture otherwise
        stream.codec_context.colorspace = stream.codec_context.color_primaries = _BT709
        stream.codec_context.color_trc = _BT709
        stream.codec_context.color_range = av.video.reformatter.ColorRange.MPEG
        stream.thread_count = 1  # so that the bytes repeat
        for frame in even:
            pixels = av.VideoFrame.from_ndarray(frame.numpy(), format="rgb24")
            coded = pixels.reformat(format="yuv420p", dst_colorspace=_BT709)
            container.mux(stream.encode(coded))
        container.mux(stream.encode())
    return buffer.getvalue()


def _palettised(frame: Image.Image) -> Image.Image:
    """256 colours of the frame's own, dithered: smooth shading shows bands otherwise.

    An octree finds them in a millisecond; k-means is a third more accurate and took half a second.
    """
    palette = frame.quantize(256, method=Image.Quantize.FASTOCTREE)
    return frame.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


def _sheet(frames: UInt8[Tensor, "t h w 3"]) -> bytes:
    """Row by row, about as wide as high, on white."""
    count, height, width, _ = frames.shape
    columns = math.ceil(math.sqrt(count * height / width))
    sheet = Image.new("RGB", (columns * width, math.ceil(count / columns) * height), "white")
    for k, frame in enumerate(frames):
        sheet.paste(Image.fromarray(frame.numpy()), (k % columns * width, k // columns * height))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()
