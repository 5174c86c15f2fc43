"""What a report embeds: read back with Pillow, soundfile and trimesh."""

import base64
import io

import numpy as np
import pytest
import soundfile
import torch
import trimesh
from PIL import Image

from tests.support import khronos
from tests.support.finished_runs import ball, gradient, write_mesh
from xbind.run import report_media
from xbind.run.report_media import picture_uri, prompt_parts, turntable_uri, viewer_mesh
from xbind.scene.mesh.turntable import write_turntable


def content(uri, kind):
    head, _, body = uri.partition(",")
    assert head == f"data:{kind};base64"
    return base64.b64decode(body)


def parts(**prompt):
    return list(prompt_parts(prompt))


def test_text_and_weights_are_shown_in_the_order_of_the_modalities(tmp_path):
    found = parts(audio=str(tmp_path / "b.wav"), text="a mug", text_weight=2.0, image=None)
    assert [(p.modality, p.words, p.weight) for p in found] == [
        ("text", "a mug", 2.0), ("audio", "b.wav", 1.0),
    ]  # fmt: skip
    assert found[1].missing == "is no longer where it was"


def test_a_picture_becomes_a_small_one(tmp_path):
    Image.new("RGBA", (800, 400), (10, 200, 30, 128)).save(tmp_path / "p.png")
    (part,) = parts(image=str(tmp_path / "p.png"))
    with Image.open(io.BytesIO(content(part.picture, "image/png"))) as small:
        assert (small.size, small.mode) == ((256, 128), "RGBA")
        assert small.getpixel((3, 3)) == pytest.approx((10, 200, 30, 128), abs=1)


def test_a_depth_map_is_shown_as_nearness(tmp_path):
    depth = np.full((16, 16), 2000, np.uint16)
    depth[:8] = 1000
    Image.fromarray(depth).save(tmp_path / "d.png")
    (part,) = parts(depth=str(tmp_path / "d.png"), depth_kind="depth")
    with Image.open(io.BytesIO(content(part.picture, "image/png"))) as small:
        assert small.convert("L").getpixel((0, 0)) == 255
        assert small.convert("L").getpixel((0, 15)) == 128


def test_of_a_long_sound_the_loudest_ten_seconds_are_played(tmp_path):
    rate = 8000
    wave = 0.01 * np.sin(np.arange(40 * rate) * 0.3)
    wave[25 * rate : 30 * rate] *= 50
    soundfile.write(tmp_path / "s.wav", wave, rate)
    (part,) = parts(audio=str(tmp_path / "s.wav"))
    clip, found_rate = soundfile.read(io.BytesIO(content(part.sound, "audio/mpeg")))
    assert len(clip) / found_rate == pytest.approx(10, abs=0.2)
    assert np.sqrt((clip**2).mean()) > 0.2  # the loud five seconds, of RMS 0.35, are all in it


def test_sounds_beyond_full_scale_are_not_clipped(tmp_path):
    wave = (20_000 * np.sin(np.arange(16_000) * 0.2)).astype(np.float32)
    soundfile.write(tmp_path / "s.wav", wave, 16_000, subtype="FLOAT")
    (part,) = parts(audio=str(tmp_path / "s.wav"))
    clip, _ = soundfile.read(io.BytesIO(content(part.sound, "audio/mpeg")))
    assert np.sqrt((clip**2).mean()) == pytest.approx(np.sqrt(0.5), abs=0.05)  # not a square wave


@pytest.mark.parametrize("modality", ["image", "audio", "depth", "thermal"])
def test_a_damaged_file_costs_its_picture_only(tmp_path, modality):
    (tmp_path / "x.png").write_bytes(b"nothing")
    (part,) = parts(**{modality: str(tmp_path / "x.png")})
    assert (part.picture, part.sound) == (None, None)
    assert part.missing == "cannot be shown"


def test_large_pictures_are_embedded_smaller(tmp_path, rng):
    pixels = torch.randint(0, 256, (900, 1200, 3), generator=rng, dtype=torch.uint8)
    Image.fromarray(pixels.numpy()).save(tmp_path / "r.png")
    with Image.open(io.BytesIO(content(picture_uri(tmp_path / "r.png"), "image/jpeg"))) as small:
        assert small.size == (768, 576)
    Image.new("RGB", (900, 900)).save(tmp_path / "r.png")
    assert (
        content(picture_uri(tmp_path / "r.png"), "image/png") == (tmp_path / "r.png").read_bytes()
    )
    assert picture_uri(tmp_path / "none.png") is None


def test_the_video_is_preferred_and_a_large_animation_loses_frames(tmp_path, rng):
    assert turntable_uri(tmp_path) is None
    frames = torch.randint(0, 256, (40, 160, 320, 3), generator=rng, dtype=torch.uint8)
    write_turntable(tmp_path / "turntable.gif", frames, fps=20)
    size = (tmp_path / "turntable.gif").stat().st_size
    assert size > 2 * report_media.TURNTABLE_BYTES
    data = content(turntable_uri(tmp_path), "image/gif")
    assert len(data) < report_media.TURNTABLE_BYTES
    with Image.open(io.BytesIO(data)) as gif:
        every = round(40 / gif.n_frames)
        assert gif.info["duration"] == 50 * every
    (tmp_path / "turntable.mp4").write_bytes(b"video")
    assert content(turntable_uri(tmp_path), "video/mp4") == b"video"


def test_a_small_mesh_is_embedded_as_it_is(tmp_path):
    path = write_mesh(tmp_path / "mesh.glb")
    shown = viewer_mesh(path)
    assert content(shown.uri, "model/gltf-binary") == path.read_bytes()
    assert shown.note == ""


def test_a_large_mesh_is_embedded_as_a_smaller_copy(tmp_path, monkeypatch):
    path = write_mesh(tmp_path / "mesh.glb", ball(5), size=512, height=0.2)
    monkeypatch.setattr(report_media, "VIEWER_BYTES", 100_000)
    monkeypatch.setattr(report_media, "REDUCED", ((7000, 512), (1500, 128)))
    shown = viewer_mesh(path)
    data = content(shown.uri, "model/gltf-binary")
    assert len(data) <= 100_000 < path.stat().st_size
    assert shown.note == "This page shows a copy with 1500 faces and 128² texels."
    (tmp_path / "copy.glb").write_bytes(data)
    mesh = trimesh.load(tmp_path / "copy.glb", force="mesh", process=False)
    assert len(mesh.faces) == 1500
    assert mesh.extents[1] == pytest.approx(0.2, rel=1e-3)
    colours = np.asarray(mesh.visual.material.baseColorTexture.convert("RGB")).reshape(-1, 3) / 255
    wanted = gradient(ball(3).vertices).clamp(0, 1).mean(0)
    np.testing.assert_allclose(colours.mean(0), wanted, atol=0.05)
    issues = khronos.validate(tmp_path / "copy.glb")["issues"]
    assert (issues["numErrors"], issues["numWarnings"]) == (0, 0)
