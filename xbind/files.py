"""Files that are whole or absent, locks, and a full or read-only disk told in words.

Network and FUSE file systems may lack locks (Lustre without `flock`) or the flush of a folder
(CIFS): both are left out there, and the caller learns that it holds no lock.
"""

import errno
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from xbind.errors import XBindError

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""No space, no quota, or the process's own limit on the size of a file."""
_UNSUPPORTED = frozenset({errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL})
_NO_LOCKS = _UNSUPPORTED | {errno.ENOLCK}
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
"""Name of a file that is being written: `.mesh.glb.0a1b2c3d.tmp`."""


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
                f"What was written before is whole. Free some space and repeat the command "
                f"(`xbind generate` goes on with --resume), or choose another folder with --out."
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
    # a name of its own: never one that another process writes, nor a link to somebody's file
    temporary = path.with_name(f".{path.name[:40]}.{os.urandom(4).hex()}.tmp")
    with disk_errors(path):
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                sync_file(file.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal; read in pieces, so that a large file fits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_temporaries(folder: Path) -> None:
    """Remove what a killed process left half written; nobody else may be writing in `folder`."""
    for path in folder.iterdir():
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut: it lives in the folder, not in the file.

    Where the file system cannot flush a folder, only the order of its own writes protects it.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        sync_file(descriptor)
    finally:
        os.close(descriptor)


def sync_file(descriptor: int) -> None:
    """Flush a file or folder to the disk, where its file system can."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise


def lock(file: IO[str], *, wait: bool = False) -> bool:
    """Lock an open file until it is closed, by this process and those forked from it.

    Args:
        file: open for writing.
        wait: wait while another process holds it.

    Returns:
        Whether it is locked: False where the file system has no locks.

    Raises:
        BlockingIOError: another process holds it, and `wait` is False.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return False
    return True


def lock_shared(descriptor: int) -> bool:
    """Lock an open file beside others that do the same, until it is closed.

    Returns:
        Whether it is locked: False where the file system has no locks.

    Raises:
        BlockingIOError: a process holds it alone.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return False
    return True


def unlock(file: IO[str]) -> None:
    """Release what `lock` has locked, in forked processes too."""
    fcntl.flock(file, fcntl.LOCK_UN)
