"""A moving picture to the clips that ImageBind's vision trunk reads.

ImageBind's own preparation: five clips of 2 s whose starts divide the video evenly; the first and
the last frame of each; shorter side to the encoder's size (bilinear), CLIP's normalisation, and of
every clip the two ends and the middle of its longer side.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageSequence, UnidentifiedImageError
from torch import Tensor
from torch.nn.functional import interpolate

from xbind.conditioning.errors import PromptError
from xbind.conditioning.image import MAX_PIXELS, MIN_SIDE
from xbind.models.preprocess import CLIP_MEAN, CLIP_STD

CLIPS = 5
"""Clips of a video."""
CLIP_SECONDS = 2.0
"""Length of a clip, in seconds."""
MAX_FRAMES = 20_000
"""A longer video is used up to here: eleven minutes at 30 frames per second."""
_ANIMATIONS = (".gif", ".webp", ".png", ".apng")
_SPEED = 0.1
"""Seconds of a frame for which an animation says none."""


def load_clips(path: Path, *, size: int, frames: int) -> Float[Tensor, "k 3 t s s"]:
    """Read a video as normalised clips, three crops of each of `CLIPS`.

    Args:
        path: an animation that Pillow reads, or any video if PyAV is installed.
        size: side of the encoder's images, in pixels.
        frames: frames of a clip.

    Raises:
        PromptError: when the file is missing, damaged, no video, or needs PyAV.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise PromptError(f"--video {path} {what}. Give the path of a GIF or MP4 file.")
    count, seconds = _length(path)
    wanted = clip_indices(count, seconds, frames)
    chosen = _read(path, sorted({i for clip in wanted for i in clip}))
    missing = [i for clip in wanted for i in clip if i not in chosen]
    if missing:
        raise PromptError(f"--video {path} is damaged: frame {missing[0]} cannot be read.")
    clips = [torch.stack([chosen[i] for i in clip]) for clip in wanted]
    return torch.cat([crop_clip(clip, size) for clip in clips])


def clip_indices(count: int, seconds: float, frames: int) -> list[list[int]]:
    """Frame numbers of every clip: evenly spaced from a clip's first frame to its last."""
    spare, rate = max(seconds - CLIP_SECONDS, 0.0), count / seconds
    clips = []
    for i in range(CLIPS):
        start = spare / CLIPS * i
        first = min(math.ceil(rate * start), count - 1)
        end = min(max(math.ceil(rate * (start + CLIP_SECONDS)), first + 1), count)
        clips.append((first + torch.linspace(0, end - first - 1, frames).long()).tolist())
    return clips


def crop_clip(frames: Float[Tensor, "t 3 h w"], size: int) -> Float[Tensor, "3 3 t s s"]:
    """Colours in [0, 1] to the normalised start, middle and end of the longer side."""
    height, width = frames.shape[-2:]
    short = min(height, width)
    shape = (math.floor(height / short * size), math.floor(width / short * size))
    scaled = interpolate(frames, shape, mode="bilinear", align_corners=False)
    mean, std = (torch.tensor(c).view(3, 1, 1) for c in (CLIP_MEAN, CLIP_STD))
    clip = ((scaled - mean) / std).transpose(0, 1)
    spare = max(shape) - size
    crops = []
    for start in (0, math.ceil(spare / 2), spare):
        top, left = (start, 0) if shape[0] > shape[1] else (0, start)
        crops.append(clip[..., top : top + size, left : left + size])
    return torch.stack(crops)


def _length(path: Path) -> tuple[int, float]:
    """Frames, and seconds that they last."""
    if path.suffix.lower() in _ANIMATIONS:
        with _open_animation(path) as file:
            pages = islice(ImageSequence.Iterator(file), MAX_FRAMES)
            try:
                times = [float(page.info.get("duration") or 0) / 1000 or _SPEED for page in pages]
            except (OSError, EOFError, ValueError) as error:
                raise PromptError(f"--video {path} is damaged ({error}).") from error
        return len(times), sum(times)
    count, rate = 0, 0.0
    for _, rate in islice(_frames(path), MAX_FRAMES):  # noqa: B007
        count += 1
    if count == 0 or rate <= 0:
        raise PromptError(f"--video {path} holds no pictures. Give a GIF or MP4 file.")
    return count, count / rate


def _read(path: Path, wanted: Sequence[int]) -> dict[int, Float[Tensor, "3 h w"]]:
    """The wanted frames, in [0, 1]."""
    found = {}
    if path.suffix.lower() in _ANIMATIONS:
        with _open_animation(path) as file:
            for i in wanted:
                try:
                    file.seek(i)
                    found[i] = _colours(np.asarray(file.convert("RGB")))
                except (OSError, EOFError, ValueError):
                    return found
        return found
    last = wanted[-1]
    for i, (frame, _) in enumerate(islice(_frames(path), last + 1)):
        if i in wanted:
            found[i] = _colours(frame.to_ndarray(format="rgb24"))
    return found


def _colours(pixels: np.ndarray) -> Float[Tensor, "3 h w"]:
    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)


def _open_animation(path: Path) -> Image.Image:
    try:
        file = Image.open(path)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise PromptError(f"--video {path} cannot be read as an animation ({error}).") from error
    try:
        _check_size(file.size, path)
    except PromptError:
        file.close()
        raise
    return file


def _check_size(size: tuple[int, int], path: Path) -> None:
    if size[0] * size[1] > MAX_PIXELS or min(size) < MIN_SIDE:
        raise PromptError(
            f"--video {path} has {size[0]} × {size[1]} pixels; from {MIN_SIDE} × {MIN_SIDE} to "
            f"{MAX_PIXELS // 10**6} million are read."
        )


def _frames(path: Path) -> Iterator[tuple[Any, float]]:
    """Decoded frames of a video with its frames per second."""
    try:
        import av
    except ImportError as error:
        raise PromptError(
            f"--video {path} needs PyAV to be read.\n"
            f"Install it with:  pip install 'xbind[video]'  or give a GIF, which needs nothing."
        ) from error
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise PromptError(f"--video {path} holds no pictures. Give a GIF or MP4 file.")
            stream = container.streams.video[0]
            _check_size((stream.codec_context.width, stream.codec_context.height), path)
            rate = float(stream.average_rate or 0)
            for frame in container.decode(stream):
                yield frame, rate
    except (av.FFmpegError, OSError, ValueError) as error:
        raise PromptError(f"--video {path} cannot be read as a video ({error}).") from error
