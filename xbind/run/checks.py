"""Checks on the folder of a run that need no network: fast, and without a trace in the folder."""

import json
import tempfile
from pathlib import Path
from typing import IO, Any

from xbind.errors import XBindError
from xbind.files import disk_errors, lock

CONFIG = "config.json"
"""What a run was asked for; a folder that has it holds a run."""
LOCK = ".lock"
"""Held by the process that writes into the folder; holds its number."""


class RunError(XBindError):
    """The folder of a run cannot be used; the message says what to type instead."""


def holds_run(out: Path) -> bool:
    """Whether there is a run in `out`, finished or not."""
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
            out.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=out):
                pass
        finally:
            for folder in missing:
                if folder.is_dir():
                    folder.rmdir()
    if (out / LOCK).is_file():
        with disk_errors(out), (out / LOCK).open("r+") as file:
            take_lock(out, file)


def check_holds(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder that holds a run where none is wanted, or the reverse.

    Raises:
        RunError: says what to type.
    """
    found = holds_run(out)
    if resume and not found:
        raise RunError(f"There is no run in {out} to resume.\nLeave out --resume to start one.")
    if found and not (resume or overwrite):
        raise RunError(
            f"{out} already holds a run.\nContinue it with --resume, replace it with "
            f"--overwrite, or choose another folder with --out."
        )


def take_lock(out: Path, file: IO[str]) -> bool:
    """Lock the open lock file of a folder; False where the file system has no locks.

    Raises:
        RunError: another process holds it; the message has its number.
    """
    try:
        return lock(file)
    except BlockingIOError:
        file.seek(0)
        raise RunError(
            f"{out} is in use by another xbind (process {file.read().strip() or 'unknown'}).\n"
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
        config: dict[str, Any] = json.loads(path.read_bytes())
        known = {"prompt", "seed", "preset", "method"} <= config.keys()
    except (OSError, ValueError, AttributeError) as error:
        raise RunError(f"{path} cannot be read ({error}).\nGive another run.") from error
    if not known:
        raise RunError(f"{path} is not that of a run.\nGive the folder of a run.")
    return config
