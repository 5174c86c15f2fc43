"""Records of measurements: JSON lines, checked to be writable before anything is measured."""

import json
from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from xbind.bench.variants import BenchError


def check_writable(path: Path | None) -> None:
    """Refuse now what would fail after minutes of measuring.

    Raises:
        BenchError: nothing can be written there.
    """
    if path is None:
        return
    try:
        with path.open("a"):
            pass
    except OSError as error:
        raise BenchError(
            f"Cannot write {path}: {error.strerror}.\nName a file that you may write to."
        ) from error


def append(path: Path | None, records: Iterable[Any]) -> None:
    """Add one line per record, as it is measured, so that an interruption loses nothing."""
    if path is None:
        return
    with path.open("a") as file:
        for record in records:
            assert is_dataclass(record)
            assert not isinstance(record, type)
            file.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")
