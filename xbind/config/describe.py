"""Settings with their values, units and sources, as text and as TOML. No torch here.

Units and sources are read from the strings below the fields of the configuration classes.
"""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

from xbind.config.changes import NONE
from xbind.config.method import MethodConfig
from xbind.config.ranges import annotations_of, dataclass_in

COLUMN = 34
"""Least width of the column of names, in characters."""
TOML_WIDTH = 100
"""Of the comments in a TOML file, in characters."""


@cache
def documentation(config: type) -> dict[str, str]:
    """Name of each field → the string below it, on one line; empty where there is none."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(config)))
    found = dict.fromkeys(annotations_of(config), "")
    body = tree.body[0].body  # type: ignore[attr-defined]
    for line, after in pairwise(body):
        match line, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str())):
                found[name] = " ".join(after.value.value.split())
    return found


def groups(method: MethodConfig) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every group of settings: its dotted path, its meaning, and its own settings with values.

    The meaning is that of the field that holds the group, else of the group's class.
    """
    yield from _groups(method, "", _first_line(MethodConfig))


def _groups(config: Any, path: str, meaning: str) -> Iterator[tuple[str, str, dict[str, Any]]]:  # noqa: ANN401
    inner = {n for n, a in annotations_of(type(config)).items() if dataclass_in(a) is not None}
    texts = documentation(type(config))
    own = {name: getattr(config, name) for name in texts if name not in inner}
    if own:
        yield path, meaning, own
    for name in (name for name in texts if name in inner):
        value = getattr(config, name)
        where = f"{path}.{name}" if path else name
        yield from _groups(value, where, texts[name] or _first_line(type(value)))


def _first_line(config: type) -> str:
    return (config.__doc__ or "").partition("\n\n")[0].replace("\n    ", " ")


def _class_at(config: Any, path: str) -> type:  # noqa: ANN401
    for name in filter(None, path.split(".")):
        config = getattr(config, name)
    return type(config)


def as_text(method: MethodConfig, width: int) -> str:
    """A table: dotted name, value, unit and source of every setting.

    Args:
        method: the numbers.
        width: of the lines, in characters; meanings are wrapped.
    """
    lines: list[str] = []
    for path, meaning, own in groups(method):
        lines += ["", f"{path}: {meaning}" if path else meaning]
        texts = documentation(_class_at(method, path))
        for name, value in own.items():
            label = f"  {path}.{name}" if path else f"  {name}"
            head = f"{label:<{COLUMN}} {_as_word(value):<10}"
            indent = " " * (COLUMN + 12)
            wrapped = textwrap.wrap(texts[name], max(width - len(indent), 30)) or [""]
            if len(head) >= len(indent):
                lines.append(head)
            else:
                lines.append(f"{head:<{len(indent)}}{wrapped.pop(0)}".rstrip())
            lines += [f"{indent}{line}" for line in wrapped]
    return "\n".join(lines[1:]) + "\n"


def as_toml(method: MethodConfig, preset: str) -> str:
    """A TOML file with every setting, its meaning above it; `read_config_file` reads it back."""
    lines = [f"preset = {_as_toml(preset)}"]
    for path, meaning, own in groups(method):
        lines += ["", *_comment(meaning), f"[method.{path}]" if path else "[method]"]
        texts = documentation(_class_at(method, path))
        for name, value in own.items():
            lines += [*_comment(texts[name]), f"{name} = {_as_toml(value)}"]
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
