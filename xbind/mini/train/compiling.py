"""Networks made ready for their training: device, attention, compilation."""

import os
import shutil

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor

from xbind.errors import XBindError
from xbind.mini.train.lengths import LoopConfig


def for_training(unet: UNet2DConditionModel, config: LoopConfig) -> UNet2DConditionModel:
    """The network on its device, with the attention that trains fastest there, compiled if asked.

    Raises:
        XBindError: torch.compile has no compiler.
    """
    if config.device.type == "cpu":
        unet.set_attn_processor(AttnProcessor())  # a third faster to train than the fused one
    unet.to(config.device)
    if config.compile:
        check_compiler(config.device)
        unet.to(memory_format=torch.channels_last)
        unet.compile(dynamic=False)  # in place: names of the weights stay
    return unet


def check_compiler(device: torch.device) -> None:
    """Refuse to compile without the compiler that torch.compile calls.

    For a CPU that is a C++ compiler; for a GPU a C compiler, which builds Triton's launchers.

    Raises:
        XBindError: there is none.
    """
    on_cpu = device.type == "cpu"
    variable, names = ("CXX", ("g++", "clang++")) if on_cpu else ("CC", ("gcc", "clang"))
    if not any(name and shutil.which(name) for name in (os.environ.get(variable), *names)):
        raise XBindError(
            f"To compile a network for a {device.type} takes a compiler, and there is no "
            f"{' or '.join(names)} here.\n"
            f"Install one, name one in {variable}, or train with --no-compile."
        )
