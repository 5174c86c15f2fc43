"""Disk space of the jobs of a server."""

import os
import threading
import time
from pathlib import Path

from xbind.config.serve import JOB_BYTES
from xbind.run.progress import format_bytes
from xbind.server.errors import DiskQuota
from xbind.server.service import Service

FRESH_S = 5.0
"""Seconds for which a measurement is used again."""


class Quota:
    """Compares the files of all jobs with the space that they may take."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._taken: float | None = None
        self._size = 0
        self._lock = threading.Lock()

    def used(self) -> int:
        """Bytes of all files, and what is reserved for jobs that have not ended."""
        with self._lock:
            if self._taken is None or time.monotonic() - self._taken > FRESH_S:
                self._size = size_of(self._service.queue.folder)
                self._taken = time.monotonic()
        return self._size + JOB_BYTES * self._service.count("queued", "running", "reference")

    def forget(self) -> None:
        """Measure again next time: files were removed."""
        self._taken = None

    def check(self, more: int = JOB_BYTES) -> None:
        """Refuse `more` bytes beyond the quota.

        Raises:
            DiskQuota: there is too little left.
        """
        used, most = self.used(), self._service.settings.quota_bytes
        if used + more > most:
            raise DiskQuota(
                f"The jobs take {format_bytes(used)} of {format_bytes(most)}, with what is "
                f"reserved for those that have not ended.\n"
                f"Delete some, or start the server with a larger --quota."
            )


def size_of(folder: Path) -> int:
    """Bytes of all files under a folder; links are not followed."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(path, name)).st_size  # noqa: PTH118
            except OSError:  # removed meanwhile
                continue
    return total
