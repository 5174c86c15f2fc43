"""The files of an evaluation: what was asked for, one line for each judged object, their means."""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from xbind.errors import XBindError, printable
from xbind.evaluation.labels import in_table_order
from xbind.files import atomic_write, disk_errors, lock, sync_file
from xbind.run.json_files import Damaged, from_json, read_lines, to_json, to_line

SCORES = "scores.jsonl"
MEANS = "means.json"
SETTINGS = "evaluation.json"
CALIBRATION = "calibration.json"
SHEET = "sheet.png"
_REMOVE = "Remove the line; the object is then judged again."
_LATER = ("commits", "commands")
"""Settings that may differ from one session to the next; all of them are kept."""
_ADDED = ("device", "precision", "vram")
"""Settings that folders of earlier versions lack; they are taken to be the wanted ones."""


class EvaluationMismatch(XBindError):
    """A folder holds an evaluation of something else."""


@dataclass(frozen=True, slots=True)
class Mean:
    """Mean of one figure over objects, with its standard error."""

    mean: float
    standard_error: float | None
    """Sample standard deviation over √n; None for one object."""
    n: int

    def __str__(self) -> str:
        error = "" if self.standard_error is None else f" ± {self.standard_error:.3f}"
        return f"{self.mean:.3f}{error} ({self.n})"


def mean_of(values: Sequence[float]) -> Mean:
    """Mean and its standard error."""
    n, mean = len(values), math.fsum(values) / len(values)
    if n == 1:
        return Mean(mean, None, 1)
    variance = math.fsum((x - mean) ** 2 for x in values) / (n - 1)
    return Mean(mean, math.sqrt(variance / n), n)


def means_by_kind(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Mean]]:
    """Kind of prompt → figure → mean over its objects; `all` over all objects.

    Figures are in the order of tables, whatever the order in the rows.
    """
    kinds: dict[str, dict[str, list[float]]] = {"all": {}}
    for row in rows:
        for kind in ("all", row["kind"]):
            for name, value in row["figures"].items():
                kinds.setdefault(kind, {}).setdefault(name, []).append(value)
    return {
        kind: {name: mean_of(figures[name]) for name in in_table_order(figures)}
        for kind, figures in kinds.items()
    }


@dataclass(frozen=True, slots=True)
class EvaluationFolder:
    """Folder of an evaluation; several processes may write to it."""

    path: Path

    def rows(self) -> list[dict[str, Any]]:
        """All judged objects; of one that was judged twice the last line counts.

        Raises:
            XBindError: a line is damaged, or not what `append` wrote.
        """
        path = self.path / SCORES
        found: dict[str, dict[str, Any]] = {}
        with _reading(path):
            lines = read_lines(path.read_bytes() if path.exists() else b"", chained=False)
        for number, row in enumerate(lines.records, 1):
            if not _is_row(row):
                raise XBindError(f"{path}, line {number} is not a judged object.\n{_REMOVE}")
            found[row["object"]] = row
        if lines.damage is not None:
            raise XBindError(
                f"{path}, line {lines.damaged_line} is damaged ({lines.damage}).\n{_REMOVE}"
            )
        return [found[name] for name in sorted(found)]

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one line, whole."""
        line, _ = to_line(row)
        path = self.path / SCORES
        with self._locked(), disk_errors(path):
            _end_torn_line(path)
            with path.open("ab", buffering=0) as file:
                file.write(line)

    def write_means(
        self, rows: Sequence[Mapping[str, Any]], not_judged: Mapping[str, str] | None = None
    ) -> None:
        """Write `means.json`: objects, and mean, standard error and n of every figure.

        Args:
            rows: of the judged objects.
            not_judged: name of each other run → why it was not judged.
        """
        content: dict[str, Any] = {"objects": len(rows), "not_judged": dict(not_judged or {})}
        for kind, figures in means_by_kind(rows).items():
            content[kind] = {
                name: {"mean": m.mean, "standard_error": m.standard_error, "n": m.n}
                for name, m in figures.items()
            }
        self.write_json(MEANS, content)

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a file, whole or not at all."""
        atomic_write(self.path / name, to_json(content))

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Read it back; None if it is not there.

        Raises:
            XBindError: it is damaged.
        """
        path = self.path / name
        if not path.exists():
            return None
        with _reading(path):
            return from_json(path)

    def settle(self, wanted: Mapping[str, Any]) -> None:
        """Write the settings, or compare them with those that are there.

        Raises:
            EvaluationMismatch: the folder holds an evaluation with other settings.
        """
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        with self._locked():
            since = {key: wanted[key] for key in _ADDED if key in wanted}
            found = {"changes": {}} | since | (self.read_json(SETTINGS) or dict(wanted))
            for key, value in wanted.items():
                if key not in _LATER and found.get(key) != value:
                    raise EvaluationMismatch(
                        f"{self.path} holds an evaluation with another {key}.\n"
                        f"  there: {_short(found.get(key))}\n  here:  {_short(value)}\n"
                        f"Give the same settings, or another folder with --out."
                    )
            for key in _LATER:
                found[key] = list(dict.fromkeys([*found[key], *wanted[key]]))
            self.write_json(SETTINGS, found)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with disk_errors(self.path), (self.path / ".evaluation.lock").open("a") as file:
            if not lock(file, wait=True):
                _tell_unlocked(self.path)
            yield


@lru_cache
def _tell_unlocked(folder: Path) -> None:
    """Say once that processes cannot share a folder."""
    sys.stderr.write(
        f"The file system of {printable(str(folder))} has no locks: let one process at a time "
        f"write into it.\n"
    )


def _end_torn_line(path: Path) -> None:
    """Drop what a killed process left without an end of line."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        data = file.read()
        if data and not data.endswith(b"\n"):
            file.truncate(data.rfind(b"\n") + 1)
            sync_file(file.fileno())


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, Damaged) as error:
        raise XBindError(f"{path} is damaged ({error}).\nRemove it and run again.") from error


def _is_row(row: Mapping[str, Any]) -> bool:
    """Whether a record has what `append` writes, of the right types."""
    return (
        {"object", "kind", "mesh", "judges", "figures"} <= row.keys()
        and all(isinstance(row[key], str) for key in ("object", "kind", "mesh"))
        and isinstance(row["figures"], dict)
        and all(isinstance(value, int | float) for value in row["figures"].values())
    )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) < 200 else f"{text[:200]} …"
