"""Engines in memory, and opening them before they are needed."""

from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import torch

from xbind.engine.backend import Backend
from xbind.engine.backends import open_backend
from xbind.engine.record import Entry
from xbind.engine.workspace import Workspace


class OpenEngines:
    """Engines in memory, each opened on its first use. Several threads may open engines."""

    def __init__(self) -> None:
        self._open: dict[tuple[Path, int, torch.device | None], Future[Backend]] = {}
        self._workspace, self._lock = Workspace(), Lock()

    def __len__(self) -> int:
        return len(self._open)

    def get(self, entry: Entry, *, threads: int, device: torch.device | None = None) -> Backend:
        """The loaded engine of an entry of the store, on a GPU `device` if it runs on one."""
        key = (entry.folder, threads, device)
        mine: Future[Backend] = Future()
        with self._lock:
            future = self._open.setdefault(key, mine)
        if future is mine:
            try:
                mine.set_result(
                    open_backend(entry, threads=threads, workspace=self._workspace, device=device)
                )
            except BaseException as error:
                with self._lock:
                    self._open.pop(key, None)
                mine.set_exception(error)
        return future.result()

    def close(self, *, but: Collection[Entry] = ()) -> None:
        """Unload all engines, or all but those of some entries."""
        kept = {entry.folder for entry in but}
        with self._lock:
            closed = [self._open.pop(key) for key in list(self._open) if key[0] not in kept]
        for future in closed:
            future.result().close()


class Ahead:
    """Work in another thread that may fail: whoever needs its result meets the failure."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None

    def start(self, work: Callable[[], object]) -> None:
        """Do it after what was started before."""
        self._pool = self._pool or ThreadPoolExecutor(1, "open-engines")
        self._pool.submit(work)

    def wait(self) -> None:
        """Wait until all is done or has failed; what has not begun is left out."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
