"""From `--device` to a device that is there, and the precision of its products."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from xbind.config.options import DeviceChoice
from xbind.errors import XBindError


def choose_device(name: DeviceChoice) -> torch.device:
    """The device of that name; with an index, also made the current one of this thread.

    Raises:
        XBindError: CUDA was asked for, and torch finds none or not as many, or Triton is not
            installed.
    """
    found = torch.cuda.is_available()
    has_triton = importlib.util.find_spec("triton") is not None
    if name.startswith("cuda") and not found:
        built = torch.version.cuda
        why = "this torch is built for the CPU only" if built is None else "torch finds no device"
        raise XBindError(
            f"--device {name} was asked for, but {why}.\n"
            "Install torch for CUDA and a driver (`xbind doctor` shows both), or give --device cpu."
        )
    if name.startswith("cuda") and not has_triton:
        raise XBindError(
            f"--device {name} was asked for, but the operators need Triton there, which is not "
            "installed.\nInstall it with `pip install triton`, or give --device cpu."
        )
    if name.startswith("cuda:"):
        return select_gpu(name)
    return torch.device("cuda" if name != "cpu" and found and has_triton else "cpu")


def select_gpu(name: DeviceChoice) -> torch.device:
    """The GPU of a name such as `cuda:1`, made the current one: kernels and engines run on it.

    Raises:
        XBindError: there are fewer GPUs.
    """
    device, count = torch.device(name), torch.cuda.device_count()
    if device.index is None:
        return device
    if device.index >= count:
        raise XBindError(
            f"--device {name} was asked for, but torch finds {count} CUDA device"
            f"{'' if count == 1 else 's'}.\n"
            f"Give --device cuda:0{f' to cuda:{count - 1}' if count > 1 else ''}."
        )
    torch.cuda.set_device(device)
    return device


@contextmanager
def without_tf32() -> Iterator[None]:
    """While open, float32 products on CUDA keep all bits of their factors; TF32 rounds to 10."""
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = False
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before
