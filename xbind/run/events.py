"""`events.jsonl`: one JSON object on one line for each record, whole lines only.

Each line's checksum covers the lines before it, so that a line that is changed, missing, doubled or
of another log is found.
"""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xbind.files import atomic_write, disk_errors
from xbind.run.checks import RunError, refuse_link
from xbind.run.json_files import Lines, read_lines, to_line

DAMAGED = "events.damaged.jsonl"
"""File name of a damaged log, beside the one that continues from its whole part."""


class EventLog:
    """An append-only log that can be cut back to an earlier number of records."""

    def __init__(self, path: Path) -> None:
        """Open or create; a last line that a killed process left torn is dropped.

        Raises:
            RunError: it is a symbolic link.
            DiskError: it cannot be written.
        """
        self.path = path
        refuse_link(path)
        with disk_errors(path):
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
            data = path.read_bytes()
            lines = read_lines(data, chained=True)
            self._count, self._size = len(lines.records), data.rfind(b"\n") + 1
            self._sum = lines.sums[-1] if lines.sums else 0
            self._cut()

    def __enter__(self) -> "EventLog":
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._fd)

    def __len__(self) -> int:
        return self._count

    @property
    def checksum(self) -> int:
        """Running CRC-32 of all records."""
        return self._sum

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one record. A number that is not finite is written as the string `nan` or `±inf`.

        Raises:
            DiskError: when the disk is full; the records before this one stay whole.
        """
        plain: dict[str, Any] = {key: _plain(value) for key, value in record.items()}
        line, running = to_line(plain, self._sum)
        with disk_errors(self.path):
            try:
                written = 0
                while written < len(line):
                    written += os.write(self._fd, line[written:])
            except OSError:
                self._cut()
                raise
        self._count, self._size, self._sum = self._count + 1, self._size + len(line), running

    def rewind(self, count: int, checksum: int | None = None) -> str | None:
        """Drop all but the first `count` records.

        Where those are not all there, what is whole at the log's start stays, and the log as it was
        is kept as `events.damaged.jsonl`.

        Args:
            count: records to keep.
            checksum: running CRC-32 that was behind them; None if it is not known.

        Returns:
            What the user should be told; None if the records are what was written.
        """
        data = self.path.read_bytes()
        lines = read_lines(data, chained=True)
        kept, why = min(count, len(lines.records)), None
        if kept < count:
            why = lines.damage and f"line {lines.damaged_line} is damaged ({lines.damage})"
            why = why or f"it has {kept} of {count} records"
        elif checksum is not None and count > 0 and lines.sums[count - 1] != checksum:
            kept, why = 0, "its records are not those of this run"
        self._count, self._size = kept, lines.ends[kept - 1] if kept else 0
        self._sum = lines.sums[kept - 1] if kept else 0
        if why is None:
            self._cut()
            return None
        told = f"{self.path.name}: {why}. The curves of the report lack what follows record {kept}."
        if len(data) > self._size:
            atomic_write(self.path.with_name(DAMAGED), data)
            told += f" The file as it was is {DAMAGED}."
        self._cut()
        return told

    def _cut(self) -> None:
        os.ftruncate(self._fd, self._size)
        os.lseek(self._fd, self._size, os.SEEK_SET)


def read_events(path: Path) -> Lines:
    """The records of a log, the oldest first, and whether all of it is whole.

    Raises:
        RunError: it cannot be read.
    """
    try:
        return read_lines(path.read_bytes(), chained=True)
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}).\nGive another run.") from error


def _plain(value: object) -> object:
    """The same value with non-finite floats as strings, since JSON has no word for them."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
