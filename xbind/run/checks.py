"""Checks on the folder of a run that need no network: fast, and without a trace in the folder."""

import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

from xbind.errors import XBindError
from xbind.files import disk_errors, lock
from xbind.run.json_files import Damaged, from_json, to_json

CONFIG = "config.json"
"""File of a run's settings; a folder that has it holds a run."""
LOCK = ".lock"
"""Held by the process that writes into the folder; holds its number."""
REFERENCE, SAMPLES = "reference.png", "references.png"
"""The reference view, and the samples that it was chosen from."""
CHECKPOINTS, PREVIEWS, EVENTS = "checkpoints", "previews", "events.jsonl"
OUTPUTS = (
    *("report.html", REFERENCE, SAMPLES, "mask.png"),
    *("mesh.glb", "mesh.obj", "mesh.mtl", "texture.png", "turntable.mp4", "turntable.gif"),
    *("roughness.png", "metalness.png"),
)
"""Files that a run leaves, beside its settings, events, checkpoints and previews."""
EXPORTS = "exports"
"""Folder in a run for exports to which no other place is given."""
TENSORBOARD = "tensorboard"
"""Folder in a run for the files of TensorBoard, one folder in it for each stage."""
DECIDING = (
    *("prompt", "seed", "preset", "without", "phase2_loss", "from_phase1", "phase1_sha256"),
    *("bundle_sha256", "bundle_figures", "prior_3d", "device", "engine", "precision", "vram"),
    *("prior_2d", "threads", "method", "light", "candidate"),
)
"""Keys of `config.json` that decide a result: a run goes on only with the same values."""
_TRIES = 10
"""How often a folder is made again that another process removes."""
_Made = TypeVar("_Made")
_NONE = type(None)
_SHAPE: Mapping[str, tuple[type, ...]] = {
    "prompt": (dict,), "seed": (int,), "preset": (str,), "method": (dict,), "without": (list,),
    "phase2_loss": (str, _NONE), "from_phase1": (str, _NONE), "phase1_sha256": (str, _NONE),
    "bundle": (str,), "bundle_sha256": (str,), "bundle_figures": (dict,), "prior_3d": (str, _NONE),
    "prior_2d": (str, _NONE),
    "device": (str,), "engine": (str,), "precision": (str,), "vram": (int, float, _NONE),
    "threads": (int,), "changes": (dict,), "versions": (dict,), "files": (dict,),
    "understood": (dict,), "reading": (dict,), "foreground": (dict,), "image_term": (str,),
    "light": (dict,), "lighting": (str,),
    "view_words": (str,), "candidate": (int,),
}  # fmt: skip
"""Type of each value of `config.json`."""
_NEEDED = ("prompt", "seed", "preset", "method")


class RunError(XBindError):
    """The folder of a run cannot be used; the message says what to type instead."""


def holds_run(out: Path) -> bool:
    """Returns True if there is a run in `out`, finished or not."""
    with disk_errors(out):
        return (out / CONFIG).exists()


def check_folder(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder that a run cannot be written into; folders made on the way are removed.

    Args:
        out: the folder.
        resume: it must hold a run.
        overwrite: it may hold a run that is to be replaced.

    Raises:
        RunError: it holds a run (without `resume` or `overwrite`) or none (with `resume`), or
            another process is writing into it.
        DiskError: it cannot be written to.
    """
    check_holds(out, resume=resume, overwrite=overwrite)
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    with disk_errors(out):
        try:
            _in_made_folder(out, lambda: tempfile.TemporaryFile(dir=out).close())
        finally:
            for folder in missing:
                _remove_if_empty(folder)
    if os.path.lexists(out / LOCK):
        with open_lock(out) as file, disk_errors(out):
            take_lock(out, file)


def _in_made_folder(folder: Path, act: Callable[[], _Made]) -> _Made:
    """Returns what `act` does in a folder that is made if need be.

    Both again where another process, which checks the same folder, removes it in between.

    Raises:
        OSError: it is not possible.
    """
    for left in reversed(range(_TRIES)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return act()
        except FileNotFoundError:
            if not left:
                raise
    raise AssertionError("not reached")


def _remove_if_empty(folder: Path) -> None:
    """Remove a folder that was made here, unless another process has written into it since."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def check_holds(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder that holds a run where none is wanted, or the reverse.

    Raises:
        RunError: says what to type.
    """
    found = holds_run(out)
    if resume and not found:
        raise RunError(f"There is no run in {out} to resume.\nLeave out --resume to start one.")
    if resume:
        for name in (CHECKPOINTS, PREVIEWS, EVENTS, TENSORBOARD):
            refuse_link(out / name)
    elif not overwrite:
        if found:
            raise RunError(
                f"{out} already holds a run.\nContinue it with --resume, replace it with "
                f"--overwrite, or choose another folder with --out."
            )
        if names := _left_over(out):
            raise RunError(
                f"{out} has no {CONFIG}, but holds what a run would replace: {', '.join(names)}.\n"
                f"Replace it with --overwrite, or choose another folder with --out."
            )
    else:
        _check_removable(out)


def _left_over(out: Path) -> list[str]:
    """Names that a run writes and that are there without one; empty folders do not count."""
    names = (CONFIG, EVENTS, *OUTPUTS, CHECKPOINTS, PREVIEWS, EXPORTS, TENSORBOARD)
    with disk_errors(out):
        return [
            name
            for name in names
            if os.path.lexists(out / name)
            and not (_is_folder(out / name) and _is_empty(out / name))
        ]


def _check_removable(out: Path) -> None:
    """Refuse a folder out of which a run could only be removed in part.

    Raises:
        RunError: a folder has the name of a file or the reverse, or a folder is closed to us.
    """
    for name in (CONFIG, EVENTS, *OUTPUTS):
        if _is_folder(out / name):
            raise RunError(f"{out / name} is a folder.\nMove it away, or give another --out.")
    for name in (CHECKPOINTS, PREVIEWS, EXPORTS, TENSORBOARD):
        path = out / name
        if path.is_symlink() or not path.exists():
            continue
        if not path.is_dir():
            raise RunError(f"{path} is not a folder.\nMove it away, or give another --out.")
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            raise RunError(
                f"The files in {path} cannot be removed: permission denied.\n"
                f"Change its permissions, or choose another folder with --out."
            )


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _is_empty(folder: Path) -> bool:
    return next(folder.iterdir(), None) is None


def refuse_link(path: Path) -> None:
    """Refuse a symbolic link where a run appends, prunes or locks.

    Raises:
        RunError: it is one.
    """
    if path.is_symlink():
        raise RunError(
            f"{path} is a symbolic link, which a run does not follow.\n"
            f"Put back what it names in its place; to use another disk, link the whole folder "
            f"{path.parent} instead."
        )


def open_lock(out: Path, *, make: bool = False) -> IO[str]:
    """Open the lock file of a folder, made if it is not there; what it holds stays.

    Args:
        out: the folder.
        make: make the folder too, with its parents.

    Raises:
        RunError: something else has its name.
        DiskError: it cannot be opened.
    """
    path = out / LOCK
    refuse_link(path)
    with disk_errors(path):
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        opened = partial(os.open, path, flags, 0o666)
        descriptor = _in_made_folder(out, opened) if make else opened()
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RunError(f"{path} is not a file.\nMove it away, or give another --out.")
    return os.fdopen(descriptor, "r+", encoding="ascii", errors="replace")


def take_lock(out: Path, file: IO[str]) -> bool:
    """Lock the open lock file of a folder; False where the file system has no locks.

    Raises:
        RunError: another process holds it; the message has its number.
    """
    try:
        return lock(file)
    except BlockingIOError:
        file.seek(0)
        holder = file.read(20).strip()
        raise RunError(
            f"{out} is in use by another xbind (process "
            f"{holder if holder.isdecimal() else 'unknown'}).\n"
            f"Wait for it, or choose another folder with --out."
        ) from None


def read_run_config(run: Path) -> dict[str, Any]:
    """`config.json` of a run that somebody else writes, or wrote.

    Raises:
        RunError: there is none, or it is damaged.
    """
    path = run / CONFIG
    if not path.is_file():
        raise RunError(
            f"There is no run in {run}: {'it has no config.json' if run.is_dir() else 'no folder'}."
            f"\nGive the folder that `xbind generate` was given with --out."
        )
    try:
        return read_config(path)
    except (OSError, Damaged) as error:
        raise RunError(f"{path} cannot be read ({error}).\nGive another run.") from error


def read_config(path: Path) -> dict[str, Any]:
    """Read a `config.json`.

    Raises:
        Damaged: it was changed after it was written, or is not that of a run.
        OSError: it cannot be read.
    """
    config = from_json(path)
    if missing := [key for key in _NEEDED if key not in config]:
        raise Damaged(f"it is not that of a run: it has no {', '.join(missing)}")
    for key, types in _SHAPE.items():
        if key in config and (
            not isinstance(config[key], types)
            or (isinstance(config[key], bool) and bool not in types)
        ):
            raise Damaged(f"its {key} is of type {type(config[key]).__name__}")
    return config


def identity_of(config: Mapping[str, Any]) -> str:
    """Digest of what decides a run's result: checkpoints of another run have another one.

    Args:
        config: content of `config.json`. The engine does not count: a run that was stopped at its
            reference view settles it later.
    """
    decides = {key: config[key] for key in DECIDING if key in config and key != "engine"}
    return hashlib.sha256(to_json(_set(decides))).hexdigest()


def _set(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is not set: a setting that a later version adds changes nothing."""
    return {
        key: _set(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if value is not None
    }
