"""A depth map to the disparity that a depth encoder reads.

ImageBind ships no loader for depth. Its model was trained on disparity in pixels, baseline · focal
length / depth, clamped, divided by the clamp and normalised, with the constants below, which its
authors published for SUN RGB-D. An encoder of another kind chooses others in `DepthConfig`.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from xbind.conditioning.errors import PromptError
from xbind.conditioning.picture_files import MAX_PIXELS, MIN_SIDE, decoding, read_picture
from xbind.models.inputs import DepthConfig
from xbind.system.untrusted import fault_of, guarded

NEAREST = 1e-6
"""Distances below this, in metres, are no measurements."""
MILLIMETRE = 0.001
"""Metres for one step of a depth map of whole numbers, as depth cameras write them."""


def load_depth(path: Path, kind: Literal["depth", "disparity"] = "depth") -> Float[Tensor, "1 h w"]:
    """Read a depth map as inverse depth: larger is nearer, 0 is not measured (or infinitely far).

    Args:
        path: PNG or TIFF of 8 or 16 bits or floats, or a 2D NumPy `.npy` file.
        kind: `depth` values grow with distance: millimetres when the file holds whole numbers,
            metres when it holds floats. `disparity` values are proportional to 1/depth.

    Returns:
        1/m for `depth`; the file's own unit for `disparity`. Finite and not negative. NaN, infinite
        and vanishing values (below `NEAREST`) count as not measured.

    Raises:
        PromptError: when the file is missing, damaged, lossy, of a wrong shape, flat, or holds no
            measurement or negative numbers.
    """
    values = _read_npy(path) if path.suffix.lower() == ".npy" else _read_picture(path)
    if values.dtype.kind == "b" or values.dtype.kind not in "iuf":
        raise PromptError(f"--depth {path} holds {values.dtype} values, not numbers. {_advice()}")
    unit = MILLIMETRE if values.dtype.kind in "iu" else 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        numbers = values.astype(np.float32)
    least = NEAREST / unit if kind == "depth" else np.finfo(np.float32).tiny
    # Denormal numbers are leftovers of arithmetic, and the inverse of one overflows.
    measured = np.isfinite(numbers) & (np.abs(numbers) >= least)
    _check_values(numbers[measured], measured, path)
    if kind == "disparity":
        inverse = np.where(measured, numbers, 0.0)
    else:
        inverse = np.divide(1.0 / unit, numbers, out=np.zeros_like(numbers), where=measured)
    return torch.from_numpy(inverse.astype(np.float32))[None]


def normalise_depth(
    inverse: Float[Tensor, "1 h w"], config: DepthConfig | None = None
) -> Float[Tensor, "1 h w"]:
    """Inverse depth, as `load_depth` returns it, to the input of the encoder.

    (min(bf · inverse, max)/max − mean)/std for `metric`, (inverse/max(inverse) − mean)/std for
    `relative`. The size stays; the encoder's own preparation resizes.
    """
    config = DepthConfig() if config is None else config
    if config.scale == "metric":
        pixels = config.baseline_focal * inverse
        share = pixels.clamp(max=config.max_disparity) / config.max_disparity
    else:
        share = inverse / inverse.max().clamp(min=torch.finfo(torch.float32).tiny)
    return (share - config.mean) / config.std


def _read_npy(path: Path) -> np.ndarray:
    fault = fault_of(path)
    if fault is not None:
        raise PromptError(f"--depth {path} {fault}. {_advice()}")
    with guarded(
        lambda why: PromptError(
            f"--depth {path} cannot be read as a NumPy array ({why}). {_advice()}"
        )
    ):
        # Mapped, so that a file that claims more than it holds is refused at once.
        values = np.lib.format.open_memmap(path, mode="r")
    if values.squeeze().ndim != 2:
        raise PromptError(f"--depth {path} is not one 2D array. {_advice()}")
    if values.size > MAX_PIXELS or min(values.squeeze().shape) < MIN_SIDE:
        raise PromptError(f"--depth {path} has the shape {values.shape}. {_advice()}")
    return np.array(values.squeeze())


def _read_picture(path: Path) -> np.ndarray:
    picture = read_picture(path, "--depth", lossless=True)
    with decoding(path, "--depth"):
        if picture.mode in ("P", "1"):
            picture = picture.convert("L")
        values = np.array(picture)
    if values.ndim == 3:
        colours = values[..., :3] if values.shape[-1] >= 3 else values[..., :1]
        if (colours != colours[..., :1]).any():
            raise PromptError(
                f"--depth {path} is a colour picture, and colours are not distances. {_advice()}"
            )
        values = colours[..., 0]
    return values


def _check_values(numbers: np.ndarray, measured: np.ndarray, path: Path) -> None:
    if measured.mean() < 0.005:
        raise PromptError(
            f"--depth {path} holds next to no measurement (0 means none). {_advice()}"
        )
    if (numbers < 0).any():
        raise PromptError(f"--depth {path} holds negative distances. {_advice()}")
    if measured.all() and numbers.min() == numbers.max():
        raise PromptError(f"--depth {path} is flat: one distance everywhere. {_advice()}")


def _advice() -> str:
    return (
        f"Give a PNG or TIFF of 8 or 16 bits or a 2D .npy file, at least {MIN_SIDE} × {MIN_SIDE}, "
        f"0 where nothing was measured."
    )
