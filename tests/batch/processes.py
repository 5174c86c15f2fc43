"""`xbind batch` as a process, what it has started, and what it has made."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

QUICK = ("--preset", "probe", "--engine", "eager", "--device", "cpu")


def batch(listed, out, *words, **environment):
    """Start `xbind batch`; its output goes to a file beside `out`."""
    return start("batch", str(listed), "--out", str(out), *words, log=out, **environment)


def start(*words, log, **environment):
    """Start a command of `xbind`; its output goes to a file beside `log`."""
    script = "from xbind.cli.main import main; main()"
    with log.with_suffix(".log").open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-P", "-c", script, *words, *QUICK],
            stdout=file, stderr=file, env=os.environ | environment,
        )  # fmt: skip


def finish(process, seconds=600):
    """Wait for a process that may take `seconds`; returns its exit status."""
    try:
        return process.wait(seconds)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def wait_until(condition, seconds=300):
    """Wait until `condition()` is true, and return what it is."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
    return found


def children(pid):
    """Processes whose parent is `pid`, with their command lines."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
            parent, state = int(stat.rpartition(")")[2].split()[1]), stat.rpartition(")")[2].split()
            if parent == pid and state[0] != "Z":
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found[int(folder.name)] = line
        except (OSError, ValueError):  # it has ended
            continue
    return found


def local_workers(driver):
    """Worker processes of a driver on this machine."""
    return [
        worker
        for server, line in children(driver).items()
        if "forkserver" in line
        for worker in children(server)
    ]


def kill(pid):
    """SIGKILL, to a process that may have ended."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


class Made:
    """Finished runs as they appear: each is made once and then left as it is."""

    def __init__(self, out):
        self._out, self._seen = out, {}

    def look(self):
        """Names of the finished runs; none that was seen before has changed or is gone."""
        found = {}
        for path in self._out.glob("runs/*/mesh.glb"):
            stat = path.stat()
            found[path.parent.name] = (stat.st_ino, stat.st_mtime_ns)
        for name, identity in self._seen.items():
            assert found.get(name) == identity, f"{name} was made again"
        self._seen |= found
        assert all((self._out / "runs" / name / "report.html").is_file() for name in found)
        return set(found)


def seeds_in_summary(out):
    """Seed and state of each row of summary.csv, in its order."""
    rows = (out / "summary.csv").read_text().splitlines()[1:]
    return [tuple(row.split(",")[2:4]) for row in rows]


def listeners(pid):
    """Addresses at which a process listens, such as `127.0.0.1`, in hexadecimal of /proc/net."""
    sockets = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if match := re.fullmatch(r"socket:\[(\d+)\]", str(link.readlink())):
                sockets.add(match[1])
        except OSError:
            continue
    found = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in sockets:
                found.add(words[1].partition(":")[0])
    return found
