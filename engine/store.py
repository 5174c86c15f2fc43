"""Where built engines live: found by everything that decides them, whole or absent.

<root>/<graph>-<backend>-<digest>/engine.json    the key, the signature, every file's hash
<root>/<graph>-<backend>-<digest>/<files>        such as model.onnx or engine.plan
<root>/locks/<graph>-<backend>-<digest>          held while that engine is built
<root>/<graph>-<backend>-<digest>/passed/<card>  a GPU on which it computes what torch computes
<root>/.refused/<graph>-<backend>-<digest>       why that engine is not built, or not used
<root>/.refused/<graph>-…-<digest>-<card>        the same, on one GPU

An engine is built in a folder of its own and renamed into place, so that a builder which dies
leaves nothing that is ever loaded. Every byte is compared with its hash before use.
"""

import errno
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from xbind.engine.errors import EngineDamaged, EngineError
from xbind.engine.record import SIDECAR, Entry, Key, Made, damaged, describe, hold, read
from xbind.files import atomic_write, lock, sync_folder, unlock
from xbind.system.cache import cache_folder

FORMAT = "1"
"""Layout version of the store; part of every key."""
_LOCKS = "locks"
_TEMPORARY = ".building-"
_UNLOCKED = ".unlocked-"
_ABANDONED_S = 86_400.0  # age at which a builder that could not lock is taken for dead
_TRASH = ".removed-"
_REFUSED = ".refused"
_PASSED = "passed"
_TRIES = 10  # of an engine whose place another builder takes, whose engine is damaged
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def engines_folder() -> Path:
    """The store that every command shares."""
    return cache_folder() / "engines"


class EngineStore:
    """A folder of engines, shared by any number of processes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, key: Key) -> Entry | None:
        """The engine for exactly this key, every byte of it checked; None if there is none.

        `gc` does not remove it while the returned object lives.

        Raises:
            EngineDamaged: there is one, and a file of it is not what was written.
        """
        folder = self.root / key.folder_name
        held = hold(folder)
        if held is None:
            return None
        entry = replace(read(folder), hold=held)
        if entry.key.differences(key):
            raise damaged(folder / SIDECAR, f"the key {key.digest}", entry.key.digest)
        entry.verify()
        return entry

    def build(
        self, key: Key, make: Callable[[Path], Made], waiting: Callable[[], None] = lambda: None
    ) -> Entry:
        """The engine for a key, built unless another process has done so meanwhile.

        Args:
            key: what the engine is for.
            make: writes the engine's files into an empty folder.
            waiting: called once if another process is building the same engine.

        Raises:
            EngineError: the disk is full or refuses; or whatever `make` raises. Nothing is kept.
        """
        with _disk_errors(self.root), self._locked(key, waiting) as locked:
            if (found := self._whole(key)) is not None:
                return found
            building = self.root / f"{_TEMPORARY}{key.folder_name}"
            if not locked:  # another process may be building the same engine: a folder for each
                building = self.root / f"{_UNLOCKED}{uuid.uuid4().hex}"
            shutil.rmtree(building, ignore_errors=True)  # of a builder that died: the lock is ours
            building.mkdir(parents=True)
            try:
                describe(building, key, make(building))
                held = hold(building)
                if (found := self._place(building, key, locked=locked)) is not None:
                    return found
                sync_folder(self.root)
            finally:
                shutil.rmtree(building, ignore_errors=True)
            return replace(read(self.root / key.folder_name), hold=held)

    def _place(self, building: Path, key: Key, *, locked: bool) -> Entry | None:
        """Move a built engine to its place.

        Returns:
            The engine of another builder that is there already, as can be without a lock: it stays,
            since its builder may be reading it. Else None.
        """
        target = self.root / key.folder_name
        if locked:
            self._remove(target)
        for left in reversed(range(_TRIES)):
            try:
                building.rename(target)
            except OSError as error:
                if locked or not left or error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            else:
                return None
            if (found := self._whole(key)) is not None:
                return found
            self._remove(target)  # damaged
        raise AssertionError("not reached")

    def _whole(self, key: Key) -> Entry | None:
        """The engine for a key, unless there is none or it is damaged."""
        try:
            return self.find(key)
        except EngineDamaged:
            return None

    def refuse(self, key: Key, why: str, card: str | None = None) -> None:
        """Remember why the engine for a key is not used, on one GPU or anywhere."""
        with _disk_errors(self.root):
            (self.root / _REFUSED).mkdir(parents=True, exist_ok=True)
            content = {"why": why, "card": card, "key": dict(key.fields)}
            atomic_write(self._refused(key, card), json.dumps(content).encode())

    def refusal(self, key: Key, card: str | None = None) -> str | None:
        """Why the engine for a key is not used, on this GPU or anywhere; `gc` forgets it."""
        for path in {self._refused(key, card), self._refused(key, None)}:
            if path.is_file():
                return _read_refusal(path)[1]
        return None

    def refused(self) -> Iterator[tuple[Key, str]]:
        """The key of every engine that is not used, and why."""
        for path in sorted((self.root / _REFUSED).glob("*")):
            key, why = _read_refusal(path)
            if key is not None:
                yield key, why

    def _refused(self, key: Key, card: str | None) -> Path:
        suffix = "" if card is None else f"-{_slug(card)}"
        return self.root / _REFUSED / f"{key.folder_name}{suffix}"

    def note_passed(self, entry: Entry, card: str) -> None:
        """Remember that an engine computes what torch computes on a GPU."""
        with _disk_errors(self.root):
            (entry.folder / _PASSED).mkdir(exist_ok=True)
            atomic_write(entry.folder / _PASSED / _slug(card), card.encode())

    def entries(self) -> Iterator[Entry | EngineDamaged]:
        """Every engine, and an error in place of each whose description is damaged."""
        for folder in sorted(self.root.glob("[!.]*")):
            if folder.name != _LOCKS and folder.is_dir():
                try:
                    yield read(folder)
                except EngineDamaged as error:
                    yield error

    def advice(self, key: Key) -> str:
        """Why there is no engine for this key: how the nearest one differs."""
        alike = [
            entry.key.differences(key)
            for entry in self.entries()
            if isinstance(entry, Entry)
            and all(entry.key.fields[n] == key.fields[n] for n in ("graph", "backend"))
        ]
        if not alike:
            return "none was built yet"
        nearest: list[str] = min(alike, key=len)
        return "; ".join(nearest)

    def gc(
        self, keep: Callable[[Entry], bool], in_use: Callable[[str], None] = lambda _: None
    ) -> list[tuple[str, int]]:
        """Remove engines that are damaged or not to be kept, and what dead builders left.

        Engines that are being built, or that a run holds, are left alone.

        Args:
            keep: whether an engine stays.
            in_use: called with the name of every engine that a run holds and that would go.

        Returns:
            Name and bytes of everything that was removed.
        """
        removed = []
        kept = {
            entry.folder.name
            for entry in self.entries()
            if isinstance(entry, Entry) and keep(entry) and _is_whole(entry)
        }
        for folder in sorted(self.root.glob("*")):
            if folder.name != _LOCKS and folder.name not in kept and not self._is_building(folder):
                size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
                if self._remove_unheld(folder):
                    removed.append((folder.name, size))
                else:
                    in_use(folder.name)
        return removed

    def _is_building(self, folder: Path) -> bool:
        if folder.name.startswith(_UNLOCKED):
            return time.time() - folder.stat().st_mtime < _ABANDONED_S
        path = self.root / _LOCKS / folder.name.removeprefix(_TEMPORARY)
        if not path.is_file():
            return False
        with path.open() as file:
            try:
                lock(file)
            except BlockingIOError:
                return True
        return False

    def _remove_unheld(self, folder: Path) -> bool:
        """Remove a folder unless a run holds the engine in it; whether it is removed."""
        with ExitStack() as stack:
            path = folder / SIDECAR
            if path.is_file():
                try:
                    lock(stack.enter_context(path.open("r+")))  # NFS locks for writers only
                except BlockingIOError:
                    return False
                except PermissionError:  # what cannot be opened, no run has loaded
                    pass
            self._remove(folder)
        return True

    def _remove(self, folder: Path) -> None:
        """Out of sight in one step, then file by file."""
        if folder.exists():
            trash = folder.with_name(f"{_TRASH}{os.getpid()}-{folder.name}")
            folder.rename(trash)
            shutil.rmtree(trash)

    @contextmanager
    def _locked(self, key: Key, waiting: Callable[[], None]) -> Iterator[bool]:
        """Holds the lock of one key's builder; the system releases it when the process dies.

        Yields:
            False where the file system has no locks.
        """
        locks = self.root / _LOCKS
        locks.mkdir(parents=True, exist_ok=True)
        with (locks / key.folder_name).open("w") as file:
            try:
                locked = lock(file)
            except BlockingIOError:
                waiting()
                locked = lock(file, wait=True)
            try:
                yield locked
            finally:  # by word: a child process that was forked meanwhile holds the file open too
                if locked:
                    unlock(file)


def cards_passed(entry: Entry) -> list[str]:
    """The GPUs on which an engine was compared with torch and passed."""
    folder = entry.folder / _PASSED
    return sorted(path.read_text(encoding="utf-8", errors="replace") for path in folder.glob("*"))


def _read_refusal(path: Path) -> tuple[Key | None, str]:
    """The key and the reason in a file of `refuse`; a damaged file refuses all the same."""
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        content = json.loads(text)
        return Key(dict(content["key"])), str(content["why"])
    except (ValueError, KeyError, TypeError):
        return None, f"it was refused before, and {path} does not say why (`xbind engines gc`)"


def _slug(card: str) -> str:
    """A file name for a card: its architecture, and what tells its name from others."""
    return f"{card.partition(' ')[0]}-{hashlib.sha256(card.encode()).hexdigest()[:12]}"


def _is_whole(entry: Entry) -> bool:
    try:
        entry.verify()
    except EngineDamaged:
        return False
    return True


@contextmanager
def _disk_errors(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise EngineError(
                f"No room left in {root} ({error.strerror}); the unfinished engine is removed.\n"
                "Free some space, name another folder in XBIND_CACHE, or choose --engine eager."
            ) from error
        raise EngineError(
            f"Cannot write engines to {root}: {error.strerror or error}.\n"
            "Name a folder that you may write to in XBIND_CACHE, or choose --engine eager."
        ) from error
