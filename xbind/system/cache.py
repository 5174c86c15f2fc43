"""The one folder for what xbind can make again: compiled graphs, compiled operators.

`XBIND_CACHE` names it; else it is the platform's cache folder (on Linux `$XDG_CACHE_HOME/xbind` or
`~/.cache/xbind`); where that cannot be written, a private temporary folder, removed at exit.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import platformdirs

from xbind.errors import XBindError

VARIABLE = "XBIND_CACHE"
"""Environment variable that names the cache folder."""


_temporary: Path | None = None  # the temporary folder of this process, once it is needed


class CacheError(XBindError):
    """There is no folder that compiled graphs and operators can be kept in."""


def cache_folder() -> Path:
    """The cache folder. It exists and can be written, unless `XBIND_CACHE` names it.

    A folder named by the user is never replaced, so that a cache on a read-only disk can be used.

    Raises:
        CacheError: nothing can be written here, temporary folders included.
    """
    if named := os.environ.get(VARIABLE):
        return Path(named)
    usual = _usual_folder()
    return _temporary_folder() if usual is None or not is_writable(usual) else usual


def writable_folder(name: str) -> Path:
    """A subfolder of the cache that can be written: a temporary one where `XBIND_CACHE` cannot.

    Raises:
        CacheError: nothing can be written here, temporary folders included.
    """
    folder = cache_folder() / name
    return folder if is_writable(folder) else _temporary_folder() / name


def cache_notice() -> str | None:
    """Returns a notice if compiled graphs or operators are not kept, else None."""
    folder = cache_folder()
    if is_writable(folder):
        if folder != _temporary:
            return None
        usual = _usual_folder()
        lacking = "there is no home folder" if usual is None else f"{usual} cannot be written"
    else:
        lacking = f"{folder}, which {VARIABLE} names, cannot be written"
    return (
        f"compiled graphs and operators are not kept: {lacking}; "
        f"name a folder that can be written in {VARIABLE}"
    )


def is_writable(folder: Path) -> bool:
    """Returns True if a file can be created in `folder`, which is created with its parents if
    missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _usual_folder() -> Path | None:
    """The platform's folder; None where it would depend on a home folder and there is none."""
    try:
        folder = platformdirs.user_cache_path("xbind", appauthor=False)
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None  # older versions return "~"


def _temporary_folder() -> Path:
    """A folder that only this user can read, removed when the process ends."""
    global _temporary
    if _temporary is None or not _temporary.is_dir():
        try:
            _temporary = Path(tempfile.mkdtemp(prefix="xbind-cache-"))
        except OSError as error:
            raise CacheError(
                f"No folder for compiled graphs and operators can be written, not even a temporary "
                f"one ({error}).\nName a folder that can be written in {VARIABLE}."
            ) from error
        atexit.register(_remove, _temporary, os.getpid())
    return _temporary


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked process still uses its parent's folder
        shutil.rmtree(folder, ignore_errors=True)
