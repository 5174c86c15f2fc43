"""Commands of `xbind` in processes forked from this one, which has imported everything once."""

import contextlib
import os
import re
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.faults import watch
from xbind.cli.main import main
from xbind.errors import XBindError
from xbind.networks import loaded
from xbind.networks.frozen import Bundle
from xbind.networks.manifest import BundleManifest, load_manifest

LIMIT_S = 900
"""Seconds after which a command counts as hanging."""
TOLD = {0, 1, 2, 130, 141}
"""Exit statuses that `xbind` documents."""
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    """Exit status; negative: the signal that ended it."""
    out: str
    err: str

    def fault(self, *statuses: int) -> str | None:
        """Why this is no clean end; None if it is one.

        Args:
            statuses: those that are right here; by default every documented one.
        """
        if "Traceback" in self.err or "Fatal Python error" in self.err:
            return f"traceback: {self.err.strip().splitlines()[-1][:200]}"
        if self.status not in (statuses or TOLD):
            return f"status {self.status}: {self.err.strip()[-200:]}"
        if self.status == 1 and not self.err.strip():
            return "refused without a word"
        if _CONTROL.search(self.err + self.out):
            return "a control character reached the terminal"
        return None


def forked(
    work: Callable[[], object],
    *,
    signals: Sequence[tuple[float, int]] = (),
    limit_s: float = LIMIT_S,
) -> Ended:
    """Do something in a process of its own, with its output in files.

    Programs that it starts and connections that it opens are counted in `watch`.

    Args:
        work: what to do; it may raise `SystemExit` as a command does.
        signals: seconds after the start, and the signal to send then.
        limit_s: seconds after which the process is killed.
    """
    with tempfile.TemporaryDirectory() as made:
        out, err, log = Path(made, "out"), Path(made, "err"), watch.Log()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 on: fork beside threads
            child = os.fork()
        if child == 0:
            _be_the_child(work, out, err, log)
        status = _wait(child, list(signals), time.monotonic(), limit_s)
        watch.note(log.read())
        return Ended(status, *(p.read_bytes().decode(errors="replace") for p in (out, err)))


def command(*words: str) -> Callable[[], None]:
    """The command with these words, for `forked`."""
    return lambda: main(list(words))


def refused_or(work: Callable[[], object]) -> Callable[[], None]:
    """Work of the library, for `forked`: an `XBindError` is told as a command tells it."""

    def told() -> None:
        try:
            work()
        except XBindError as error:
            sys.exit(f"xbind: {error}")

    return told


@cache
def load_networks_once() -> None:
    """Let every command that is forked from now on find the networks of a bundle loaded."""
    load, kept = loaded.load_bundle, {}

    def load_bundle(manifest: BundleManifest) -> Bundle:
        key = manifest.folder, manifest.component_2d, manifest.component_3d
        if key not in kept:
            kept[key] = load(manifest)
        return kept[key]

    loaded.load_bundle = load_bundle
    load_bundle(load_manifest("mini"))


def _be_the_child(work: Callable[[], object], out: Path, err: Path, log: watch.Log) -> None:
    status = 0
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for descriptor, path in ((1, out), (2, err)):
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            os.dup2(file, descriptor)
        open_streams()
        log.watch_this_process()
        work()
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        if isinstance(leaving.code, str):
            with contextlib.suppress(OSError):
                sys.stderr.write(f"{leaving.code}\n")
    except BaseException:
        status = 1
        with contextlib.suppress(OSError):
            traceback.print_exc()
    finally:
        log.watch_the_end()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(status)


def open_streams() -> None:
    """Open standard output and error on the descriptors 1 and 2; None for one that is closed."""
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        try:
            stream = open(descriptor, "w", 1, encoding="utf-8", closefd=False)  # noqa: SIM115
        except OSError:
            stream = None
        setattr(sys, name, stream)


def _wait(child: int, signals: list[tuple[float, int]], started: float, limit_s: float) -> int:
    """Wait for a process, send its signals on time; its status as `Ended` has it."""
    signals = [*sorted(signals), (limit_s, signal.SIGKILL)]
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        while signals and time.monotonic() - started >= signals[0][0]:
            os.kill(child, signals.pop(0)[1])
        time.sleep(0.01)
