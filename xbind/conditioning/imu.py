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
from xbind.system.untrusted import fault_of, guarded

CHANNELS = 6
"""Acceleration x, y, z and angular velocity x, y, z."""
MIN_SAMPLES = 10
"""Fewer say nothing about a motion."""
MAX_SAMPLES = 1_000_000
"""More are no recording of seconds."""
MAX_BYTES = 256 * 2**20
"""A larger file is refused before it is read: `MAX_SAMPLES` of six numbers, 40 characters each."""
LARGEST = 1e6
"""Greatest magnitude of a value, in m/s², rad/s or the units that a sensor counts in."""


def load_motion(path: Path, samples: int) -> Float[Tensor, "6 n"]:
    """Read a recording and bring it to `samples` steps by linear interpolation over its length.

    Args:
        path: `.npy`, or text with commas or blanks between numbers; [n, 6] or [6, n].
        samples: n of the encoder.

    Raises:
        PromptError: when the file is missing, damaged, not of six channels, constant or not finite.
    """
    fault = fault_of(path)
    if fault is not None:
        raise PromptError(f"--imu {path} {fault}. {_advice()}")
    if path.stat().st_size > MAX_BYTES:
        raise PromptError(
            f"--imu {path} has {path.stat().st_size} bytes; at most {MAX_BYTES} are read. "
            f"{_advice()}"
        )
    with guarded(
        lambda why: PromptError(f"--imu {path} cannot be read as numbers ({why}). {_advice()}")
    ):
        values = _read(path)
    if values.ndim != 2 or CHANNELS not in values.shape:
        raise PromptError(f"--imu {path} has the shape {values.shape}. {_advice()}")
    channels = values if values.shape[0] == CHANNELS else values.T
    if not MIN_SAMPLES <= channels.shape[1] <= MAX_SAMPLES:
        raise PromptError(f"--imu {path} has {channels.shape[1]} samples. {_advice()}")
    with np.errstate(over="ignore", invalid="ignore"):  # of longer floats; refused below
        numbers = np.ascontiguousarray(channels, dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise PromptError(
            f"--imu {path} holds numbers that are not finite (NaN or infinity). {_advice()}"
        )
    largest = float(np.abs(numbers).max())
    if largest > LARGEST:
        raise PromptError(
            f"--imu {path} holds {largest:.3g}, and nothing moves like that. {_advice()}"
        )
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
