"""Limits before decoding, formats by list: no gigabytes, no minutes, no other program."""

import io
import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch
from loader_seeds import animations, meshes
from PIL import EpsImagePlugin, Image

from xbind.conditioning import audio_files, picture_files, video
from xbind.conditioning.audio import load_audio
from xbind.conditioning.errors import PromptError
from xbind.conditioning.image import load_image
from xbind.conditioning.imu import load_motion
from xbind.conditioning.video import load_clips
from xbind.scene.mesh.textured import UnreadableMesh, read_glb

FRAME = (
    b"\x21\xf9\x04\x00\x0a\x00\x00\x00"  # shown for .1 s
    b"\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x4c\x01\x00"  # one pixel, at the corner
)
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n%%EOF\n"


def gif(side, frames):
    """A large screen on which each frame changes one pixel."""
    head = b"GIF89a" + 2 * side.to_bytes(2, "little") + b"\x80\x00\x00" + 3 * b"\0" + 3 * b"\xff"
    return head + frames * FRAME + b"\x3b"


def test_a_small_file_of_large_frames_takes_little_memory(tmp_path):
    """Ten frames of 3000 × 3000 in floats are 1 GiB; one at a time they are a tenth of it."""
    (tmp_path / "a.gif").write_bytes(gif(3000, 40))
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from xbind.conditioning.video import load_clips\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "print(tuple(load_clips(Path(sys.argv[1]), size=32, frames=2).shape), peak() - before)"
    )
    words = [sys.executable, "-P", "-c", program, str(tmp_path / "a.gif")]
    shape, _, kib = subprocess.check_output(words, text=True).strip().rpartition(" ")
    assert shape == "(15, 3, 2, 32, 32)"
    assert int(kib) < 500 * 1024


def test_too_many_pixels_in_all_frames_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    def decoded(_image):
        raise AssertionError("a frame was decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decoded)
    (tmp_path / "a.gif").write_bytes(gif(5000, 200))
    with pytest.raises(PromptError, match="200 or more frames of 5000 × 5000 pixels"):
        load_clips(tmp_path / "a.gif", size=32, frames=2)


def test_a_frame_that_is_larger_than_the_screen_is_refused(tmp_path):
    frame = FRAME.replace(b"\x01\x00\x01\x00\x00\x02", b"\xff\xff\xff\xff\x00\x02")
    (tmp_path / "a.gif").write_bytes(gif(100, 1)[:-1] + frame + b"\x3b")
    with pytest.raises(PromptError, match=r"pixels; at most|more pixels than can be decoded"):
        load_clips(tmp_path / "a.gif", size=32, frames=2)


def test_frames_of_several_sizes_are_refused(tmp_path):
    frame = FRAME.replace(b"\x01\x00\x01\x00\x00\x02", b"\x80\x00\x20\x00\x00\x02")
    (tmp_path / "a.gif").write_bytes(gif(32, 1)[:-1] + frame + b"\x3b")
    with pytest.raises(PromptError, match=r"changes its size|cannot be read"):
        load_clips(tmp_path / "a.gif", size=16, frames=2)


@pytest.mark.parametrize("size", [(600, 16), (16, 600)])
def test_a_strip_is_refused(tmp_path, size):
    """Its shorter side is brought to the encoder's size, so its longer side would be 8 400."""
    pages = [Image.new("RGB", size, colour) for colour in ("red", "blue")]
    pages[0].save(tmp_path / "a.gif", save_all=True, append_images=pages[1:])
    for load in (load_image, lambda path: load_clips(path, size=224, frames=2)):
        with pytest.raises(PromptError, match="32 times the shorter one"):
            load(tmp_path / "a.gif")


def test_only_so_many_blank_frames_are_looked_at(tmp_path, monkeypatch):
    """The object is on the last of nine frames; after four the first one is used, blank."""
    pages = [Image.new("L", (32, 32), 9 * i) for i in range(8)]
    shown = Image.new("L", (32, 32))
    shown.paste(255, (8, 8, 24, 24))
    pages[0].save(tmp_path / "a.gif", save_all=True, append_images=[*pages[1:], shown])
    assert load_image(tmp_path / "a.gif").rgb.amax() == 1
    monkeypatch.setattr(picture_files, "MAX_BLANK_PIXELS", 4 * 32 * 32 - 1)
    assert load_image(tmp_path / "a.gif").rgb.amax() == 0


@pytest.fixture
def ghostscript(tmp_path, monkeypatch):
    """A program `gs` that leaves a mark; returns the place of the mark."""
    mark, program = tmp_path / "mark", tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {mark}\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    with pytest.raises(subprocess.CalledProcessError), Image.open(io.BytesIO(POSTSCRIPT)) as file:
        file.load()
    assert mark.exists()  # this is how Pillow starts it
    mark.unlink()
    return mark


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_postscript_starts_no_program(tmp_path, ghostscript, name):
    path = tmp_path / name
    path.write_bytes(POSTSCRIPT)
    for load in (load_image, lambda path: load_clips(path, size=32, frames=2)):
        with pytest.raises(PromptError, match="cannot be read as"):
            load(path)
    assert not ghostscript.exists()


def test_postscript_as_a_mesh_s_texture_starts_no_program(tmp_path, ghostscript):
    glb = meshes()["box"]
    at = glb.index(b"\x89PNG")
    text = POSTSCRIPT.ljust(glb.index(b"IEND") + 8 - at, b"\n")
    (tmp_path / "a.glb").write_bytes(glb[:at] + text + glb[at + len(text) :])
    with pytest.raises(UnreadableMesh, match="neither PNG nor JPEG"):
        read_glb(tmp_path / "a.glb")
    assert not ghostscript.exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"uri": "file:///etc/passwd"}, "outside of the file"),
        ({"bufferView": 99}, "damaged"),
    ],
)
def test_a_texture_outside_of_the_file_is_refused(tmp_path, change, told):
    glb = meshes()["box"]
    size = int.from_bytes(glb[12:16], "little")
    document = json.loads(glb[20 : 20 + size])
    document["images"] = [document["images"][0] | change]
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    body = len(text).to_bytes(4, "little") + b"JSON" + text + glb[20 + size :]
    head = b"glTF" + (2).to_bytes(4, "little") + (12 + len(body)).to_bytes(4, "little")
    (tmp_path / "a.glb").write_bytes(head + body)
    with pytest.raises(UnreadableMesh, match=told):
        read_glb(tmp_path / "a.glb")


def write_mp4(path, size=32):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        for grey in (0, 80, 160):
            pixels = np.full((size, size, 3), grey, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def test_a_playlist_that_names_other_files_is_refused(tmp_path):
    write_mp4(tmp_path / "other.mp4")
    assert torch.isfinite(load_clips(tmp_path / "other.mp4", size=16, frames=2)).all()
    for number, text in enumerate(
        (
            "ffconcat version 1.0\nfile other.mp4\n",
            "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.mp4\n#EXT-X-ENDLIST\n",
        )
    ):
        (tmp_path / f"{number}.mp4").write_text(text)
        with pytest.raises(PromptError, match="cannot be read as a video"):
            load_clips(tmp_path / f"{number}.mp4", size=16, frames=2)


def test_a_file_s_name_is_never_a_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_mp4(tmp_path / "concat:a.mp4")
    assert torch.isfinite(load_clips(Path("concat:a.mp4"), size=16, frames=2)).all()


def test_a_video_that_takes_minutes_is_refused(tmp_path, monkeypatch):
    write_mp4(tmp_path / "a.mp4")
    monkeypatch.setattr(video, "MAX_VIDEO_PIXELS", 2 * 32 * 32)
    with pytest.raises(PromptError, match="3 or more frames of 32 × 32 pixels"):
        load_clips(tmp_path / "a.mp4", size=16, frames=2)


def sound(channels, rate, seconds=0.5):
    return np.ones((int(seconds * rate), channels)) * 0.5, rate


@pytest.mark.parametrize(
    ("channels", "rate", "told"),
    [(65, 8000, "65 channels"), (2, 999, "999 samples per second"), (1, 800_000, "800000 samples")],
)
def test_headers_of_sounds_are_checked_before_a_sample_is_decoded(
    tmp_path, monkeypatch, channels, rate, told
):
    soundfile.write(tmp_path / "a.wav", *sound(channels, rate))
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *_: pytest.fail("a block was decoded"))
    with pytest.raises(PromptError, match=told):
        load_audio(tmp_path / "a.wav")


def test_a_sound_of_too_many_samples_is_refused(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", *sound(4, 8000))
    monkeypatch.setattr(audio_files, "MAX_VALUES", 4 * 4000 - 1)
    with pytest.raises(PromptError, match="4 channels at 8000"):
        load_audio(tmp_path / "a.wav")


@pytest.mark.parametrize("kind", ["VOC", "NIST", "SD2", "MAT5"])
def test_sounds_of_formats_that_are_not_listed_are_refused(tmp_path, kind):
    soundfile.write(tmp_path / "a.wav", *sound(1, 8000), format=kind, subtype="PCM_16")
    with pytest.raises(PromptError, match="cannot be read as a sound"):
        load_audio(tmp_path / "a.wav")


@pytest.mark.parametrize("name", ["a.raw", "a.sd2", "a"])
def test_a_sound_is_told_by_its_content(tmp_path, name):
    soundfile.write(tmp_path / name, *sound(1, 8000), format="WAV", subtype="PCM_16")
    assert load_audio(tmp_path / name).seconds == 0.5
    (tmp_path / name).write_bytes(bytes(5000))
    with pytest.raises(PromptError, match="cannot be read as a sound"):
        load_audio(tmp_path / name)


def test_a_huge_table_of_motion_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "a.csv").open("wb") as file:
        file.truncate(300 * 2**20)
    with pytest.raises(PromptError, match="314572800 bytes"):
        load_motion(tmp_path / "a.csv", 100)


def test_libraries_in_c_write_nothing_to_the_terminal(tmp_path, capfd):
    data = animations()["a.png"]
    (tmp_path / "a.png").write_bytes(data)
    load_image(tmp_path / "a.png")
    picture = Image.fromarray(np.arange(576, dtype=np.uint8).reshape(24, 24))
    picture.save(tmp_path / "a.tiff", compression="tiff_lzw")
    whole = (tmp_path / "a.tiff").read_bytes()
    at = whole.index(b"\x80", 8)
    (tmp_path / "a.tiff").write_bytes(whole[: at + 30] + b"\xff" * 40 + whole[at + 70 :])
    with pytest.raises(PromptError):
        load_image(tmp_path / "a.tiff")
    assert capfd.readouterr() == ("", "")
