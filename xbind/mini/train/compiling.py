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
        XBindError: torch.compile has no C++ compiler on a CPU.
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
    """Refuse to compile for a CPU without a C++ compiler.

    Raises:
        XBindError: there is none.
    """
    names = (os.environ.get("CXX"), "g++", "clang++")
    if device.type == "cpu" and not any(name and shutil.which(name) for name in names):
        raise XBindError(
            "--compile needs a C++ compiler, and there is no g++ or clang++ here.\n"
            "Install one, or train with --no-compile."
        )
