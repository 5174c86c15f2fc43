"""Settings with their values, units and sources, as text and as TOML. No torch here.

Units and sources are read from the strings below the fields of the configuration classes.
"""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from xbind.config.changes import NONE
from xbind.config.method import MethodConfig
from xbind.config.ranges import annotations_of, dataclass_in

COLUMN = 34
"""Least width of the column of names, in characters."""
TOML_WIDTH = 100
"""Width of the comments in a TOML file, in characters."""


def documentation(config: type) -> dict[str, str]:
    """Name of each field → the string below it, on one line; empty where there is none."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(config)))
    found = dict.fromkeys(annotations_of(config), "")
    body = tree.body[0].body  # type: ignore[attr-defined]
    for line, after in pairwise(body):
        match line, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str() as text)),
            ):
                found[name] = " ".join(text.split())
    return found


@dataclass(frozen=True, slots=True)
class Group:
    """The settings of one configuration class, at one place of the method."""

    path: str
    """Dotted name; empty for the method itself."""
    meaning: str
    """The string below the field that holds the group, else the summary of its class."""
    settings: dict[str, tuple[Any, str]]
    """Name → value, and the string below the field."""


def groups(method: MethodConfig) -> Iterator[Group]:
    """Returns every group that has settings of its own, in the order of declaration."""
    return _groups(method, "", _summary(MethodConfig))


def _groups(config: Any, path: str, meaning: str) -> Iterator[Group]:  # noqa: ANN401
    annotations, texts = annotations_of(type(config)), documentation(type(config))
    inner = [name for name, a in annotations.items() if dataclass_in(a) is not None]
    own = {name: (getattr(config, name), texts[name]) for name in texts if name not in inner}
    if own:
        yield Group(path, meaning, own)
    for name in inner:
        value = getattr(config, name)
        where = f"{path}.{name}" if path else name
        yield from _groups(value, where, texts[name] or _summary(type(value)))


def _summary(config: type) -> str:
    return " ".join((config.__doc__ or "").partition("\n\n")[0].split())


def as_text(method: MethodConfig, width: int) -> str:
    """A table: dotted name, value, unit and source of every setting.

    Args:
        method: the numbers.
        width: of the lines, in characters; meanings are wrapped.
    """
    lines: list[str] = []
    for group in groups(method):
        path = group.path
        lines += ["", f"{path}: {group.meaning}" if path else group.meaning]
        for name, (value, text) in group.settings.items():
            label = f"  {path}.{name}" if path else f"  {name}"
            head = f"{label:<{COLUMN}} {_as_word(value):<10}"
            indent = " " * (COLUMN + 12)
            wrapped = textwrap.wrap(text, max(width - len(indent), 30)) or [""]
            if len(head) >= len(indent):
                lines.append(head)
            else:
                lines.append(f"{head:<{len(indent)}}{wrapped.pop(0)}".rstrip())
            lines += [f"{indent}{line}" for line in wrapped]
    return "\n".join(lines[1:]) + "\n"


def as_toml(method: MethodConfig, preset: str) -> str:
    """A TOML file with every setting, its meaning above it; `read_config_file` reads it back."""
    lines = [f"preset = {_as_toml(preset)}"]
    for group in groups(method):
        table = f"[method.{group.path}]" if group.path else "[method]"
        lines += ["", *_comment(group.meaning), table]
        for name, (value, text) in group.settings.items():
            lines += [*_comment(text), f"{name} = {_as_toml(value)}"]
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, TOML_WIDTH - 2)]


def _as_word(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(_as_word, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _as_toml(value: object) -> str:
    """A value in TOML, exactly."""
    if value is None:
        return json.dumps(NONE)
    if isinstance(value, tuple):
        return f"[{', '.join(map(_as_toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, int | float) else json.dumps(value, ensure_ascii=False)
