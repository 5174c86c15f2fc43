"""The shape of `bundle.json`: what every entry must be before anything is read from it."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, TypeGuard

from xbind.config.light import LightFigures

MAX_IMAGE_SIDE = 4096
"""Largest side of a prior's images, in pixels."""
MAX_NORM = 1e6
"""Largest length of an embedding."""
MAX_NAME = 200
"""Characters of a bundle's name."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


def fault_in(
    raw: Mapping[str, Any],
    version: int,
    roles: Sequence[str],
    defaults: Mapping[str, str],
    judges: Sequence[str],
) -> str | None:
    """Returns the first fault in the content of `bundle.json`, as a sentence; None if it has none.

    Args:
        raw: the content.
        version: the wanted `format`.
        roles: parts that every bundle has.
        defaults: table of priors → component of the default one.
        judges: roles that no run uses.
    """
    return next(_faults(raw, version, roles, defaults, judges), None)


def _faults(
    raw: Mapping[str, Any],
    version: int,
    roles: Sequence[str],
    defaults: Mapping[str, str],
    judges: Sequence[str],
) -> Iterator[str]:
    if not _is_int(raw.get("format")) or raw["format"] != version:
        yield f"it has format {raw.get('format')!r}; wanted format {version}"
    name = raw.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        yield f"name is not a text of 1 to {MAX_NAME} characters"
    tables = ("parts", "files", *(key for key in ("image_size", "embedding_norm") if key in raw))
    for key in tables:
        if not isinstance(raw.get(key), dict):
            yield f"{key} is not an object"
            return
    yield from _faults_of_parts(raw["parts"], roles)
    yield from _faults_of_files(raw["files"])
    yield from _faults_of_digests(raw["files"], raw["parts"], judges)
    yield from _faults_of_numbers(raw)
    if "names" in raw and not isinstance(raw["names"], str):
        yield "names is not a path"
    for key, default in defaults.items():
        if key in raw:
            yield from _faults_of_priors(key, raw[key], default)
    if "light" in raw:
        yield from _faults_of_light(raw["light"])


def _faults_of_parts(parts: Mapping[str, Any], roles: Sequence[str]) -> Iterator[str]:
    missing = [role for role in roles if role not in parts]
    if missing:
        yield f"parts lacks {', '.join(missing)}"
    for role, path in parts.items():
        if not _is_inside(path):
            yield f"parts has {path!r} for {role!r}, which is not a path inside of the bundle"


def _faults_of_files(files: Mapping[str, Any]) -> Iterator[str]:
    for path, entry in files.items():
        if not _is_inside(path):
            yield f"files names {path!r}, which is not a path inside of the bundle"
        if not isinstance(entry, dict):
            yield f"files has no object for {path!r}"
            continue
        digest, size = entry.get("sha256"), entry.get("bytes")
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            yield f"files has no sha256 of 64 hexadecimal digits for {path!r}"
        if not _is_int(size) or size < 0:
            yield f"files has no number of bytes for {path!r}"


def _faults_of_digests(
    files: Mapping[str, Any], parts: Mapping[str, Any], judges: Sequence[str]
) -> Iterator[str]:
    """Only what no run uses may count otherwise than it is."""
    for path, entry in files.items():
        if "digest_as" not in entry:
            continue
        counted = entry["digest_as"]
        if counted is not None and not (isinstance(counted, str) and _SHA256.fullmatch(counted)):
            yield f"files has a digest_as for {path!r} that is no sha256, nor null"
        users = {role for role, part in parts.items() if f"{path}/".startswith(f"{part}/")}
        if not users or users - set(judges):
            yield f"files has a digest_as for {path!r}, which is not a file of a judge"


def _faults_of_numbers(raw: Mapping[str, Any]) -> Iterator[str]:
    for key, side in raw.get("image_size", {}).items():
        if not _is_int(side) or not 1 <= side <= MAX_IMAGE_SIDE:
            yield f"image_size has {side!r} for {key!r}; wanted 1 to {MAX_IMAGE_SIDE} pixels"
    for key, norm in raw.get("embedding_norm", {}).items():
        plain = isinstance(norm, int | float) and not isinstance(norm, bool)
        if not plain or not math.isfinite(norm) or not 0 < norm <= MAX_NORM:
            yield f"embedding_norm has {norm!r} for {key!r}; wanted a length above 0"


def _faults_of_priors(key: str, table: object, prior: str) -> Iterator[str]:
    if not isinstance(table, dict) or not table:
        yield f"{key} is not an object with a prior"
        return
    for name, entry in table.items():
        names = entry.get("categories", []) if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(entry.get("component"), str):
            yield f"{key} has no component for {name!r}"
            return
        if not isinstance(names, list) or not all(isinstance(x, str) for x in names):
            yield f"{key} has no list of categories for {name!r}"
    components = [entry["component"] for entry in table.values()]
    if components.count(prior) != 1 or len(set(components)) != len(components):
        yield (
            f"{key} names {', '.join(components)}; wanted different components, {prior} among them"
        )


def _faults_of_light(found: object) -> Iterator[str]:
    try:
        LightFigures.from_plain(found)
    except ValueError as error:
        yield f"light is not a light: {error}"


def _is_inside(path: object) -> bool:
    """Returns True if a path stays inside of a bundle's folder."""
    if not isinstance(path, str) or not path or "\0" in path:
        return False
    pure = PurePosixPath(path)
    return not pure.is_absolute() and ".." not in pure.parts


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
