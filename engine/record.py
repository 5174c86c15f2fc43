"""One built engine: what it is for, its signature, the hash of every file. Never trusted unread."""

import hashlib
import json
import os
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xbind.engine.errors import EngineDamaged
from xbind.engine.spec import GraphSpec
from xbind.files import lock_shared, sha256_file, sync_file, sync_folder

SIDECAR = "engine.json"
"""Name of the file that describes an engine."""


@dataclass(frozen=True, slots=True)
class Key:
    """Everything that decides an engine, as readable text by field."""

    fields: Mapping[str, str]
    """`graph`, `backend` and whatever else: versions, hashes, precision, target."""

    @property
    def digest(self) -> str:
        """SHA-256 of all fields, independent of their order."""
        return hashlib.sha256(_canonical(dict(self.fields)).encode()).hexdigest()

    @property
    def folder_name(self) -> str:
        """Readable at its start, unique at its end."""
        return f"{self.fields['graph']}-{self.fields['backend']}-{self.digest[:24]}"

    def differences(self, wanted: "Key") -> list[str]:
        """Lines that name every field in which this key is not the wanted one."""
        names = sorted({*self.fields, *wanted.fields})
        return [
            f"{name}: built for {self.fields.get(name)}, wanted {wanted.fields.get(name)}"
            for name in names
            if self.fields.get(name) != wanted.fields.get(name)
        ]


@dataclass(frozen=True, slots=True)
class Entry:
    """An engine in the store, its description checked."""

    folder: Path
    key: Key
    spec: GraphSpec
    files: Mapping[str, Mapping[str, Any]]
    """Name → {"sha256", "bytes"}."""
    notes: Mapping[str, Any]
    """How it was built: seconds, parity figures."""
    hold: "Hold | None" = field(default=None, compare=False, repr=False)
    """Keeps `gc` from removing it while this object lives; None if it was only read."""

    @property
    def size_bytes(self) -> int:
        """Of all its files."""
        return sum(int(entry["bytes"]) for entry in self.files.values())

    def verify(self) -> None:
        """Compare every file with its hash.

        Raises:
            EngineDamaged: one is missing or differs; the message names it.
        """
        for name, wanted in self.files.items():
            path = self.folder / name
            if not path.is_file() or path.stat().st_size != wanted["bytes"]:
                found = f"{path.stat().st_size} bytes" if path.is_file() else "nothing"
                raise damaged(path, f"{wanted['bytes']} bytes", found)
            found = sha256_file(path)
            if found != wanted["sha256"]:
                raise damaged(path, f"sha256 {wanted['sha256']}", found)


class Hold:
    """A shared lock on an engine's description, released when this object goes."""

    def __init__(self, descriptor: int) -> None:
        self._closing = weakref.finalize(self, os.close, descriptor)


def hold(folder: Path) -> Hold | None:
    """Hold the engine in a folder; None if there is none, or `gc` is removing it.

    Raises:
        EngineDamaged: its description cannot be opened.
    """
    path = folder / SIDECAR
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        if folder.is_dir():
            raise damaged(path, "the description of an engine", "nothing") from None
        return None
    except OSError as error:
        raise damaged(path, "the description of an engine", repr(error)) from error
    held = Hold(descriptor)
    try:
        lock_shared(descriptor)
        found = path.stat()
    except (BlockingIOError, FileNotFoundError):
        return None
    # removed, or built again, between the opening and the lock
    return held if os.path.samestat(found, os.fstat(descriptor)) else None


@dataclass(frozen=True, slots=True)
class Made:
    """What a builder leaves in its folder."""

    spec: GraphSpec
    notes: Mapping[str, Any] = field(default_factory=dict)


def describe(folder: Path, key: Key, made: Made) -> None:
    """Write the sidecar, last, and bring every file to the disk."""
    files = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            sync_file(file.fileno())
        files[path.name] = {"sha256": sha256_file(path), "bytes": path.stat().st_size}
    content: dict[str, Any] = {
        "key": dict(key.fields),
        "spec": made.spec.to_dict(),
        "files": files,
        "notes": dict(made.notes),
    }
    content["sha256"] = hashlib.sha256(_canonical(content).encode()).hexdigest()
    with (folder / SIDECAR).open("w", encoding="utf-8") as file:
        file.write(_canonical(content))
        file.flush()
        sync_file(file.fileno())
    sync_folder(folder)


def read(folder: Path) -> Entry:
    """The description of an engine, exactly as it was written.

    Raises:
        EngineDamaged: it was not.
    """
    path = folder / SIDECAR
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
        claimed = content.pop("sha256")
        found = hashlib.sha256(_canonical(content).encode()).hexdigest()
        if found != claimed or text != _canonical({**content, "sha256": claimed}):
            raise damaged(path, f"sha256 {claimed}", found)
        key, spec = Key(content["key"]), GraphSpec.from_dict(content["spec"])
        return Entry(folder, key, spec, content["files"], content["notes"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(path, "the description of an engine", repr(error)) from error


def _canonical(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def damaged(path: Path, wanted: str, found: str) -> EngineDamaged:
    """The error for a file that is not what was written."""
    return EngineDamaged(
        f"{path} is not what was written.\n  wanted {wanted}\n  found  {found}\n"
        "Nothing of this engine is used. Remove it with `xbind engines gc`; it is built again when "
        "it is needed."
    )
