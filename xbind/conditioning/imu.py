"""A recording of motion to the six channels that an IMU encoder reads.

ImageBind's trunk was trained on five seconds of Ego4D: accelerometer and gyroscope, 2000 steps. Its
authors ship no loader and publish no normalisation: values go in as they were recorded.
"""

import contextlib
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from xbind.conditioning.errors import PromptError

CHANNELS = 6
"""Acceleration x, y, z and angular velocity x, y, z."""
MIN_SAMPLES = 10
"""Fewer say nothing about a motion."""
MAX_SAMPLES = 10_000_000
"""More are no recording of seconds."""


def load_motion(path: Path, samples: int) -> Float[Tensor, "6 n"]:
    """Read a recording and bring it to `samples` steps by linear interpolation over its length.

    Args:
        path: `.npy`, or text with commas or blanks between numbers; [n, 6] or [6, n].
        samples: n of the encoder.

    Raises:
        PromptError: when the file is missing, damaged, not of six channels, constant or not finite.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise PromptError(f"--imu {path} {what}. {_advice()}")
    try:
        values = _read(path)
    except (OSError, ValueError, EOFError) as error:
        raise PromptError(
            f"--imu {path} cannot be read as numbers ({error}). {_advice()}"
        ) from error
    if values.ndim != 2 or CHANNELS not in values.shape:
        raise PromptError(f"--imu {path} has the shape {values.shape}. {_advice()}")
    channels = values if values.shape[0] == CHANNELS else values.T
    if not MIN_SAMPLES <= channels.shape[1] <= MAX_SAMPLES:
        raise PromptError(f"--imu {path} has {channels.shape[1]} samples. {_advice()}")
    numbers = np.ascontiguousarray(channels, dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise PromptError(f"--imu {path} holds numbers that are not finite. {_advice()}")
    if (numbers == numbers[:, :1]).all():
        raise PromptError(f"--imu {path} never changes: nothing moved. {_advice()}")
    at = np.linspace(0, numbers.shape[1] - 1, samples)
    steps = np.arange(numbers.shape[1])
    resampled = np.stack([np.interp(at, steps, channel) for channel in numbers])
    return torch.from_numpy(resampled.astype(np.float32))


def _read(path: Path) -> np.ndarray:
    if path.suffix.lower() == ".npy":
        # Mapped, so that a file that claims more than it holds is refused at once.
        mapped = np.lib.format.open_memmap(path, mode="r")
        if mapped.dtype.kind not in "iuf":
            raise ValueError(f"it holds {mapped.dtype} values")
        return np.asarray(mapped)
    with path.open(encoding="utf-8") as file:
        first = file.readline()
        rows = [[float(x) for x in line.replace(",", " ").split()] for line in file if line.strip()]
    with contextlib.suppress(ValueError):  # a line of names
        rows.insert(0, [float(x) for x in first.replace(",", " ").split()])
    return np.array(rows)


def _advice() -> str:
    return (
        f"Give a .npy or .csv file of {CHANNELS} channels, acceleration x, y, z and angular "
        f"velocity x, y, z, over about five seconds."
    )
