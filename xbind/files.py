"""Files that are whole or absent, and a full or read-only disk told in words."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xbind.errors import XBindError

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""No space, no quota, or the process's own limit on the size of a file."""
TEMPORARY_SUFFIX = ".tmp"
"""Ends the name of a file that is being written; the name starts with a dot."""


class DiskError(XBindError):
    """A file could not be written; the message says why and what to do."""


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an `OSError` while writing `path` into a `DiskError` that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise DiskError(
                f"No room left to write {path} ({error.strerror}).\n"
                f"What was written before is whole. Free some space and continue with --resume, "
                f"or choose another folder with --out."
            ) from error
        raise DiskError(
            f"Cannot write {path}: {error.strerror or error}.\n"
            f"Choose a folder that you may write to with --out."
        ) from error


def atomic_write(path: Path, data: bytes) -> None:
    """Write `path` so that, whenever the process or machine dies, the old or the new file is there.

    Raises:
        DiskError: when the disk is full or refuses; the old file is then untouched.
    """
    temporary = path.with_name(f".{path.name}{TEMPORARY_SUFFIX}")
    with disk_errors(path):
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def remove_temporaries(folder: Path) -> None:
    """Remove what a killed process left half written; nobody else may be writing in `folder`."""
    for path in folder.glob(f".*{TEMPORARY_SUFFIX}"):
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut: it lives in the folder, not in the file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
