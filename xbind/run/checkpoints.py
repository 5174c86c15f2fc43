"""Checkpoints of a run: the state after a number of steps, named `<step>.<start of SHA-256>.pt`."""

import hashlib
import io
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from xbind.files import atomic_write, disk_errors
from xbind.run.checks import CHECKPOINTS, RunError, identity_of, read_run_config

KEPT_CHECKPOINTS = 2
"""The newest, and the one before it in case the newest is damaged."""
_NAME = re.compile(r"(\d{8})\.([0-9a-f]{16})\.pt")
_PLAIN = (bool, int, float, str, bytes, type(None))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a run after a number of steps, read back."""

    step: int
    """Steps of the whole run that were done when it was saved."""
    state: dict[str, Any]
    warnings: tuple[str, ...]
    """Notices for the user, such as a newer checkpoint that is damaged."""


def write_checkpoint(folder: Path, step: int, content: Mapping[str, Any]) -> Path:
    """Write a checkpoint; all but the last two of the folder go.

    Args:
        folder: of the checkpoints.
        step: steps of the whole run.
        content: nested dicts, lists and tuples of tensors, numbers, strings, bytes, None.

    Raises:
        DiskError: when the disk is full; the checkpoints before this one stay.
    """
    _check_plain(dict(content), "content")
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    data = buffer.getvalue()
    path = folder / f"{step:08d}.{_digest(data)}.pt"
    atomic_write(path, data)
    with disk_errors(folder):
        others = [other for other in _checkpoints(folder) if other != path]
        for old in others[KEPT_CHECKPOINTS - 1 :]:
            old.unlink(missing_ok=True)
    return path


def load_newest_checkpoint(run: Path) -> Checkpoint:
    """The newest whole checkpoint of a run that somebody else writes, or wrote.

    Raises:
        RunError: there is none.
    """
    identity = identity_of(read_run_config(run))
    found, damaged = newest_whole(run / CHECKPOINTS, identity)
    if found is None:
        raise RunError(
            f"There is no whole checkpoint in {run / CHECKPOINTS}.\n"
            f"Give another run, or make it again."
        )
    path, content = found
    return Checkpoint(step_of(path), content["state"], tuple(p.name for p in damaged))


def _checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a folder, the newest first."""
    found = (path for path in folder.glob("*.pt") if _NAME.fullmatch(path.name))
    return sorted(found, key=lambda path: (step_of(path), path.stat().st_mtime_ns), reverse=True)


def newest_whole(
    folder: Path, identity: str
) -> tuple[tuple[Path, dict[str, Any]] | None, list[Path]]:
    """The newest checkpoint that is what this run wrote, and the others that are newer."""
    damaged: list[Path] = []
    for path in _checkpoints(folder):
        content = _read(path)
        # earlier versions wrote no identity
        if content is not None and content.get("run", identity) == identity:
            return (path, content), damaged
        damaged.append(path)
    return None, damaged


def _read(path: Path) -> dict[str, Any] | None:
    """Returns the content of a checkpoint; None if it is damaged."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if _digest(data) != path.name.split(".")[1]:
        return None
    content: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return content


def step_of(path: Path) -> int:
    """Steps of the whole run that were done when a checkpoint was saved."""
    return int(path.name.split(".")[0])


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _check_plain(value: object, where: str) -> None:
    """A state that could be saved but not be loaded safely is a bug: find it when saving."""
    if type(value) in (dict, OrderedDict):
        for key, item in cast(Mapping[object, object], value).items():
            _check_plain(item, f"{where}[{key!r}]")
    elif type(value) in (list, tuple):
        for index, item in enumerate(cast(Sequence[object], value)):
            _check_plain(item, f"{where}[{index}]")
    elif not isinstance(value, Tensor) and type(value) not in _PLAIN:
        raise TypeError(f"{where} is a {type(value).__name__}; a checkpoint holds plain data only")
