"""Checkpoints of other people, read without running anything that is in them."""

import pickle
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from xbind.errors import XBindError
from xbind.system.untrusted import fault_of, guarded

State = Mapping[str, Tensor]
SUFFIXES = (".safetensors", ".ckpt", ".pth", ".pt", ".bin")
_TRAINERS = ("pytorch_lightning.", "lightning.")
"""Libraries whose class names stand beside the weights in a training checkpoint."""


class CheckpointError(XBindError):
    """A checkpoint that cannot be used; the message says what to get instead."""


def read_checkpoint(path: Path) -> State:
    """The tensors of a file by name; those of a `.safetensors` are read when they are asked for.

    Pickles (`.ckpt`, `.pth`, `.pt`, `.bin`) are opened with `weights_only`, so that nothing in them
    can run. Names of trainer classes beside the weights become empty stand-ins; any other class
    is refused.

    Raises:
        CheckpointError: the file is missing, damaged, or holds more than tensors.
    """
    fault = fault_of(path)
    if fault is not None:
        raise CheckpointError(f"{path} {fault}.\nGive the path of a checkpoint.")
    if path.suffix == ".safetensors":
        return _Lazy(path)
    if path.suffix not in SUFFIXES:
        raise CheckpointError(
            f"{path} is no checkpoint by its name.\nGive a file that ends in {', '.join(SUFFIXES)}."
        )
    content = _unpickle(path)
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a table of tensors.")
    state = {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
    size = path.stat().st_size
    for name, tensor in state.items():
        _check_tensor(name, tensor, size, path)
    return state


def _check_tensor(name: str, tensor: Tensor, file_bytes: int, path: Path) -> None:
    """Refuses tensors that are not plain numbers in memory, or claim more than their file holds.

    Raises:
        CheckpointError: names the tensor.
    """
    plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
    if not plain or tensor.is_quantized or tensor.is_nested:
        raise CheckpointError(
            f"{path} holds {name} as a sparse, quantised or empty tensor.\n"
            f"Get the checkpoint with plain tensors."
        )
    if tensor.numel() * tensor.element_size() > file_bytes:
        raise CheckpointError(
            f"{path} is damaged: {name} claims the shape {list(tensor.shape)}, more than the file "
            f"holds.\nGet it again."
        )


def _unpickle(path: Path) -> Any:  # noqa: ANN401
    """The content of a pickle, of which nothing is run.

    Raises:
        CheckpointError: it is damaged, or holds more than tensors and the names of trainer classes.
    """
    unsafe: list[str] = []
    try:
        with _reading(path):
            zipped = zipfile.is_zipfile(path)
            if zipped:
                unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(path)
            stand_ins: list[Any] = [
                (type("StandIn", (), {}), name) for name in unsafe if name.startswith(_TRAINERS)
            ]
            with torch.serialization.safe_globals(stand_ins):
                return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except CheckpointError as error:
        if not isinstance(error.__cause__, pickle.UnpicklingError):
            raise
        refused = (
            ", ".join(n for n in unsafe if not n.startswith(_TRAINERS))
            or "its pickle is of another kind"
        )
        raise CheckpointError(
            f"{path} holds more than tensors, which could run code: {refused}\n"
            f"It was not opened. Get the .safetensors form of this checkpoint."
        ) from error.__cause__


def _reading(path: Path) -> AbstractContextManager[None]:
    """Turns whatever torch or safetensors raises into a `CheckpointError`."""
    return guarded(
        lambda why: CheckpointError(f"{path} is damaged or no checkpoint ({why}).\nGet it again.")
    )


class _Lazy(Mapping[str, Tensor]):
    """A safetensors file as a mapping that reads one tensor at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with _reading(path):
            file: Any = safe_open(path, framework="pt")
            self._file = file
            self._names = list(file.keys())

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        with _reading(self._path):
            tensor: Tensor = self._file.get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
