"""Turntables are read back with Pillow."""

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


@pytest.mark.parametrize("name", ["a.gif", "a.png"])
def test_same_frames_give_same_bytes_and_nothing_else(tmp_path, frames, name):
    path = tmp_path / name
    write_turntable(path, frames)
    first = path.read_bytes()
    write_turntable(path, frames)
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]


def test_refuses_what_it_cannot_write(tmp_path, frames):
    with pytest.raises(TurntableError, match=r"a \.gif or a \.png, not '\.mp4'"):
        write_turntable(tmp_path / "a.mp4", frames)
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
