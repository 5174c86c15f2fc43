"""Checkpoints of other people, read without running anything that is in them."""

import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from xbind.errors import XBindError

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
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}.\nGive the path of a checkpoint.")
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
    return {str(k): v for k, v in content.items() if isinstance(v, Tensor)}


def _unpickle(path: Path) -> Any:  # noqa: ANN401
    try:
        zipped = zipfile.is_zipfile(path)
        unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(path) if zipped else []
        stand_ins: list[Any] = [
            (type("StandIn", (), {}), name) for name in unsafe if name.startswith(_TRAINERS)
        ]
        with torch.serialization.safe_globals(stand_ins), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the protocol of the pickle
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        refused = (
            ", ".join(n for n in unsafe if not n.startswith(_TRAINERS))
            or "its pickle is of another kind"
        )
        raise CheckpointError(
            f"{path} holds more than tensors, which could run code: {refused}\n"
            f"It was not opened. Get the .safetensors form of this checkpoint."
        ) from error
    except (OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise CheckpointError(
            f"{path} is damaged or no checkpoint ({_first_line(error)}).\nGet it again."
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


class _Lazy(Mapping[str, Tensor]):
    """A safetensors file as a mapping that reads one tensor at a time."""

    def __init__(self, path: Path) -> None:
        try:
            file: Any = safe_open(path, framework="pt")
            self._file = file
            self._names = list(file.keys())
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} is damaged ({error}).\nGet it again.") from error

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        tensor: Tensor = self._file.get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
