"""A moving picture to the clips that ImageBind's vision trunk reads.

ImageBind's own preparation: five clips of 2 s whose starts divide the video evenly; the first and
the last frame of each; shorter side to the encoder's size (bilinear), CLIP's normalisation, and of
every clip the two ends and the middle of its longer side.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from xbind.conditioning.errors import PromptError
from xbind.conditioning.picture_files import (
    ANIMATION,
    MAX_FRAME_PIXELS,
    check_size,
    frames_of,
    opened,
)
from xbind.models.preprocess import CLIP_MEAN, CLIP_STD
from xbind.system.untrusted import fault_of, guarded

CLIPS = 5
"""Clips of a video."""
CLIP_SECONDS = 2.0
"""Length of a clip, in seconds."""
MAX_FRAMES = 20_000
"""A longer video is used up to here: eleven minutes at 30 frames per second."""
MAX_ANIMATION_PIXELS = 4_000_000_000
"""Pixels of all frames that Pillow decodes, at most: 2 000 frames of 1920 × 1080."""
MAX_VIDEO_PIXELS = 20_000_000_000
"""The same for PyAV, which decodes several times as fast."""
_ANIMATIONS = (".gif", ".webp", ".png", ".apng")
_FFMPEG_FORMATS = "mov,mp4,matroska,webm,avi,mpeg,mpegts,ogg,flv,asf,gif,mpegvideo,h264,hevc,ivf"
"""FFmpeg's names of the containers that are read; playlists, which name other files, are not."""
_LONGEST_FRAME = 3600.0
"""Seconds; a frame that claims more is damage."""
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
    fault = fault_of(path)
    if fault is not None:
        raise PromptError(f"--video {path} {fault}. Give the path of a GIF or MP4 file.")
    count, seconds = _length(path)
    wanted = clip_indices(count, seconds, frames)
    chosen = _read(path, sorted({i for clip in wanted for i in clip}), size)
    missing = [i for clip in wanted for i in clip if i not in chosen]
    if missing:
        raise PromptError(f"--video {path} is damaged: frame {missing[0]} cannot be read.")
    if len({frame.shape for frame in chosen.values()}) > 1:
        raise PromptError(f"--video {path} changes its size from frame to frame: cut out one part.")
    clips = [torch.stack([chosen[i] for i in clip]) for clip in wanted]
    return torch.cat([_crops(clip, size) for clip in clips])


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
    return _crops(torch.stack([shrink(frame, size) for frame in frames]), size)


def shrink(frame: Float[Tensor, "3 h w"], size: int) -> Float[Tensor, "3 h2 w2"]:
    """Resizes a frame so that its shorter side is `size` pixels (bilinear, without a prefilter)."""
    height, width = frame.shape[-2:]
    short = min(height, width)
    shape = (math.floor(height / short * size), math.floor(width / short * size))
    return interpolate(frame[None], shape, mode="bilinear", align_corners=False)[0]


def _crops(scaled: Float[Tensor, "t 3 h w"], size: int) -> Float[Tensor, "3 3 t s s"]:
    """The normalised start, middle and end of the longer side of frames that `shrink` has made."""
    shape = scaled.shape[-2:]
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
        with opened(path, "--video", ANIMATION) as file:
            count = min(getattr(file, "n_frames", 1), MAX_FRAMES)
            _check_work(count, file.size, MAX_ANIMATION_PIXELS, path)
            frames = frames_of(file, path, "--video", count, MAX_FRAME_PIXELS)
            times = [float(frame.info.get("duration") or 0) / 1000 or _SPEED for frame in frames]
        if not all(0 < time < _LONGEST_FRAME for time in times):
            raise PromptError(f"--video {path} is damaged: it has a frame of {max(times):.0f} s.")
        return len(times), sum(times)
    count, rate = 0, 0.0
    for frame, rate in islice(_frames(path), MAX_FRAMES):  # noqa: B007
        count += 1
        _check_work(count, (frame.width, frame.height), MAX_VIDEO_PIXELS, path)
    if count == 0 or rate <= 0:
        raise PromptError(f"--video {path} holds no pictures. Give a GIF or MP4 file.")
    return count, count / rate


def _check_work(frames: int, size: tuple[int, int], most: int, path: Path) -> None:
    """Refuses a video that would take minutes to decode, before its frames are decoded.

    Raises:
        PromptError: it has more than `most` pixels in all its frames.
    """
    if frames * size[0] * size[1] > most:
        raise PromptError(
            f"--video {path} has {frames} or more frames of {size[0]} × {size[1]} pixels; at most "
            f"{most // 10**6} million pixels are decoded.\n"
            f"Cut it to some seconds, or reduce its size: 320 pixels a side are plenty."
        )


def _read(path: Path, wanted: Sequence[int], size: int) -> dict[int, Float[Tensor, "3 h w"]]:
    """The wanted frames, in [0, 1], each reduced to `size` before the next is decoded."""
    found = {}
    if path.suffix.lower() in _ANIMATIONS:
        with opened(path, "--video", ANIMATION) as file:
            frames = frames_of(file, path, "--video", wanted[-1] + 1, MAX_FRAME_PIXELS)
            for i, frame in enumerate(frames):
                if i in wanted:
                    found[i] = shrink(_colours(np.asarray(frame.convert("RGB"))), size)
        return found
    last = wanted[-1]
    for i, (frame, _) in enumerate(islice(_frames(path), last + 1)):
        if i in wanted:
            with guarded(_unreadable(path)):
                pixels = frame.to_ndarray(format="rgb24")
            found[i] = shrink(_colours(pixels), size)
    return found


def _colours(pixels: np.ndarray) -> Float[Tensor, "3 h w"]:
    values = pixels.astype(np.float32)
    values /= 255  # in place: a frame can have a hundred million values
    return torch.from_numpy(values).permute(2, 0, 1)


def _unreadable(path: Path) -> Callable[[str], PromptError]:
    return lambda why: PromptError(
        f"--video {path} cannot be read as a video ({why}).\n"
        f"Give a GIF, MP4, MOV, WebM, MKV, AVI, OGV, FLV or MPEG file."
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
    # An absolute path is never taken for a URL, such as `concat:`; playlists are no format here.
    options = {"format_whitelist": _FFMPEG_FORMATS, "protocol_whitelist": "file"}
    with guarded(_unreadable(path)), av.open(str(path.absolute()), options=options) as container:
        if not container.streams.video:
            raise PromptError(f"--video {path} holds no pictures. Give a GIF or MP4 file.")
        stream = container.streams.video[0]
        context = stream.codec_context
        check_size((context.width, context.height), path, "--video", MAX_FRAME_PIXELS)
        context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
        rate = float(stream.average_rate or 0)
        for frame in container.decode(stream):
            check_size((frame.width, frame.height), path, "--video", MAX_FRAME_PIXELS)
            yield frame, rate
