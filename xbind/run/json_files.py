"""JSON and JSON Lines files that carry a checksum, so that damage is found when they are read.

`{"seed": 0, …, "checksum": "<SHA-256 of the rest>"}`     a file (`to_json`, `from_json`)
`{"step": 1, …, "checksum": "<CRC-32 up to here>"}`       a line (`to_line`, `read_lines`)

Files that were written before there were checksums are read without that comparison.
"""

import hashlib
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xbind.system.untrusted import fault_of

CHECKSUM = "checksum"
"""Last key of a file or line."""
_FIELD = re.compile(rb'(?:, )?"checksum": "([0-9a-f]{8})"\}\Z')


class Damaged(ValueError):
    """A file or line is not what was written; the message says in what."""


@dataclass(frozen=True, slots=True)
class Lines:
    """The records of a JSON Lines file up to its first damaged line."""

    records: list[dict[str, Any]]
    """Without their checksums."""
    ends: list[int]
    """Offset behind each record's line."""
    sums: list[int]
    """Running CRC-32 behind each record."""
    damage: str | None
    """Fault of the line behind the last record; None if all lines are whole."""

    @property
    def damaged_line(self) -> int:
        """Number of the first damaged line, counted from 1."""
        return len(self.records) + 1


def to_json(content: Mapping[str, Any]) -> bytes:
    """An object as indented JSON with a checksum; what JSON lacks, such as paths, as text."""
    plain = json.loads(json.dumps(dict(content), ensure_ascii=False, default=str))
    plain.pop(CHECKSUM, None)
    text = json.dumps(plain | {CHECKSUM: _digest(plain)}, indent=2, ensure_ascii=False)
    return f"{text}\n".encode()


def from_json(path: Path) -> dict[str, Any]:
    """Read what `to_json` made, without the checksum.

    Raises:
        Damaged: it is not a file, not a JSON object, or its checksum differs.
        OSError: it cannot be read.
    """
    if (fault := fault_of(path)) is not None:  # reading a pipe could wait for ever
        raise Damaged(f"it {fault}")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise Damaged(str(error)) from error
    if not isinstance(content, dict):
        raise Damaged(f"wanted an object, found {type(content).__name__}")
    found = content.pop(CHECKSUM, None)
    if found is not None and found != _digest(content):
        raise Damaged("its checksum differs: it was changed after it was written")
    return content


def to_line(record: Mapping[str, Any], previous: int = 0) -> tuple[bytes, int]:
    """A record as one line, with its end of line.

    Args:
        record: a JSON object without NaN and infinities.
        previous: running CRC-32 of the lines before it; 0 where lines stand for themselves.

    Returns:
        The line, and the running CRC-32 behind it.
    """
    body = json.dumps(dict(record), ensure_ascii=False, allow_nan=False).encode()
    running = zlib.crc32(body, previous)
    separator = b", " if record else b""
    return body[:-1] + separator + f'"{CHECKSUM}": "{running:08x}"}}\n'.encode(), running


def read_lines(data: bytes, *, chained: bool) -> Lines:
    """Read the lines that `to_line` made, up to the first damaged one.

    What follows the last end of line was being written when its process died, and is left out.
    Lines without a checksum are taken before the first one that has it, and not behind it.

    Args:
        data: the file's content.
        chained: whether each line's checksum covers the lines before it as well, so that lines
            that are missing, doubled or of another file are found too.
    """
    records: list[dict[str, Any]] = []
    ends: list[int] = []
    sums: list[int] = []
    running, has_sums, end = 0, False, 0
    for line in data.split(b"\n")[:-1]:
        field = _FIELD.search(line)
        body = line[: field.start()] + b"}" if field else line
        running = zlib.crc32(body, running if chained else 0)
        try:
            record = _parse(body)
            if field is None and has_sums:
                raise Damaged("it has no checksum")
            if field is not None and int(field[1], 16) != running:
                raise Damaged("its checksum differs")
        except Damaged as error:
            # the first checksum of a chain vouches for the lines without one before it
            kept = len(records) if has_sums or not chained or field is None else 0
            return Lines(records[:kept], ends[:kept], sums[:kept], str(error))
        has_sums, end = has_sums or field is not None, end + len(line) + 1
        records.append(record)
        ends.append(end)
        sums.append(running)
    return Lines(records, ends, sums, None)


def _parse(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Damaged(str(error)) from error
    if not isinstance(record, dict):
        raise Damaged(f"wanted an object, found {type(record).__name__}")
    return record


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
