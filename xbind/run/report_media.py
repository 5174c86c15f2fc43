"""Pictures, sounds and the mesh of a report, small enough to be part of one page."""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import soundfile
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from xbind.conditioning.audio_files import opened, read_mono
from xbind.conditioning.depth import load_depth
from xbind.conditioning.picture_files import read_picture
from xbind.conditioning.thermal import load_thermal
from xbind.config.options import MODALITIES, Modality
from xbind.errors import XBindError
from xbind.run.mesh_source import read_source, simplify_for, textured_surface
from xbind.scene.mesh.files import FileInfo, glb_bytes
from xbind.system.untrusted import is_file
from xbind.web.page import data_uri

VIEWER_BYTES = 1_200_000
"""Largest mesh that a page embeds as it is: with the viewer (1.07 MB) and pictures, in base64, a
page stays below 4 MB."""
REDUCED = ((20_000, 1024), (10_000, 512), (5_000, 256))
"""Faces and texture side of smaller copies, the best first; textures are JPEG."""
THUMBNAIL = 256
"""Longest side of a prompt's picture, in pixels."""
CLIP_SECONDS = 10.0
"""Length of the embedded part of a sound: its loudest."""
CLIP_RATE = 16_000
"""Samples per second of it."""
PICTURE_BYTES = 200_000
"""Larger pictures are embedded as JPEG of at most `PICTURE_SIDE`."""
PICTURE_SIDE = 768
"""Longest side of such a copy, in pixels."""
TURNTABLE_BYTES = 900_000
"""Larger GIFs are embedded with fewer frames; the default's 36 frames take 0.8 MB."""


@dataclass(frozen=True, slots=True)
class PromptPart:
    """Modality of a prompt on the page."""

    modality: Modality
    words: str
    """The text, or the file's name."""
    weight: float
    picture: str | None = None
    """`data:` URI of a thumbnail."""
    sound: str | None = None
    """`data:` URI of a clip."""
    missing: str = ""
    """Why the file cannot be shown; empty where it is, or where there is nothing to show."""


@dataclass(frozen=True, slots=True)
class ViewerMesh:
    """The mesh that a page embeds."""

    uri: str
    note: str
    """Description of the reduction; empty for the run's own mesh."""


def picture_uri(path: Path) -> str | None:
    """Returns a picture, made smaller where it is large; None if there is no such file."""
    if not path.is_file():
        return None
    data = path.read_bytes()
    if len(data) <= PICTURE_BYTES:
        return data_uri(data, "image/png")
    with Image.open(io.BytesIO(data)) as file:
        small = file.convert("RGB")
    small.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return data_uri(buffer.getvalue(), "image/jpeg")


def turntable_uri(folder: Path) -> str | None:
    """Returns the turntable: the video if there is one, else the GIF, thinned if it is large."""
    video, animation = folder / "turntable.mp4", folder / "turntable.gif"
    if video.is_file():
        return data_uri(video.read_bytes(), "video/mp4")
    if not animation.is_file():
        return None
    data = animation.read_bytes()
    every = -(-len(data) // TURNTABLE_BYTES)
    return data_uri(data if every == 1 else _thinned(data, every), "image/gif")


def _thinned(data: bytes, every: int) -> bytes:
    """Every n-th frame of an animation, each shown n times as long."""
    with Image.open(io.BytesIO(data)) as file:
        frames = []
        for k in range(0, getattr(file, "n_frames", 1), every):
            file.seek(k)
            frames.append(file.convert("RGB").quantize(256))
        duration = file.info.get("duration", 50) * every
    buffer = io.BytesIO()
    first, *rest = frames
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=duration, loop=0)
    return buffer.getvalue()


def viewer_mesh(path: Path) -> ViewerMesh:
    """Returns the run's mesh, or a copy with fewer faces and a smaller texture where it is large.

    Raises:
        UnreadableMesh: a large mesh is damaged.
    """
    data = path.read_bytes()
    if len(data) <= VIEWER_BYTES:
        return ViewerMesh(data_uri(data, "model/gltf-binary"), "")
    source = read_source(path)
    for faces, size in REDUCED:
        whole, _ = simplify_for(source.whole, min(faces, len(source.whole.faces)))
        size = min(size, source.texture_px)
        made = textured_surface(source, whole, size, source.material)
        info = FileInfo(source.material, source.placement, source.about, made.light)
        data = glb_bytes(
            made.unwrapped, made.texture, info, surface_map=made.surface_map, jpeg=True
        )
        if len(data) <= VIEWER_BYTES:
            break
    faces, size = len(made.unwrapped.faces), len(made.texture)
    note = f"This page shows a copy with {faces} faces and {size}² texels."
    return ViewerMesh(data_uri(data, "model/gltf-binary"), note)


def prompt_parts(prompt: Mapping[str, Any]) -> Iterator[PromptPart]:
    """Yields the modalities of a run's prompt, with thumbnail or clip where the file still is.

    Args:
        prompt: as in `config.json`.
    """
    for modality in MODALITIES:
        given = prompt.get(modality)
        if not given:
            continue
        weight = float(prompt.get(f"{modality}_weight", 1.0))
        if modality == "text":
            yield PromptPart(modality, given, weight)
            continue
        path = Path(given)
        try:
            picture, sound = _shown(modality, path, prompt)
            yield PromptPart(modality, path.name, weight, picture, sound)
        except (XBindError, OSError, soundfile.LibsndfileError):
            missing = "cannot be shown" if is_file(path) else "is no longer where it was"
            yield PromptPart(modality, path.name, weight, missing=missing)


def _shown(
    modality: Modality, path: Path, prompt: Mapping[str, Any]
) -> tuple[str | None, str | None]:
    """Thumbnail and clip of a file.

    Raises:
        XBindError, OSError, LibsndfileError: the file is missing or damaged.
    """
    match modality:
        case "image":
            return _thumbnail(read_picture(path, "--image")), None
        case "depth":
            kind = cast(Any, prompt.get("depth_kind", "depth"))
            inverse = load_depth(path, kind)
            return _thumbnail(_grey(inverse / inverse.max())), None
        case "thermal":
            return _thumbnail(_grey(load_thermal(path))), None
        case "audio":
            return None, _clip(path)
        case _:
            path.stat()
            return None, None


def _grey(values: Float[Tensor, "1 h w"]) -> Image.Image:
    return Image.fromarray((values[0].clamp(0, 1) * 255).round().to(torch.uint8).numpy())


def _thumbnail(picture: Image.Image) -> str:
    small = picture.convert("RGBA" if "A" in picture.getbands() else "RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    small.save(buffer, "PNG")
    return data_uri(buffer.getvalue(), "image/png")


def _clip(path: Path) -> str:
    """The loudest part of a sound as an MP3, which every browser plays."""
    with opened(path) as file:
        wave, _ = read_mono(file, CLIP_RATE)
    length = int(CLIP_SECONDS * CLIP_RATE)
    if len(wave) > length:
        energy = np.concatenate([[0.0], np.cumsum(np.square(wave, dtype=np.float64))])
        start = int((energy[length:] - energy[:-length]).argmax())
        wave = wave[start : start + length]
    peak = float(np.abs(wave).max(initial=0.0))
    buffer = io.BytesIO()
    soundfile.write(buffer, wave / max(1.0, peak), CLIP_RATE, format="MP3")
    return data_uri(buffer.getvalue(), "audio/mpeg")
