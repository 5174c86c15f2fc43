"""Moving pictures: which frames are taken, and what they become."""

import builtins
import contextlib

import av
import numpy as np
import pytest
import torch
from PIL import Image

from xbind.conditioning import video
from xbind.conditioning.errors import PromptError
from xbind.conditioning.video import clip_indices, crop_clip, load_clips
from xbind.models.preprocess import CLIP_MEAN, CLIP_STD


def greys(count):
    """Frame i is a plain grey of its own."""
    return [np.full((48, 64, 3), 20 + i, np.uint8) for i in range(count)]


def write_gif(path, frames, seconds_each):
    pages = [Image.fromarray(frame) for frame in frames]
    # every page kept, though it is like the last one
    pages[0].save(
        path, save_all=True, append_images=pages[1:], duration=int(1000 * seconds_each), loop=0
    )


def write_mp4(path, frames, rate):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.bit_rate = 4_000_000
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def grey_of(clips):
    """The grey of each clip's frames, from its middle crop."""
    mean, std = (torch.tensor(c).view(1, 3, 1, 1, 1) for c in (CLIP_MEAN, CLIP_STD))
    values = (clips * std + mean) * 255
    assert values.amax((1, 3, 4)).sub(values.amin((1, 3, 4))).max() < 8
    return values[1::3].mean((1, 3, 4)) - 20


def test_frames_of_a_known_video():
    # 12 s at 10 frames per second: clips of 20 frames start at 0, 2, 4, 6, 8 s
    assert clip_indices(120, 12.0, 2) == [[0, 19], [20, 39], [40, 59], [60, 79], [80, 99]]
    assert clip_indices(120, 12.0, 3)[1] == [20, 29, 39]


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_short_video_gives_the_same_clip_five_times(count):
    assert clip_indices(count, count / 10, 2) == [[0, count - 1]] * 5


@pytest.mark.parametrize("kind", ["gif", "mp4"])
def test_a_file_s_frames_are_the_wanted_ones(tmp_path, kind):
    path, frames = tmp_path / f"a.{kind}", greys(60)
    if kind == "gif":
        write_gif(path, frames, 0.1)
    else:
        write_mp4(path, frames, 10)
    clips = load_clips(path, size=32, frames=2)
    assert clips.shape == (15, 3, 2, 32, 32)
    want = torch.tensor(clip_indices(60, 6.0, 2)).float()
    assert (grey_of(clips) - want).abs().max() < 3  # the codec is not exact


@pytest.mark.parametrize("shape", [(48, 64), (64, 48), (48, 48)])
def test_crops_are_the_ends_and_the_middle_of_the_longer_side(shape):
    ramp = torch.linspace(0, 1, max(shape))
    frames = (
        ramp.expand(2, 3, *shape) if shape[1] >= shape[0] else ramp[:, None].expand(2, 3, *shape)
    )
    crops = crop_clip(frames, 48)
    mean, std = (torch.tensor(c).view(3, 1, 1, 1) for c in (CLIP_MEAN, CLIP_STD))
    spare = max(shape) - 48
    for crop, start in zip(crops, (0, (spare + 1) // 2, spare), strict=True):
        line = (crop * std + mean)[0, 0]
        line = line[0] if shape[1] >= shape[0] else line[:, 0]
        torch.testing.assert_close(line, ramp[start : start + 48], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("a.mp4", lambda p: None, "does not exist"),
        ("a.mp4", lambda p: p.mkdir(), "is a folder"),
        ("a.gif", lambda p: p.write_bytes(b"GIF89a"), "cannot be read as an animation"),
        ("a.mp4", lambda p: p.write_bytes(b"no video"), "cannot be read as a video"),
        ("a.gif", lambda p: Image.new("L", (8, 8)).save(p), "has 8 × 8 pixels"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path, name, make, message):
    path = tmp_path / name
    make(path)
    with pytest.raises(PromptError, match=message) as refusal:
        load_clips(path, size=32, frames=2)
    assert f"--video {path}" in str(refusal.value)


def test_a_cut_gif_is_refused_or_read(tmp_path):
    path = tmp_path / "a.gif"
    write_gif(path, greys(30), 0.1)
    whole = path.read_bytes()
    for share in (0.2, 0.5, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        with contextlib.suppress(PromptError):
            assert torch.isfinite(load_clips(path, size=32, frames=2)).all()


def test_without_pyav_the_message_says_what_to_install(tmp_path, monkeypatch):
    real = builtins.__import__

    def without_av(name, *args, **kwargs):
        if name == "av":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    (tmp_path / "a.mp4").write_bytes(b"x")
    monkeypatch.setattr(builtins, "__import__", without_av)
    with pytest.raises(PromptError, match=r"pip install 'xbind\[video\]'"):
        load_clips(tmp_path / "a.mp4", size=32, frames=2)


def test_a_long_video_is_used_up_to_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(video, "MAX_FRAMES", 30)
    write_gif(tmp_path / "a.gif", greys(60), 0.1)
    clips = load_clips(tmp_path / "a.gif", size=32, frames=2)
    want = torch.tensor(clip_indices(30, 3.0, 2)).float()
    assert (grey_of(clips) - want).abs().max() < 2
