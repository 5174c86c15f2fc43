"""Changes to the numbers of a preset, from the command line, a TOML file or Python. No torch here.

A change is a dotted name and a value, such as ``{"coarse.steps": 300}``: the name that
`xbind config show` prints, and that follows ``--method.`` on the command line.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin

from xbind.config.method import MethodConfig
from xbind.config.ranges import annotations_of, dataclass_in, types_in
from xbind.errors import XBindError

NONE = "none"
"""A setting that is not set, in a TOML file; TOML has no word for it."""
_FILE_KEYS = ("preset", "method")
_Config = TypeVar("_Config")


class ConfigError(XBindError):
    """A change to the method's numbers has an unknown name, a wrong type or a wrong value."""


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """Changes in a TOML file."""

    preset: str | None = None
    """The preset that the changes apply to; None if the file does not say."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """The table `method`, nested as in the file."""


def leaves(config: object, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted name, annotation and value of every setting, in the order of declaration."""
    for name, annotation in annotations_of(type(config)).items():
        value = getattr(config, name)
        if dataclass_in(annotation) is None:
            yield f"{prefix}{name}", annotation, value
        else:
            yield from leaves(value, f"{prefix}{name}.")


def difference(base: MethodConfig, method: MethodConfig) -> dict[str, Any]:
    """Returns the changes of `method` from `base`: dotted name → value as JSON data; tuples are
    lists."""
    before = {name: value for name, _, value in leaves(base)}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, _, value in leaves(method)
        if value != before[name]
    }


def with_changes(method: MethodConfig, changes: Mapping[str, Any]) -> MethodConfig:
    """The same numbers with some changed.

    Args:
        method: to start from.
        changes: dotted names, or nested mappings as in a TOML file, or both; lists stand for
            tuples, and "none" or None for a setting that is not set.

    Raises:
        ConfigError: a name is unknown, or a value has the wrong type or is out of range.
    """
    if not isinstance(changes, Mapping):
        raise ConfigError(
            f"Changes to a preset are names with values, such as {{'coarse.steps': 300}}; got "
            f"{changes!r}."
        )
    return _changed(method, _nested(changes), "") if changes else method


def read_config_file(path: Path) -> ConfigFile:
    """Read a TOML file with the keys `preset` and `method`, both optional.

    Raises:
        ConfigError: it cannot be read, or holds another key or a value of another type.
    """
    try:
        content = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise ConfigError(
            f"--config {path} cannot be read: {error.strerror or error}.\n"
            f"Give a TOML file; `xbind config show --toml` prints one."
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"--config {path} is not a TOML file: {error}.") from error
    for key in content:
        if key not in _FILE_KEYS:
            raise ConfigError(
                f"--config {path} has a key {key!r}; it may have {' and '.join(_FILE_KEYS)}.\n"
                f"Numbers stand in tables such as [method.coarse]."
            )
    preset, changes = content.get("preset"), content.get("method", {})
    if not isinstance(preset, str | None) or not isinstance(changes, dict):
        raise ConfigError(
            f"--config {path}: preset must be text and method a table, got "
            f"{preset if isinstance(changes, dict) else changes!r}."
        )
    return ConfigFile(preset, changes)


def _nested(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names as nested dictionaries."""
    tree: dict[str, Any] = {}
    for name, value in changes.items():
        *sections, last = name.split(".")
        node = tree
        for section in sections:
            node = node.setdefault(section, {})
            if not isinstance(node, dict):
                raise ConfigError(f"{section} of {name!r} is given a value and settings inside.")
        if isinstance(value, Mapping):
            inner = _nested(value)
            value = {**node[last], **inner} if isinstance(node.get(last), dict) else inner
        node[last] = value
    return tree


def _changed(config: _Config, changes: Mapping[str, Any], where: str) -> _Config:
    known = annotations_of(type(config))
    values = {}
    for name, value in changes.items():
        path = f"{where}{name}"
        if name not in known:
            raise ConfigError(unknown_setting(path))
        if dataclass_in(known[name]) is None:
            if isinstance(value, dict):
                raise ConfigError(f"{path} is one setting, but {', '.join(value)} is given in it.")
            values[name] = _converted(known[name], value)
        else:
            if not isinstance(value, dict):
                inside = ", ".join(annotations_of(type(getattr(config, name))))
                raise ConfigError(f"{path} is a group of settings ({inside}), but is {value!r}.")
            values[name] = _changed(getattr(config, name), value, f"{path}.")
    try:
        return replace(config, **values)  # type: ignore[type-var]
    except ValueError as error:  # it begins with the setting's name
        raise ConfigError(
            f"{where}{error}.\nSee `xbind config show` for its unit and source."
        ) from error


def unknown_setting(path: str) -> str:
    """The message about a dotted name that there is not, with the nearest ones."""
    everything = [name for name, _, _ in leaves(MethodConfig())]
    last = path.rpartition(".")[2]
    near = [name for name in everything if name.rpartition(".")[2] == last]
    near += [name for name in get_close_matches(path, everything, n=3) if name not in near]
    hint = f" Perhaps you meant {', '.join(near[:4])}." if near else ""
    return f"There is no setting {path!r}.{hint}\n`xbind config show` lists all of them."


def _converted(annotation: Any, value: Any) -> Any:  # noqa: ANN401
    """A value of JSON or TOML in the type of its field, where that loses nothing."""
    types = set(types_in(annotation))
    if value == NONE and NoneType in types:
        return None
    if isinstance(value, list | tuple):
        items = [t for t in types if get_origin(t) is tuple]
        inner = get_args(items[0])[0] if items else annotation
        return tuple(_converted(inner, item) for item in value)
    if type(value) is int and float in types:
        return float(value)
    return value
