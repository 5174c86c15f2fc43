"""Programs that forked commands start and connections that they open: none is allowed."""

import mmap
import resource
import socket
import sys
import threading

PROGRAMS = {
    "os.exec", "os.posix_spawn", "os.spawn", "os.system", "pty.spawn", "subprocess.Popen",
}  # fmt: skip
"""Audit events of programs that are started."""
CONNECTIONS = {
    "socket.connect", "socket.getaddrinfo", "socket.gethostbyaddr", "socket.gethostbyname",
    "socket.getnameinfo", "socket.sendmsg", "socket.sendto",
}  # fmt: skip
"""Audit events of connections, packets, and names that are looked up."""
_BYTES = 64 * 1024
_LINE = 200
_OUR_OWN = threading.RLock()

_seen: list[str] = []


class Log:
    """Events of one process and its children, in memory that they share with this one.

    Unlike a file it works on full disks and without descriptors, and a kill loses nothing.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _BYTES)

    def watch_this_process(self) -> None:
        """Log events from now on, here and in all children. A hook cannot be removed."""
        sys.addaudithook(self._hook)

    def watch_the_end(self) -> None:
        """Log child processes of native code, which audit events do not show."""
        # the largest memory of a child that was waited for: a fork sets it to 0
        if resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss and not self._memory[0]:
            self._add("program", "a child process", ())

    def read(self) -> list[str]:
        """One line for each event, `"program: …"` or `"connection: …"`; closes the log."""
        written = self._memory[:].partition(b"\0")[0]
        self._memory.close()
        return written.decode(errors="replace").splitlines()

    def _hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if event in PROGRAMS:
            self._add("program", event, arguments)
        elif event in CONNECTIONS and not _stays_here(arguments):
            self._add("connection", event, arguments)

    def _add(self, kind: str, event: str, arguments: tuple[object, ...]) -> None:
        line = f"{kind}: {event} {arguments!r}".encode("ascii", "backslashreplace")[:_LINE]
        with _OUR_OWN:  # reentrant: a signal may arrive here
            at = self._memory.find(b"\0")
            if 0 <= at < _BYTES - _LINE - 2:  # a full log has a fault already
                self._memory[at : at + len(line) + 1] = line + b"\n"


def _stays_here(arguments: tuple[object, ...]) -> bool:
    """Whether an event concerns a socket between processes of this machine."""
    first = arguments[0] if arguments else None
    return isinstance(first, socket.socket) and first.family == socket.AF_UNIX


def note(events: list[str]) -> None:
    """Count events for the case that is being tried."""
    _seen.extend(events)


def take() -> list[str]:
    """The events since the last call."""
    events = _seen[:]
    _seen.clear()
    return events


def programs(events: list[str]) -> int:
    """How many of the events are programs; the others are connections."""
    return sum(event.startswith("program") for event in events)
