"""Prompts given as Python objects: pictures and arrays are written to files that a run can read."""

import hashlib
import io
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from xbind.conditioning.errors import PromptError
from xbind.files import atomic_write, disk_errors

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

FilePath: TypeAlias = str | os.PathLike[str]
"""Name of a file."""
ImageInput: TypeAlias = "FilePath | Image.Image | NDArray[Any]"
"""A file, a PIL image, or an array [h, w], [h, w, 3] or [h, w, 4]: bytes, or floats in [0, 1]."""
AudioInput: TypeAlias = "FilePath | tuple[NDArray[Any], int]"
"""A file, or samples [t] or [t, channels] with their rate in hertz; floats in [−1, 1]."""
ArrayInput: TypeAlias = "FilePath | NDArray[Any]"
"""A file, or an array that is written as .npy."""

FOLDER = "inputs"
"""Folder in a run for the files made here."""
MOST_CHANNELS = 16
"""A sound with more channels than this is taken to be transposed."""
_OWN = re.compile(r"(image|mask|thermal|audio|depth|imu)-[0-9a-f]{12}\.(png|wav|npy|tiff)")
_WORDS = ("text", "depth_kind")
"""Fields of a prompt whose strings are no names of files."""
_IMAGES = ("image", "mask", "thermal")
_ARRAYS = ("depth", "imu")


def store_inputs(values: dict[str, Any], run: Path) -> dict[str, Any]:
    """Write what is not a file yet to `inputs/` in a run's folder.

    Names hold the start of the content's SHA-256, so nothing that is there is replaced.

    Args:
        values: modality or `mask` → a path, a picture or an array; text, numbers and None are
            passed through.
        run: the run's folder; made when something is written.

    Returns:
        The same with paths in place of pictures and arrays.

    Raises:
        PromptError: a value of another type, shape or range.
        DiskError: a file cannot be written.
    """
    return {name: _stored(name, value, run) for name, value in values.items()}


def remove_unused(run: Path, used: dict[str, Any]) -> None:
    """Remove files that were made here and that `used` does not name, and an empty `inputs/`."""
    folder = run / FOLDER
    if not folder.is_dir():
        return
    keep = {Path(str(value)).resolve() for value in used.values() if value is not None}
    with disk_errors(folder):
        for path in folder.iterdir():
            if _OWN.fullmatch(path.name) and path.resolve() not in keep:
                path.unlink()
        if not any(folder.iterdir()):
            folder.rmdir()


def _stored(name: str, value: Any, run: Path) -> Any:  # noqa: ANN401
    if value is None or name in _WORDS or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str | os.PathLike):
        return Path(value)
    if name in _IMAGES:
        data, suffix = _picture(name, value), "png"
    elif name == "audio":
        data, suffix = _sound(value), "wav"
    elif name in _ARRAYS:
        data, suffix = _array(name, value)
    else:
        raise PromptError(f"{name} must be the path of a file, got {type(value).__name__}.")
    digest = hashlib.sha256(data).hexdigest()[:12]
    path = run / FOLDER / f"{name}-{digest}.{suffix}"
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, data)
    return path


def _picture(name: str, value: Any) -> bytes:  # noqa: ANN401
    """A PIL image or an array as PNG; the mode, and so an alpha channel or 16 bits, is kept."""
    from PIL import Image

    image = value if isinstance(value, Image.Image) else _image_of(name, value)
    if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _image_of(name: str, value: Any) -> "Image.Image":  # noqa: ANN401
    import numpy as np
    from PIL import Image

    pixels = _plain(name, value, "the path of a file, a PIL image or an array")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (3, 4)):
        raise PromptError(
            f"{name} must be an array [h, w], [h, w, 3] or [h, w, 4], got shape "
            f"{list(pixels.shape)}.\nMove the channels to the end if they stand first."
        )
    if pixels.dtype.kind == "b":
        pixels = pixels * np.uint8(255)
    if pixels.dtype.kind == "f":
        if not (pixels.min() >= 0 and pixels.max() <= 1):  # false for NaN as well
            raise PromptError(
                f"{name} must hold floats in [0, 1], got {pixels.min():g} … {pixels.max():g}.\n"
                f"Scale it, or give bytes in 0 … 255 (uint8)."
            )
        pixels = (pixels * 255).round().astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise PromptError(
            f"{name} must hold bytes (uint8) or floats in [0, 1], got {pixels.dtype}.\n"
            f"Convert it first."
        )
    return Image.fromarray(pixels)


def _sound(value: Any) -> bytes:  # noqa: ANN401
    """Samples and their rate as WAV, in 32-bit floats or the integers that they are."""
    import numpy as np
    import soundfile

    wanted = "audio must be the path of a file, or samples and their rate, as in (samples, 16000)"
    if not (isinstance(value, tuple) and len(value) == 2):
        raise PromptError(f"{wanted}; got {type(value).__name__}.")
    samples, rate = value
    if not isinstance(rate, int | np.integer) or rate <= 0:
        raise PromptError(f"{wanted}; the rate is {rate!r}.")
    samples = _plain("audio", samples, "samples [t] or [t, channels]")
    if samples.ndim not in (1, 2) or (samples.ndim == 2 and samples.shape[1] > MOST_CHANNELS):
        raise PromptError(
            f"audio must hold samples [t] or [t, channels], got shape {list(samples.shape)}.\n"
            f"Move the channels to the end if they stand first."
        )
    subtype = {"float32": "FLOAT", "float64": "DOUBLE", "int16": "PCM_16", "int32": "PCM_32"}
    if samples.dtype.name not in subtype:
        raise PromptError(
            f"audio must hold {', '.join(subtype)}, got {samples.dtype}. Convert it first."
        )
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, int(rate), subtype[samples.dtype.name], format="WAV")
    return buffer.getvalue()


def _array(name: str, value: Any) -> tuple[bytes, str]:  # noqa: ANN401
    """An array as .npy; a PIL image of a depth map as PNG, or as TIFF if it holds floats."""
    import numpy as np
    from PIL import Image

    buffer = io.BytesIO()
    if name == "depth" and isinstance(value, Image.Image):
        suffix = "tiff" if value.mode == "F" else "png"
        value.save(buffer, suffix.upper())
        return buffer.getvalue(), suffix
    np.save(buffer, _plain(name, value, "the path of a file or an array"), allow_pickle=False)
    return buffer.getvalue(), "npy"


def _plain(name: str, value: Any, wanted: str) -> "NDArray[Any]":  # noqa: ANN401
    """A NumPy array of numbers.

    Raises:
        PromptError: it is something else, or empty.
    """
    import numpy as np

    if hasattr(value, "detach"):  # a tensor may need a gradient, or live on a GPU
        value = value.detach().cpu()
    if not hasattr(value, "__array__"):
        raise PromptError(f"{name} must be {wanted}, got {type(value).__name__}.")
    found: np.ndarray = np.asarray(value)
    if found.dtype.kind not in "biuf" or found.size == 0:
        raise PromptError(
            f"{name} must be {wanted}, with numbers in it; got {found.dtype}, shape "
            f"{list(found.shape)}."
        )
    return found
