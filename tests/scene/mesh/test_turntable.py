"""Turntables are read back with Pillow and PyAV."""

import av
import numpy as np
import pytest
import torch
from PIL import Image

from xbind.scene.mesh.turntable import TurntableError, to_frames, write_turntable


@pytest.fixture
def frames(rng):
    """Five frames, 6 × 8, of few enough colours to survive a palette."""
    return torch.randint(0, 256, (5, 6, 8, 3), generator=rng, dtype=torch.uint8)


def test_animation_has_every_frame_and_its_speed(tmp_path, frames):
    write_turntable(tmp_path / "a.gif", frames, fps=10.0)
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 5
        assert gif.info["duration"] == 100
        assert gif.info["loop"] == 0
        for k in range(5):
            gif.seek(k)
            error = np.abs(np.asarray(gif.convert("RGB"), int) - frames[k].numpy())
            assert error.mean() < 2


def test_sheet_shows_every_pixel(tmp_path, frames):
    write_turntable(tmp_path / "a.png", frames)
    with Image.open(tmp_path / "a.png") as png:
        sheet = torch.from_numpy(np.array(png))
    assert sheet.shape == (18, 16, 3)
    want = torch.cat([frames, torch.full_like(frames[:1], 255)])
    assert torch.equal(sheet.view(3, 6, 2, 8, 3).transpose(1, 2).reshape(6, 6, 8, 3), want)


@pytest.mark.parametrize("size", [(64, 96), (33, 51)])
def test_video_has_every_frame_its_speed_and_its_colours(tmp_path, size):
    colours = [[200, 0, 0], [0, 160, 40], [30, 60, 220], [250, 250, 250]]
    frames = torch.tensor(colours, dtype=torch.uint8)[:, None, None].expand(4, *size, 3)
    write_turntable(tmp_path / "a.mp4", frames, fps=12.0)
    with av.open(tmp_path / "a.mp4") as video:
        stream = video.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 12
        decoded = list(video.decode(stream))
    assert len(decoded) == 4
    for frame, colour in zip(decoded, colours, strict=True):
        assert (frame.colorspace, frame.color_range) == (1, 1)  # BT.709, limited range
        y, u, v = frame.to_ndarray()[20, 20], *(frame.planes[k] for k in (1, 2))
        u, v = (np.frombuffer(plane, np.uint8)[10 * plane.line_size + 10] for plane in (u, v))
        y, u, v = (float(y) - 16) / 219, (float(u) - 128) / 224, (float(v) - 128) / 224
        shown = [y + 1.5748 * v, y - 0.1873 * u - 0.4681 * v, y + 1.8556 * u]  # BT.709
        np.testing.assert_allclose(np.array(shown) * 255, colour, atol=4)


def test_video_without_pyav_names_what_to_install(tmp_path, frames, monkeypatch):
    monkeypatch.setattr("xbind.scene.mesh.turntable.can_write_video", lambda: False)
    with pytest.raises(TurntableError, match=r"pip install 'xbind\[video\]'"):
        write_turntable(tmp_path / "a.mp4", frames)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.mp4"])
def test_same_frames_give_same_bytes_and_nothing_else(tmp_path, frames, name):
    path = tmp_path / name
    write_turntable(path, frames)
    first = path.read_bytes()
    write_turntable(path, frames)
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]


def test_refuses_what_it_cannot_write(tmp_path, frames):
    with pytest.raises(TurntableError, match=r"a \.gif, \.mp4 or \.png, not '\.webm'"):
        write_turntable(tmp_path / "a.webm", frames)
    with pytest.raises(TurntableError, match="No frames"):
        write_turntable(tmp_path / "a.gif", frames[:0])


def test_images_side_by_side():
    red, dim = torch.zeros(2, 3, 4, 5), torch.full((2, 3, 4, 5), 0.5)
    red[:, 0] = 1.2  # out of range: clipped
    frames = to_frames(red, dim)
    assert frames.shape == (2, 4, 10, 3)
    assert frames.dtype == torch.uint8
    assert torch.equal(frames[0, 0, 0], torch.tensor([255, 0, 0], dtype=torch.uint8))
    assert (frames[:, :, 5:] == 128).all()
