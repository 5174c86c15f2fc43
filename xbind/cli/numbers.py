"""`--method.NAME VALUE` and `--config FILE` of the commands that run the method. No torch here."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, get_args, get_origin

import tyro

from xbind.cli.guard import WRONG_FLAGS
from xbind.config.changes import (
    ConfigError,
    ConfigFile,
    difference,
    leaves,
    read_config_file,
    unknown_setting,
    with_changes,
)
from xbind.config.method import MethodConfig
from xbind.config.options import parts_named
from xbind.config.ranges import types_in
from xbind.config.variants import method_named

PREFIX = "--method."


class RunsMethod(Protocol):
    """A command that is given a preset, and changes to its numbers."""

    @property
    def preset(self) -> str: ...
    @property
    def config(self) -> Path | None: ...
    @property
    def method(self) -> Mapping[str, Any]: ...


_Command = TypeVar("_Command", bound=RunsMethod)


def base_of(command: RunsMethod) -> MethodConfig:
    """The numbers before any change: the preset's, with `--without` and `--phase2-loss` if any."""
    without = parts_named(getattr(command, "without", ""))
    return method_named(command.preset, without, getattr(command, "phase2_loss", None))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Numbers:
    """Every number of the method; `xbind config show` lists them with unit and source."""

    method: MethodConfig = field(default_factory=MethodConfig)


def split_numbers(words: Sequence[str], prog: str) -> tuple[list[str], list[str]]:
    """Separate `--method.NAME VALUE …` from the other words of a command line.

    Exits with status 2 for a name that there is not.

    Args:
        words: of the command line.
        prog: the command's name, for messages.

    Returns:
        The words that change numbers, and the others, each in their order.
    """
    counts = _value_counts()
    numbers: list[str] = []
    others: list[str] = []
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if not word.startswith(PREFIX):
            others.append(word)
            continue
        numbers.append(word)
        name, equals, _ = word[len(PREFIX) :].replace("-", "_").partition("=")
        if name not in counts:
            sys.stderr.write(f"{prog}: {unknown_setting(name)}\n")
            sys.exit(WRONG_FLAGS)
        count = 0 if equals else counts[name]
        if not count and at < len(words) and words[at].lower() in ("true", "false"):
            sys.stderr.write(f"{prog}: {word} takes no value. {_flags(name)}\n")
            sys.exit(WRONG_FLAGS)
        while count > 0 and at < len(words) and not words[at].startswith("--"):
            if count == _ANY and not _is_number(words[at]):
                break
            numbers.append(words[at])
            at, count = at + 1, count if count == _ANY else count - 1
    return numbers, others


def _flags(name: str) -> str:
    """How a flag is set and unset; its name as it is, or with `no_`."""
    group, dot, last = name.rpartition(".")
    name = f"{group}{dot}{last.removeprefix('no_')}"
    return f"Give {set_number(name, True)[0]} or {set_number(name, False)[0]}."


def set_number(name: str, value: object) -> list[str]:
    """Returns the words of a command line that set a number.

    Args:
        name: dotted.
        value: as of `difference`: JSON data.
    """
    if isinstance(value, bool):
        group, dot, last = name.rpartition(".")
        return [f"{PREFIX}{group}{dot}{'' if value else 'no_'}{last}"]
    values = value if isinstance(value, list) else [value]
    return [f"{PREFIX}{name}", *map(str, values)]


_ANY = sys.maxsize


def _value_counts() -> dict[str, int]:
    """Dotted name → how many words follow it; flags, as `x` and `no_x`, are followed by none."""
    counts = {}
    for name, annotation, _ in leaves(MethodConfig()):
        kind = next(types_in(annotation))
        count = 1
        if get_origin(kind) is tuple:
            count = _ANY if Ellipsis in get_args(kind) else len(get_args(kind))
        if kind is bool:
            group, dot, last = name.rpartition(".")
            counts[f"{group}{dot}no_{last}"] = count = 0
        counts[name] = count
    return counts


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def with_numbers(
    command: _Command, numbers: Sequence[str], others: Sequence[str], prog: str
) -> _Command:
    """The command with its preset and changes: preset, then `--config`, then `--method.…`.

    Args:
        command: as `others` were understood; its `method` holds earlier changes, of a run that is
            resumed.
        numbers: what `split_numbers` found.
        others: the other words; a `--preset` among them goes before that of the file.
        prog: the command's name, for messages.

    Raises:
        XBindError: there is no such preset, or the file is not right; a wrong word exits with
            status 2, as tyro does.
    """
    if not numbers and command.config is None and not command.method:
        return command
    file = ConfigFile()
    if command.config is not None:
        file = read_config_file(command.config)
        given = any(word.partition("=")[0] == "--preset" for word in others)
        if file.preset is not None and not given:
            command = replace(command, preset=file.preset)  # type: ignore[type-var]
    base = base_of(command)
    method = with_changes(base, command.method)
    try:
        method = with_changes(method, file.changes)
    except ConfigError as error:
        raise ConfigError(f"--config {command.config}: {error}") from error
    if numbers:
        default = _Numbers(method=method)
        method = tyro.cli(_Numbers, args=list(numbers), prog=prog, default=default).method
    return replace(command, method=difference(base, method))  # type: ignore[type-var]
