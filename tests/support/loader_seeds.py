"""Whole small files of every kind that a loader reads: what fuzzing starts from."""

import io
import json
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import soundfile
import torch
import trimesh
from PIL import Image
from safetensors.torch import save

from xbind.networks.manifest import SHIPPED

MINI = SHIPPED / "mini"


def _disc(size: int = 24, mode: str = "RGB") -> Image.Image:
    y, x = np.mgrid[:size, :size] - size / 2 + 0.5
    inside = (x**2 + y**2 < (size / 3) ** 2)[..., None]
    pixels = np.where(inside, (200, 30, 20), (250, 250, 250)).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def _saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def pictures() -> dict[str, bytes]:
    disc = _disc()
    clear = disc.convert("RGBA")
    clear.putalpha(Image.fromarray(255 - np.asarray(disc)[..., 1]))
    wide = Image.fromarray(np.asarray(disc.convert("L"), np.uint16) * 257)
    pages = [Image.new("RGB", (24, 24), "white"), disc]
    return {
        "rgb.png": _saved(disc, "PNG"),
        "alpha.png": _saved(clear, "PNG"),
        "palette.png": _saved(disc.quantize(4), "PNG", transparency=0),
        "grey16.png": _saved(wide, "PNG"),
        "a.jpg": _saved(disc, "JPEG", quality=60),
        "cmyk.jpg": _saved(disc.convert("CMYK"), "JPEG", quality=60),
        "a.webp": _saved(clear, "WEBP", lossless=True),
        "a.bmp": _saved(disc.quantize(4), "BMP"),
        "lzw.tiff": _saved(disc, "TIFF", compression="tiff_lzw"),
        "float.tiff": _saved(Image.fromarray(np.linspace(0, 1, 576, dtype=np.float32)
                                             .reshape(24, 24)), "TIFF"),
        "lab.tiff": _saved(disc.convert("LAB"), "TIFF"),
        "pages.gif": _saved(pages[0], "GIF", save_all=True, append_images=pages[1:]),
        "a.ppm": b"P6 16 16 255\n" + bytes(range(256)) * 3,
    }  # fmt: skip


def animations() -> dict[str, bytes]:
    pages = [_disc(16 + i).resize((16, 16)) for i in range(4)]
    options: dict[str, Any] = {"save_all": True, "append_images": pages[1:], "duration": 90}
    return {
        "a.gif": _saved(pages[0], "GIF", **options),
        "a.png": _saved(pages[0], "PNG", **options),
        "a.webp": _saved(pages[0], "WEBP", **options),
    }


def videos() -> dict[str, bytes]:
    try:
        import av
    except ImportError:
        return {}
    files = {}
    for kind, codec in (("mp4", "mpeg4"), ("avi", "mjpeg"), ("matroska", "mpeg4")):
        buffer = io.BytesIO()
        with av.open(buffer, "w", format=kind) as container:
            stream = container.add_stream(codec, rate=Fraction(10))
            stream.width = stream.height = 16
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            for page in range(3):
                pixels = np.asarray(_disc(16 + page).resize((16, 16)))
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode())
        files[kind] = buffer.getvalue()
    return files


def sounds() -> dict[str, bytes]:
    time = np.arange(1200) / 8000
    wave = 0.5 * np.sin(2 * np.pi * 440 * time)
    files = {}
    for name, kind, subtype in (
        ("a.wav", "WAV", "PCM_16"), ("float.wav", "WAV", "FLOAT"),
        ("adpcm.wav", "WAV", "IMA_ADPCM"),
        ("a.flac", "FLAC", "PCM_16"), ("a.ogg", "OGG", "VORBIS"), ("opus.ogg", "OGG", "OPUS"),
        ("a.mp3", "MP3", "MPEG_LAYER_III"), ("a.aiff", "AIFF", "PCM_16"), ("a.au", "AU", "ULAW"),
        ("a.caf", "CAF", "ALAC_16"), ("a.w64", "W64", "PCM_16"),
    ):  # fmt: skip
        buffer = io.BytesIO()
        soundfile.write(buffer, wave, 8000, format=kind, subtype=subtype)
        files[name] = buffer.getvalue()
    buffer = io.BytesIO()
    soundfile.write(buffer, np.stack([wave, -wave], 1), 8000, format="WAV", subtype="PCM_U8")
    files["stereo.wav"] = buffer.getvalue()
    return files


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def arrays() -> dict[str, bytes]:
    ramp = np.linspace(0.5, 2.0, 256).reshape(16, 16)
    return {
        "f4": _npy(ramp.astype(np.float32)),
        "f2": _npy(ramp.astype(np.float16)),
        "big_endian": _npy(ramp.astype(">f8")),
        "u2": _npy((1000 * ramp).astype(np.uint16)),
        "fortran": _npy(np.asfortranarray(ramp.astype(np.float32))),
    }


def depth_pictures() -> dict[str, bytes]:
    ramp = np.linspace(500, 2000, 256).reshape(16, 16)
    return {
        "u2.png": _saved(Image.fromarray(ramp.astype(np.uint16)), "PNG"),
        "u1.png": _saved(Image.fromarray((ramp / 10).astype(np.uint8)), "PNG"),
        "f4.tiff": _saved(Image.fromarray((ramp / 1000).astype(np.float32)), "TIFF"),
        "a.webp": _saved(Image.fromarray((ramp / 10).astype(np.uint8)), "WEBP", lossless=True),
    }


def motions(text: bool) -> dict[str, bytes]:
    values = np.random.default_rng(0).normal(size=(12, 6)).round(3)
    if not text:
        return {"f8": _npy(values), "rows": _npy(values.T.astype(np.float32))}
    lines = [",".join(map(str, row)) for row in values]
    return {"plain": "\n".join(lines).encode(), "head": "\n".join(["a,b", *lines]).encode()}


def states() -> dict[str, bytes]:
    state = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.float16)}
    return {"two": save(state), "metadata": save({"x": torch.zeros(1)}, {"format": "pt"})}


def pickles() -> dict[str, bytes]:
    state = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.float16)}
    files = {}
    for name, content, zipped in (
        ("zip", state, True), ("legacy", state, False), ("nested", {"state_dict": state}, True),
        ("sparse", {"x": torch.eye(3).to_sparse()}, True), ("list", [1, 2], True),
    ):  # fmt: skip
        buffer = io.BytesIO()
        torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
        files[name] = buffer.getvalue()
    return files


def meshes() -> dict[str, bytes]:
    box = trimesh.creation.box()
    texture = Image.new("RGB", (4, 4), (200, 20, 20))
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=texture)
    uv = np.abs(box.vertices[:, :2])
    box.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    return {"box": box.export(file_type="glb")}


def manifests() -> dict[str, bytes]:
    raw = json.loads((MINI / "bundle.json").read_text())
    raw["files"] = dict(list(raw["files"].items())[:2])  # short, so that changes hit something
    return {"short": json.dumps(raw).encode(), "whole": (MINI / "bundle.json").read_bytes()}


def configs(*names: str) -> Callable[[], dict[str, bytes]]:
    return lambda: {name.replace("/", "_"): (MINI / name).read_bytes() for name in names}


def vocabularies() -> dict[str, bytes]:
    letters = [f"{c}{end}" for c in "abcdegmru" for end in ("", "</w>")]
    words = [*letters, "re", "red</w>", "<|startoftext|>", "<|endoftext|>"]
    vocab = json.dumps({word: i for i, word in enumerate(words)})
    return {"small": f"{vocab}\0#version: 0.2\nr e\nre d</w>\n".encode()}
