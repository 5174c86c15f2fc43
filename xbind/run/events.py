"""`events.jsonl`: one JSON object on one line for each record, whole lines only."""

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from xbind.errors import XBindError
from xbind.files import disk_errors


class EventLog:
    """An append-only log that can be cut back to an earlier number of records."""

    def __init__(self, path: Path) -> None:
        """Open or create; a last line that a killed process left torn is dropped."""
        self.path = path
        with disk_errors(path):
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        ends = _line_ends(path.read_bytes())
        self._count, self._size = len(ends), ends[-1] if ends else 0
        self._cut()

    def __enter__(self) -> "EventLog":
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._fd)

    def __len__(self) -> int:
        return self._count

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one record. A number that is not finite is written as the string `nan` or `±inf`.

        Raises:
            DiskError: when the disk is full; the records before this one stay whole.
        """
        line = json.dumps(_plain(record), ensure_ascii=False, allow_nan=False).encode() + b"\n"
        with disk_errors(self.path):
            try:
                written = 0
                while written < len(line):
                    written += os.write(self._fd, line[written:])
            except OSError:
                self._cut()
                raise
        self._count, self._size = self._count + 1, self._size + len(line)

    def rewind(self, count: int) -> None:
        """Drop all but the first `count` records; fewer than that stay as they are."""
        ends = _line_ends(self.path.read_bytes())[:count]
        self._count, self._size = len(ends), ends[-1] if ends else 0
        self._cut()

    def _cut(self) -> None:
        os.ftruncate(self._fd, self._size)
        os.lseek(self._fd, self._size, os.SEEK_SET)


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """All whole records of a log, the oldest first.

    Raises:
        XBindError: for a damaged line that is not the last one.
    """
    text = path.read_bytes()
    start = 0
    for number, end in enumerate(_line_ends(text), 1):
        try:
            yield json.loads(text[start:end])
        except ValueError as error:
            raise XBindError(f"{path}, line {number} is damaged: {error}") from error
        start = end


def _line_ends(text: bytes) -> list[int]:
    """Offsets just behind each line's end; what follows the last one is torn."""
    return [match.end() for match in re.finditer(b"\n", text)]


def _plain(value: object) -> object:
    """The same value with non-finite floats as strings, since JSON has no word for them."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
