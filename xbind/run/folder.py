"""The folder of a run: one writer at a time, every file whole or absent, nothing lost on a kill.

config.json      what was asked for
events.jsonl     one record for each step; cut back to the checkpoint on resume
checkpoints/     the last two, named <step>.<start of their SHA-256>.pt
reference.png    the reference view; references.png the samples that it was chosen from
previews/        pictures of the work in hand
"""

import io
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from xbind.files import atomic_write, disk_errors, remove_temporaries
from xbind.run.checkpoints import Checkpoint, newest_whole, step_of, write_checkpoint
from xbind.run.checks import (
    CHECKPOINTS,
    CONFIG,
    EVENTS,
    EXPORTS,
    OUTPUTS,
    PREVIEWS,
    TENSORBOARD,
    RunError,
    check_holds,
    identity_of,
    open_lock,
    take_lock,
)
from xbind.run.checks import read_run_config as read_run_config
from xbind.run.events import DAMAGED, EventLog
from xbind.run.json_files import to_json
from xbind.run.progress import format_bytes

NEEDED_BYTES = 256 * 2**20
"""Free space to ask for before a run starts: checkpoints, textures, a turntable."""
_STAGE_LOGS = tuple(f"{TENSORBOARD}/{stage}" for stage in ("coarse", "geometry", "texture"))
_WRITTEN = {
    PREVIEWS: re.compile(r"[a-z]+_\d{5,}\.png"),
    CHECKPOINTS: re.compile(r"\d{8}\.[0-9a-f]{16}\.(pt|damaged)"),
    EXPORTS: re.compile(r".+\.(glb|obj|mtl|png|ply|stl|3mf|usdz)"),
    **dict.fromkeys((TENSORBOARD, *_STAGE_LOGS), re.compile(r"events\.out\.tfevents\..+")),
}
"""Patterns of the files that a run writes into its folders; nothing else in them is removed."""
_UNLOCKED = (
    "the file system of --out has no locks: start no other xbind in that folder while this one runs"
)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The one writer of a run's folder; made by `start_run` and `resume_run`."""

    path: Path
    events: EventLog
    identity: str
    """Digest of the run's settings; part of every checkpoint."""
    warnings: tuple[str, ...] = ()
    """Notices for the user about the folder."""

    def settle(self, **values: object) -> None:
        """Change values of `config.json`; paths are written as strings.

        Raises:
            RunError: the file is damaged.
            DiskError: it cannot be written.
        """
        atomic_write(self.path / CONFIG, to_json(self.read_config() | values))

    def read_config(self) -> dict[str, Any]:
        """Returns the settings as `start_run` and `settle` wrote them.

        Raises:
            RunError: when the file is damaged.
        """
        return read_run_config(self.path)

    def save_checkpoint(self, step: int, state: Mapping[str, Any]) -> Path:
        """Save `state` after `step` steps of the run; all but the last two checkpoints go.

        Args:
            step: steps of the whole run, all phases counted on.
            state: nested dicts, lists and tuples of tensors, numbers, strings, bytes, None.

        Raises:
            DiskError: when the disk is full; the checkpoints before this one stay.
        """
        place = {"events": len(self.events), "events_checksum": self.events.checksum}
        content = {"run": self.identity, **place, "state": dict(state)}
        return write_checkpoint(self.path / CHECKPOINTS, step, content)

    def load_checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint that is whole, with the events cut back to it.

        Returns:
            None when none was saved yet: the run then starts from its beginning, without events.

        Raises:
            RunError: when there are checkpoints and none is whole.
        """
        found, damaged = newest_whole(self.path / CHECKPOINTS, self.identity)
        if found is not None:
            return self._restore(*found, damaged)
        if damaged:
            raise RunError(
                f"No checkpoint in {self.path / CHECKPOINTS} is whole and of this run: "
                f"{_names(damaged)}.\nStart the run again with --overwrite instead of --resume."
            )
        self.events.rewind(0)
        return None

    def _restore(self, path: Path, content: dict[str, Any], damaged: list[Path]) -> Checkpoint:
        warnings = []
        if damaged:
            warnings.append(
                f"Checkpoint {_names(damaged)} changed after being written, or is of another run, "
                f"and cannot be used; going on from {path.name}."
            )
        if told := self.events.rewind(content["events"], content.get("events_checksum")):
            warnings.append(told)
        for bad in damaged:  # out of the way of the next ones, but not destroyed
            bad.replace(bad.with_suffix(".damaged"))
        return Checkpoint(step_of(path), content["state"], tuple(warnings))

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


@contextmanager
def start_run(
    out: Path,
    config: Mapping[str, Any],
    *,
    overwrite: bool = False,
    needed_bytes: int = NEEDED_BYTES,
) -> Iterator[RunFolder]:
    """Take `out` for a new run; nobody else can until the context is left or the process dies.

    The files of a run that was there are removed, and then its `config.json` is replaced in one
    step. Killed before that, the former run is there with what is left of it; killed after it, the
    new one without a step. No file of the one is ever taken for the other's.

    Args:
        out: the folder; made with its parents when it is not there.
        config: content of `config.json`; paths are written as strings.
        overwrite: if it holds a run, that run's files are removed first.
        needed_bytes: free space to insist on.

    Raises:
        RunError: the folder holds a run or files that a run would replace (without `overwrite`), is
            in use by another process, or its disk has too little room.
        DiskError: it cannot be written to.
    """
    settings = to_json(config)
    with _lock(out, make=True) as locked:
        check_holds(out, resume=False, overwrite=overwrite)
        _check_room(out, needed_bytes)
        with disk_errors(out):
            links = _remove_run(out)
            atomic_write(out / CONFIG, settings)
        with _opened(out, identity_of(config), locked=locked, told=links) as folder:
            yield folder


@contextmanager
def resume_run(out: Path, *, needed_bytes: int = NEEDED_BYTES) -> Iterator[RunFolder]:
    """Take `out` to go on with the run in it, likewise.

    Raises:
        RunError: there is no run, its `config.json` is damaged, a symbolic link stands for one of
            its folders, another process uses it, or the disk has too little room.
        DiskError: it cannot be written to.
    """
    check_holds(out, resume=True, overwrite=False)
    with _lock(out) as locked:
        _check_room(out, needed_bytes)
        identity = identity_of(read_run_config(out))
        with _opened(out, identity, locked=locked) as folder:
            yield folder


@contextmanager
def _opened(
    out: Path, identity: str, *, locked: bool, told: tuple[str, ...] = ()
) -> Iterator[RunFolder]:
    with disk_errors(out):
        (out / CHECKPOINTS).mkdir(exist_ok=True)
        remove_temporaries(out)
        remove_temporaries(out / CHECKPOINTS)
    with EventLog(out / EVENTS) as events:
        yield RunFolder(out, events, identity, told if locked else (*told, _UNLOCKED))


@contextmanager
def _lock(out: Path, *, make: bool = False) -> Iterator[bool]:
    """Hold the folder; the system lets go when the process ends, however it ends.

    Args:
        out: the folder.
        make: make it if it is not there.

    Yields:
        False where the file system has no locks.
    """
    with open_lock(out, make=make) as file:
        with disk_errors(out):
            locked = take_lock(out, file)
            file.seek(0)
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


def _remove_run(out: Path) -> tuple[str, ...]:
    """Remove what a run writes but `config.json`, and nothing else that the user keeps there.

    What it went on from is removed last: cut short before that, the run can still be resumed.

    Returns:
        What the user should be told of symbolic links: they are removed, and not what they name.
    """
    links = []
    # a link in place of tensorboard/ is removed before anything is looked for in it
    logs = (TENSORBOARD, *_STAGE_LOGS, TENSORBOARD)
    for name in (*OUTPUTS, PREVIEWS, EXPORTS, *logs, EVENTS, DAMAGED, CHECKPOINTS):
        path = out / name
        if path.is_symlink() and name in _WRITTEN:
            links.append(f"{path} was a link to {path.readlink()}: the link is removed, no file.")
        if path.is_symlink() or name not in _WRITTEN:
            path.unlink(missing_ok=True)
        elif path.is_dir():
            _empty(path, _WRITTEN[name])
    return tuple(links)


def _empty(folder: Path, written: re.Pattern[str]) -> None:
    """Remove the files of a folder that a run has written, and the folder if nothing is left."""
    remove_temporaries(folder)
    for path in sorted(folder.iterdir()):
        if written.fullmatch(path.name):
            path.unlink()
    if next(folder.iterdir(), None) is None:
        folder.rmdir()


def _names(paths: list[Path]) -> str:
    return ", ".join(path.name for path in paths)
