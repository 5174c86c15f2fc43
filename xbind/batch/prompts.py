"""Lists of prompts: text files, CSV and JSON Lines. No torch here.

.txt      one text prompt per line; empty lines and lines that begin with # are left out
.csv      a header with fields of `PromptConfig`, and `seed`; an empty cell is not given
.jsonl    one object per line with the same names
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from xbind.batch.jobs import BatchError
from xbind.config.options import MODALITIES, PromptConfig
from xbind.config.ranges import types_in
from xbind.system.untrusted import fault_of

MOST_BYTES = 64 * 2**20
"""A longer list is refused before it is read: a million prompts have about this size."""
SEED = "seed"
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True)
class ListedPrompt:
    """One entry of a list."""

    line: int
    """Its line in the file, from 1; the last one of an entry of several lines."""
    prompt: PromptConfig
    seed: int | None
    """A seed of its own, instead of those of the batch."""


def read_prompts(path: Path) -> list[ListedPrompt]:
    """Reads a list of prompts, in a format named by its ending.

    Files that it names are looked for beside it, unless their paths are absolute.

    Raises:
        BatchError: the file cannot be read, has another ending or no prompt, or an entry is wrong;
            the message has its line.
    """
    readers: dict[str, Callable[[Path, str], Iterator[tuple[int, dict[str, Any]]]]] = {
        ".txt": _text_rows, ".csv": _csv_rows, ".jsonl": _json_rows,
    }  # fmt: skip
    if path.suffix.lower() not in readers:
        raise BatchError(
            f"{path} must end in {', '.join(readers)}, which names its format.\n"
            f"A .txt file has one text prompt per line."
        )
    found = [
        _prompt_of(path, line, row)
        for line, row in readers[path.suffix.lower()](path, _content_of(path))
    ]
    if not found:
        raise BatchError(f"{path} holds no prompt.\nWrite at least one, such as: a red mug")
    return found


def _content_of(path: Path) -> str:
    if (fault := fault_of(path)) is not None:
        raise BatchError(f"{path} {fault}.\nGive a list of prompts: .txt, .csv or .jsonl.")
    if path.stat().st_size > MOST_BYTES:
        raise BatchError(f"{path} is longer than {MOST_BYTES} bytes.\nSplit it into several lists.")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BatchError(f"{path} is not text in UTF-8 ({error}).\nSave it as UTF-8.") from error


def _text_rows(path: Path, content: str) -> Iterator[tuple[int, dict[str, Any]]]:
    del path
    for number, line in enumerate(content.split("\n"), 1):
        text = line.strip()
        if text and not text.startswith("#"):
            yield number, {"text": text}


def _csv_rows(path: Path, content: str) -> Iterator[tuple[int, dict[str, Any]]]:
    # newlines inside quotes stay as they are
    reader = csv.DictReader(io.StringIO(content, newline=""), strict=True)
    try:
        header = [name.strip() for name in reader.fieldnames or ()]
        if len(set(header)) < len(header):
            raise _wrong(path, 1, f"it names a column twice: {', '.join(header)}")
        _check_names(path, 1, header)
        reader.fieldnames = header
        for row in reader:
            line = reader.line_num
            if None in row or None in row.values():
                raise _wrong(path, line, f"it has not {len(header)} cells, as the header has")
            cells = {name: cell.strip() for name, cell in row.items() if cell.strip()}
            if cells:
                yield line, {name: _parsed(path, line, name, cell) for name, cell in cells.items()}
    except csv.Error as error:
        raise _wrong(path, reader.line_num, str(error)) from error


def _json_rows(path: Path, content: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _wrong(path, number, f"it is not JSON ({error})") from error
        if not isinstance(row, dict):
            raise _wrong(path, number, 'it is not an object, such as {"text": "a red mug"}')
        _check_names(path, number, row)
        yield number, {name: value for name, value in row.items() if value is not None}


def _prompt_of(path: Path, line: int, row: Mapping[str, Any]) -> ListedPrompt:
    values = {name: _checked(path, line, name, value) for name, value in row.items()}
    seed = values.pop(SEED, None)
    try:
        prompt = PromptConfig(**values)
    except ValueError as error:
        raise _wrong(path, line, str(error)) from error
    if not prompt.given():
        raise _wrong(path, line, f"it has no prompt: give one of {', '.join(MODALITIES)}")
    return ListedPrompt(line, prompt, seed)


def _kinds() -> dict[str, Any]:
    """Field of an entry → its type."""
    return {field.name: next(iter(types_in(field.type))) for field in fields(PromptConfig)} | {
        SEED: int
    }


def _check_names(path: Path, line: int, names: Mapping[str, Any] | list[str]) -> None:
    known = _kinds()
    if unknown := [name for name in names if name not in known]:
        raise _wrong(path, line, f"there is no field {unknown[0]!r}; fields are {', '.join(known)}")


def _parsed(path: Path, line: int, name: str, cell: str) -> Any:  # noqa: ANN401
    """A cell of a CSV file as a value of JSON."""
    kind = _kinds()[name]
    try:
        if kind in (int, float):
            return kind(cell)
        return _TRUTH[cell.lower()] if kind is bool else cell
    except (ValueError, KeyError):
        wanted = {int: "a whole number", float: "a number", bool: "true or false"}[kind]
        raise _wrong(path, line, f"{name} must be {wanted}, got {cell!r}") from None


def _checked(path: Path, line: int, name: str, value: object) -> Any:  # noqa: ANN401
    """A value of JSON in the type of its field."""
    kind = _kinds()[name]
    if get_origin(kind) is Literal:
        if value in get_args(kind):
            return value
        wanted = f"one of {', '.join(get_args(kind))}"
    elif kind is float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        wanted = "a number"
    elif kind is int:
        if type(value) is int and 0 <= value < 2**63:
            return value
        wanted = "a whole number in 0 … 2^63 − 1"
    elif kind is bool:
        if isinstance(value, bool):
            return value
        wanted = "true or false"
    else:
        if isinstance(value, str) and value and "\0" not in value:
            return path.parent / value if kind is Path else value
        wanted = "text"
    raise _wrong(path, line, f"{name} must be {wanted}, got {value!r}")


def _wrong(path: Path, line: int, why: str) -> BatchError:
    return BatchError(f"{path}, line {line}: {why}.")
