"""From `--device` to a device that is there."""

import importlib.util

import torch

from xbind.config.options import DeviceChoice
from xbind.errors import XBindError


def choose_device(name: DeviceChoice) -> torch.device:
    """The device of that name.

    Raises:
        XBindError: CUDA was asked for, and torch finds none or Triton is not installed.
    """
    found = torch.cuda.is_available()
    has_triton = importlib.util.find_spec("triton") is not None
    if name == "cuda" and not found:
        built = torch.version.cuda
        why = "this torch is built for the CPU only" if built is None else "torch finds no device"
        raise XBindError(
            f"--device cuda was asked for, but {why}.\n"
            "Install torch for CUDA and a driver (`xbind doctor` shows both), or give --device cpu."
        )
    if name == "cuda" and not has_triton:
        raise XBindError(
            "--device cuda was asked for, but the operators need Triton there, which is not "
            "installed.\nInstall it with `pip install triton`, or give --device cpu."
        )
    return torch.device("cuda" if name != "cpu" and found and has_triton else "cpu")
