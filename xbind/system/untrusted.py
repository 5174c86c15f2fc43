"""Files from outside: what they are, and one guard around every library that decodes them.

Decoders raise whatever their authors thought of, from `SyntaxError` to `struct.error`, and warn
through `warnings`. A list of exception types per library is never complete, so `guarded` turns all
of them into the caller's own error. Only calls of the library stand inside of it.
"""

import errno
import json
import logging
import math
import os
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xbind.errors import XBindError
from xbind.system.out_of_memory import is_memory_error

MAX_JSON_BYTES = 64 * 2**20
"""A longer JSON file is refused before it is read; CLIP's `vocab.json` has 1 MB."""
MAX_JSON_DEPTH = 32
"""Objects and lists inside one another, at most; a deeper file is refused."""
_LONGEST = 300
"""Characters of a library's message that are kept."""
_KINDS = {
    stat.S_IFDIR: "is a folder",
    stat.S_IFIFO: "is a pipe (FIFO), not a file",
    stat.S_IFSOCK: "is a socket, not a file",
    stat.S_IFCHR: "is a device, not a file",
    stat.S_IFBLK: "is a device, not a file",
}
_OWN_WORDS = (OSError, ValueError, SyntaxError, RuntimeError)
"""Errors whose message says enough without the name of their type."""


def fault_of(path: Path) -> str | None:
    """Returns why `path` is not a file that can be read, as the end of a sentence; None if it is.

    Pipes, sockets and devices are refused without being opened: opening a pipe waits for a writer,
    and a device has no end.
    """
    try:
        kind = _KINDS.get(stat.S_IFMT(path.stat().st_mode))
        if kind is not None:
            return kind
        with path.open("rb"):
            return None
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return "does not exist"
        return f"cannot be read: {error.strerror or error}"
    except ValueError as error:  # a zero byte in the name
        return f"cannot be read: {error}"


def is_file(path: Path) -> bool:
    """Returns whether `path` is a file that can be read; False where that cannot be found out."""
    return fault_of(path) is None


def is_folder(path: Path) -> bool:
    """Returns whether `path` is a folder; False where that cannot be found out."""
    try:
        return path.is_dir()
    except OSError:
        return False


@contextmanager
def guarded(refuse: Callable[[str], XBindError]) -> Iterator[None]:
    """Turns whatever a library raises while it decodes a file into one error.

    Warnings and log lines of the library are dropped: they can hold text from the file.
    Errors that are `XBindError` already pass through, as do Ctrl-C and the end of the process.

    Args:
        refuse: makes the error from the reason, one line; names the file and says what to give.

    Raises:
        XBindError: what `refuse` has made, from the library's error.
    """
    try:
        with warnings.catch_warnings(), _unlogged():
            warnings.simplefilter("ignore")
            yield
    except (XBindError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a panic of a library in Rust is no Exception
        raise refuse(reason(error)) from error


@contextmanager
def _unlogged() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def silenced() -> Iterator[None]:
    """Drops what C libraries write to the standard error while they decode a file.

    libtiff and mpg123 write there directly. For the whole process: only around single-threaded
    decoding, and without messages of our own inside.
    """
    try:
        before = os.dup(2)
    except OSError:  # closed by the caller
        yield
        return
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


def reason(error: BaseException) -> str:
    """Returns the message of a library's error as one line, without a full stop at its end."""
    if is_memory_error(error):
        return "it takes more memory than there is"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        return error.strerror
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    name = type(error).__name__
    if not lines:
        return name
    first = lines[0] if len(lines[0]) <= _LONGEST else f"{lines[0][:_LONGEST]}…"
    return (first if isinstance(error, _OWN_WORDS) else f"{name}: {first}").rstrip(".")


def read_json_object(path: Path) -> dict[str, Any]:
    """Reads a JSON file whose outermost value is an object.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not JSON in UTF-8, too long, nested too deeply, or another value; or it
            holds NaN, an infinity, or a number beyond the range of float64.
    """
    fault = fault_of(path)
    if fault is not None:
        raise OSError(f"it {fault}")
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(f"it is longer than {MAX_JSON_BYTES} bytes")
    try:
        content = json.loads(
            path.read_bytes().decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError(f"it holds {_kind_of(content)}, not an object")
    _check_depth(content)
    return content


def _refuse_constant(name: str) -> float:
    raise ValueError(f"it holds {name}, which is not a number of JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"it holds {digits[:40]}, which is beyond the range of numbers")
    return value


def _check_depth(content: object) -> None:
    """Raises ValueError for more than `MAX_JSON_DEPTH` levels; goes level by level."""
    level: list[object] = [content]
    for _ in range(MAX_JSON_DEPTH):
        inner: list[object] = []
        for value in level:
            if isinstance(value, dict):
                inner.extend(value.values())
            elif isinstance(value, list):
                inner.extend(value)
        level = [value for value in inner if isinstance(value, dict | list)]
        if not level:
            return
    raise ValueError("it is nested too deeply")


def _kind_of(value: object) -> str:
    names = {list: "a list", str: "a string", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")
