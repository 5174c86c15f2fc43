"""The object's mask by a segmentation network of the U²-Net family, from the user's own file.

The file is the ONNX form in which U²-Net (Qin et al., 2020) and its relatives are distributed. ONNX
Runtime, which xbind depends on anyway, runs it; nothing is downloaded.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from xbind.conditioning.errors import PromptError
from xbind.conditioning.foreground import LARGEST, SMALLEST, Foreground, no_object
from xbind.conditioning.pieces import assemble
from xbind.system.untrusted import fault_of, guarded

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Normalisation of the published U²-Net: ImageNet's, after a division by the largest value."""
SIDE = 320
"""Side of the network's input when the file leaves it open, in pixels."""
MAX_SIDE = 2048
"""A file that wants more is no such network."""
UNDECIDED = (0.2, 0.8)
"""Coverages that decide neither for the object nor for the background."""
UNDECIDED_SHARE = 0.2
"""Largest area of those, as a share of the object's, in a mask that is certain."""


def matte(rgb: Float[Tensor, "3 h w"], weights: Path, name: str) -> Foreground:
    """The mask that a network sees in a picture.

    Args:
        rgb: colours in [0, 1].
        weights: an ONNX file: one input [b, 3, s, s], whose first output is the mask [b, 1, s, s].
        name: what to call the picture in messages.

    Raises:
        PromptError: when the file is missing or no such network, or when it sees no object.
    """
    session = _open(weights)
    source = session.get_inputs()[0]
    height, width = (_side(n, weights) for n in source.shape[2:])
    small = Image.fromarray((rgb.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))
    pixels = np.asarray(small.resize((width, height), Image.Resampling.LANCZOS), np.float32)
    pixels = pixels / max(float(pixels.max()), 1e-6)
    normal = ((pixels - np.array(MEAN)) / np.array(STD)).astype(np.float32)
    with guarded(lambda why: _no_network(weights, f"it cannot be run: {why}")):
        result = session.run(
            [session.get_outputs()[0].name], {source.name: normal.transpose(2, 0, 1)[None]}
        )[0]
    mask = _as_mask(np.asarray(result), weights, name)
    size = (rgb.shape[2], rgb.shape[1])
    resized = Image.fromarray(mask).resize(size, Image.Resampling.BILINEAR)
    values = np.array(resized, np.float32).clip(0, 1)
    inside = values > 0.5
    if not SMALLEST <= inside.mean() <= LARGEST:
        raise no_object(name, f"the network marks {inside.mean():.1%} of it as object")
    kept, doubts = assemble(inside)
    values[inside & ~kept] = 0
    undecided = ((values > UNDECIDED[0]) & (values < UNDECIDED[1])).sum() / kept.sum()
    if undecided > UNDECIDED_SHARE:
        doubts.append("the network is undecided about much of the outline")
    return Foreground(torch.from_numpy(values)[None], "network", tuple(doubts))


def _open(weights: Path) -> Any:  # noqa: ANN401  (ONNX Runtime has no types)
    fault = fault_of(weights)
    if fault is not None:
        raise PromptError(
            f"--matting-weights {weights} {fault}.\n"
            f"Give the path of a U²-Net in ONNX form; xbind downloads none."
        )
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    with guarded(lambda why: _no_network(weights, why)):
        session = onnxruntime.InferenceSession(
            str(weights), options, providers=["CPUExecutionProvider"]
        )
    inputs = session.get_inputs()
    if not session.get_outputs():
        raise _no_network(weights, "it has no output")
    shape = inputs[0].shape if len(inputs) == 1 else []
    if len(shape) != 4 or shape[1] != 3 or inputs[0].type != "tensor(float)":
        raise _no_network(weights, "its input is not one picture [b, 3, s, s] of float32")
    return session


def _side(declared: object, weights: Path) -> int:
    """A side of the network's input, in pixels; a file with free sizes names or omits it."""
    side = declared if isinstance(declared, int) else SIDE
    if not 16 <= side <= MAX_SIDE:
        raise _no_network(weights, f"its input has a side of {side} pixels")
    return side


def _as_mask(result: NDArray[np.float32], weights: Path, name: str) -> NDArray[np.float32]:
    """The first mask of a result, stretched to [0, 1] as U²-Net's authors do."""
    if result.ndim not in (3, 4) or result.dtype.kind != "f":
        raise _no_network(weights, "its first output is not a mask [b, 1, s, s]")
    plane = result.reshape(-1, *result.shape[-2:])[0].astype(np.float32)
    if not np.isfinite(plane).all():
        raise _no_network(weights, "its output is not finite")
    low, high = float(plane.min()), float(plane.max())
    if high - low < 1e-3:
        raise no_object(name, "the network sees no object")
    mask: NDArray[np.float32] = (plane - low) / (high - low)
    return mask


def _no_network(weights: Path, why: str) -> PromptError:
    return PromptError(
        f"--matting-weights {weights} cannot be used: {why}.\n"
        f"Give a U²-Net in ONNX form, such as u2net.onnx or u2netp.onnx."
    )
