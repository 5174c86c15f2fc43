"""The folder of a run: one writer at a time, every file whole or absent, nothing lost on a kill.

config.json      what was asked for
events.jsonl     one record for each step; cut back to the checkpoint on resume
checkpoints/     the last two, named <step>.<start of their SHA-256>.pt
reference.png    the reference view; references.png the samples that it was chosen from
previews/        pictures of the work in hand
"""

import hashlib
import io
import json
import os
import re
import shutil
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from xbind.files import atomic_write, disk_errors, remove_temporaries
from xbind.run.checks import CONFIG, LOCK, RunError, check_holds, take_lock
from xbind.run.checks import read_run_config as read_run_config
from xbind.run.events import EventLog
from xbind.run.progress import format_bytes

KEPT_CHECKPOINTS = 2
"""The newest, and the one before it in case the newest is damaged."""
NEEDED_BYTES = 256 * 2**20
"""Free space to ask for before a run starts: checkpoints, textures, a turntable."""
_CHECKPOINT_NAME = re.compile(r"(\d{8})\.([0-9a-f]{16})\.pt")
_OWN_NAMES = (
    # checkpoints first: without config.json they would be taken for those of the next run
    *("checkpoints", "config.json", "events.jsonl", "previews", "report.html"),
    *("reference.png", "references.png", "mask.png"),
    *("mesh.glb", "mesh.obj", "mesh.mtl", "texture.png", "turntable.mp4", "turntable.gif"),
    "exports",
)


_UNLOCKED = (
    "the file system of --out has no locks: start no other xbind in that folder while this one runs"
)
_PLAIN = (bool, int, float, str, bytes, type(None))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a run after a number of steps, read back."""

    step: int
    """Steps of the whole run that were done when it was saved."""
    state: dict[str, Any]
    warnings: tuple[str, ...]
    """What the user should be told, such as a newer checkpoint that is damaged."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The one writer of a run's folder; made by `open_run`."""

    path: Path
    events: EventLog
    warnings: tuple[str, ...] = ()
    """What the user should be told about the folder."""

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write `config.json`; paths are written as strings."""
        text = json.dumps(config, indent=2, ensure_ascii=False, default=str)
        atomic_write(self.path / "config.json", f"{text}\n".encode())

    def read_config(self) -> dict[str, Any]:
        """What `write_config` wrote.

        Raises:
            RunError: when the file is damaged.
        """
        path = self.path / "config.json"
        try:
            config: dict[str, Any] = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise RunError(
                f"{path} cannot be read ({error}), so the run cannot be resumed.\n"
                f"Start it anew with --overwrite, or in another folder with --out."
            ) from error
        return config

    def save_checkpoint(self, step: int, state: Mapping[str, Any]) -> Path:
        """Save `state` after `step` steps of the run; all but the last two checkpoints go.

        Args:
            step: steps of the whole run, all phases counted on.
            state: nested dicts, lists and tuples of tensors, numbers, strings, bytes, None.

        Raises:
            DiskError: when the disk is full; the checkpoints before this one stay.
        """
        _check_plain(dict(state), "state")
        buffer = io.BytesIO()
        torch.save({"events": len(self.events), "state": dict(state)}, buffer)
        data = buffer.getvalue()
        folder = self.path / "checkpoints"
        path = folder / f"{step:08d}.{_digest(data)}.pt"
        atomic_write(path, data)
        for old in _checkpoints(folder)[KEPT_CHECKPOINTS:]:
            old.unlink(missing_ok=True)
        return path

    def load_checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint that is whole, with the events cut back to it.

        Returns:
            None when none was saved yet: the run then starts from its beginning, without events.

        Raises:
            RunError: when there are checkpoints and none is whole.
        """
        found, damaged = _newest_whole(self.path / "checkpoints")
        if found is not None:
            return self._restore(*found, damaged)
        if damaged:
            raise RunError(
                f"No checkpoint in {self.path / 'checkpoints'} is whole: {_names(damaged)} "
                f"changed after being written.\n"
                f"Start the run anew with --overwrite instead of --resume."
            )
        self.events.rewind(0)
        return None

    def _restore(self, path: Path, data: bytes, damaged: list[Path]) -> Checkpoint:
        content = _read(data)
        self.events.rewind(content["events"])
        warnings = (
            f"Checkpoint {_names(damaged)} changed after being written and cannot be used; "
            f"going on from {path.name}.",
        )
        for bad in damaged:  # out of the way of the next ones, but not destroyed
            bad.replace(bad.with_suffix(".damaged"))
        return Checkpoint(_step(path), content["state"], warnings if damaged else ())

    def save_image(self, name: str, image: Float[Tensor, "3 h w"]) -> Path:
        """Write an image in [0, 1] (clamped) as a PNG called `name`; return its path."""
        pixels = (image.detach().clamp(0, 1) * 255).round().to(torch.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy()).save(buffer, "PNG")
        path = self.path / name
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, buffer.getvalue())
        return path


def load_newest_checkpoint(run: Path) -> Checkpoint:
    """The newest whole checkpoint of a run that somebody else writes, or wrote.

    Raises:
        RunError: there is none.
    """
    found, damaged = _newest_whole(run / "checkpoints")
    if found is None:
        raise RunError(
            f"There is no whole checkpoint in {run / 'checkpoints'}.\n"
            f"Give another run, or make it anew."
        )
    path, data = found
    return Checkpoint(_step(path), _read(data)["state"], tuple(p.name for p in damaged))


@contextmanager
def open_run(
    out: Path, *, resume: bool = False, overwrite: bool = False, needed_bytes: int = NEEDED_BYTES
) -> Iterator[RunFolder]:
    """Take `out` for one run; nobody else can until the context is left or the process dies.

    Args:
        out: the folder; made with its parents when it is not there.
        resume: it must hold a run.
        overwrite: if it holds a run, that run's files are removed first.
        needed_bytes: free space to insist on.

    Raises:
        RunError: when the folder holds a run (without `resume` or `overwrite`) or none (with
            `resume`), or is in use by another process, or its disk has too little room.
        DiskError: when it cannot be written to.
    """
    if resume:
        check_holds(out, resume=True, overwrite=False)
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    with _lock(out) as locked:
        check_holds(out, resume=resume, overwrite=overwrite)
        _check_room(out, needed_bytes)
        if overwrite and (out / CONFIG).exists():
            _remove_run(out)
        with disk_errors(out):
            (out / "checkpoints").mkdir(exist_ok=True)
            remove_temporaries(out)
            remove_temporaries(out / "checkpoints")
            if not resume:  # of a run whose removal was cut short, or whose config.json is lost
                for stale in _checkpoints(out / "checkpoints"):
                    stale.unlink()
        with EventLog(out / "events.jsonl") as events:
            yield RunFolder(out, events, () if locked else (_UNLOCKED,))


@contextmanager
def _lock(out: Path) -> Iterator[bool]:
    """Hold the folder; the system lets go when the process ends, however it ends.

    Yields:
        False where the file system has no locks.
    """
    with disk_errors(out):
        file = (out / LOCK).open("a+")
    with file:
        with disk_errors(out):
            locked = take_lock(out, file)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield locked


def _check_room(out: Path, needed_bytes: int) -> None:
    free = shutil.disk_usage(out).free
    if free < needed_bytes:
        raise RunError(
            f"{out} is on a disk with {format_bytes(free)} free; a run needs "
            f"{format_bytes(needed_bytes)}.\nFree some space, or choose another folder with --out."
        )


def _remove_run(out: Path) -> None:
    """Remove what a run writes, and nothing else that the user keeps there."""
    with disk_errors(out):
        for path in (out / name for name in _OWN_NAMES):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a folder, the newest first."""
    found = (path for path in folder.glob("*.pt") if _CHECKPOINT_NAME.fullmatch(path.name))
    return sorted(found, key=lambda path: (_step(path), path.stat().st_mtime_ns), reverse=True)


def _newest_whole(folder: Path) -> tuple[tuple[Path, bytes] | None, list[Path]]:
    """The newest checkpoint that is what was written, and the damaged ones that are newer."""
    damaged: list[Path] = []
    for path in _checkpoints(folder):
        data = path.read_bytes()
        if _digest(data) == path.name.split(".")[1]:
            return (path, data), damaged
        damaged.append(path)
    return None, damaged


def _read(data: bytes) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return content


def _step(path: Path) -> int:
    return int(path.name.split(".")[0])


def _names(paths: list[Path]) -> str:
    return ", ".join(path.name for path in paths)


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
