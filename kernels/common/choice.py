"""Selects an operator's implementation by device, and logs each choice once."""

import importlib.util
import logging
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from xbind.kernels.errors import KernelError

Form = Literal["reference", "numba", "triton"]
Impl = Literal["auto", "reference", "numba", "triton"]

_log = logging.getLogger("xbind.kernels")
_STORED = (torch.float32, torch.float16, torch.bfloat16)


def choose(operator: str, impl: Impl, *tensors: Tensor) -> Form:
    """Return the form of `operator` that shall work on `tensors`.

    `auto` is numba on the CPU, Triton on CUDA and the definition elsewhere; any other value
    never falls back. The first choice for each operator and device is logged.

    Raises:
        KernelError: what was asked for, or what `auto` means there, cannot run.
    """
    form = _by_device(tensors) if impl == "auto" else impl
    if form == "numba":
        _check_numba(tensors)
    elif form == "triton":
        _check_triton(operator, tensors)
    say(f"{operator} runs as {form} on {tensors[0].device.type}")
    return form


def check(holds: bool, wanted: str, found: str) -> None:
    """Refuse what does not hold.

    Raises:
        KernelError: naming what was wanted and what was found.
    """
    if not holds:
        raise KernelError(f"Wanted {wanted}, found {found}.")


@cache
def say(message: str) -> None:
    """Log what was chosen, the first time it is."""
    _log.info(message)


def _by_device(tensors: tuple[Tensor, ...]) -> Form:
    kinds = {x.device.type for x in tensors}
    if kinds == {"cpu"}:
        return "numba"
    return "triton" if kinds == {"cuda"} else "reference"


def _check_numba(tensors: tuple[Tensor, ...]) -> None:
    if not all(x.device.type == "cpu" and x.dtype == torch.float32 for x in tensors):
        raise KernelError(
            f"The numba kernels want float32 on the CPU, found {_describe(tensors)}.\n"
            f"Convert the inputs, or pass impl='reference'."
        )


def _check_triton(operator: str, tensors: tuple[Tensor, ...]) -> None:
    if importlib.util.find_spec("triton") is None:
        raise KernelError(
            f"{operator} runs on CUDA as a Triton kernel, but triton is not installed.\n"
            f"Install it with:  pip install triton\nor pass impl='reference'."
        )
    from xbind.kernels.common.gpu import is_interpreted  # imports triton

    device = "cpu" if is_interpreted() else "cuda"
    if not all(x.device.type in (device, "cuda") and x.dtype in _STORED for x in tensors):
        raise KernelError(
            f"The Triton kernels want float32, float16 or bfloat16 on CUDA, found "
            f"{_describe(tensors)}.\nConvert the inputs, or pass impl='reference'."
        )


def _describe(tensors: tuple[Tensor, ...]) -> str:
    return ", ".join(f"{x.dtype} on {x.device}" for x in tensors)
