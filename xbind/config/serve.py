"""What `xbind serve` can be told. No torch here."""

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Optional

import tyro

from xbind.config.options import DeviceChoice, EngineChoice, Precision, check_threads

_File = Annotated[Optional[Path], tyro.conf.arg(metavar="FILE")]  # noqa: UP045

MIB, GIB = 2**20, 2**30
JOB_BYTES = 64 * MIB
"""Disk space that is reserved for every job that has not ended: two checkpoints, a mesh and a
turntable of the mini bundle take about half of it (measured; no value in the paper)."""
TEXT_BYTES = 64 * 2**10
"""Longest body of a request that uploads no file, and longest field of a form that is no file."""
MAX_WORKERS = 64
"""More worker processes than this are refused."""
UPLOAD_PAUSE_S = 60.0
"""Seconds after which an upload of which nothing more arrives is given up."""
POLL_S = 0.25
"""Seconds between two looks at what a stream of events reports."""
KEEP_ALIVE_S = 15.0
"""Seconds after which a silent stream sends a comment, so that proxies keep it open."""
MAX_STREAMS = 500
"""Streams of events that are open at the same time, at most."""
MAX_CONNECTIONS = 2000
"""Connections that are open at the same time, at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeConfig:
    """Serve a web page and an HTTP interface that make objects."""

    out: Path = Path("out/server")
    """Folder of the jobs. A server that is started again in it goes on with them."""
    host: str = "127.0.0.1"
    """Address to listen on. Other addresses than those of this machine alone (127.0.0.1, ::1) need
    the token that is printed at the start; put a proxy with TLS in front of them."""
    port: int = 8000
    """Port to listen on; 0 takes a free one."""
    names: Annotated[str, tyro.conf.arg(metavar="NAMES")] = ""
    """Host names by which browsers reach this server, with commas between them, such as
    `gpu.example.org`. Requests for other names are refused; addresses need not be named."""
    token_file: _File = None
    """File with the token that requests must bring. By default no token is asked for on 127.0.0.1
    and ::1; elsewhere one is made and kept in `token` in --out."""
    bundle: str = "mini"
    """The frozen networks: `mini`, which is installed with xbind, or the folder of a bundle."""
    device: DeviceChoice = "auto"
    """Where to compute, as of `xbind generate`."""
    engine: EngineChoice = "auto"
    """What computes the frozen networks, as of `xbind generate`."""
    precision: Precision = "float32"
    """Of the frozen networks in the engines, as of `xbind generate`."""
    vram: Annotated[Optional[float], tyro.conf.arg(metavar="GIB")] = None  # noqa: UP045
    """GiB of memory for frozen networks and scene together, as of `xbind generate`."""
    threads: int = 1
    """Threads that compute, in each worker."""
    workers: int = 1
    """Processes that make objects at the same time; each loads the bundle once."""
    quota: Annotated[float, tyro.conf.arg(metavar="GIB")] = 20.0
    """GiB of disk space that all jobs together may take; new jobs are refused beyond it."""
    max_upload: Annotated[float, tyro.conf.arg(metavar="MIB")] = 64.0
    """MiB that the files of one prompt may have together."""
    max_queued: int = 200
    """Jobs that may wait; more are refused."""

    def __post_init__(self) -> None:
        check_threads(self.threads)
        if not 0 <= self.port <= 65535:
            raise ValueError(f"--port must be in 0 … 65535, got {self.port}")
        if not 1 <= self.workers <= MAX_WORKERS:
            raise ValueError(f"--workers must be in 1 … {MAX_WORKERS}, got {self.workers}")
        for name in ("quota", "max_upload", "vram"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                flag = name.replace("_", "-")
                raise ValueError(f"--{flag} must be a positive number, got {value}")
        if self.max_queued < 1:
            raise ValueError(f"--max-queued must be at least 1, got {self.max_queued}")
        if not self.host.strip():
            raise ValueError("--host is empty: leave it out or give an address")

    @property
    def local(self) -> bool:
        """Whether only programs on this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def host_names(self) -> frozenset[str]:
        """Host names, in lower case, for which requests are answered."""
        given = {name.strip().lower() for name in self.names.split(",") if name.strip()}
        own = set() if self.local else {socket.gethostname().lower()}
        return frozenset({"localhost", self.host.lower()} | own | given)

    @property
    def quota_bytes(self) -> int:
        """Disk space for all jobs, in bytes."""
        return int(self.quota * GIB)

    @property
    def upload_bytes(self) -> int:
        """Files of one prompt together, in bytes."""
        return int(self.max_upload * MIB)
