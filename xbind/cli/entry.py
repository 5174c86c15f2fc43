"""Entry points of the console scripts: Ctrl-C is answered in words while modules are imported, too.

Only the standard library is imported here.
"""

import os
import signal
import sys
from importlib import import_module
from types import FrameType

_INTERRUPTED = 130
_PASSIVE = "OMP_WAIT_POLICY"
"""Threads of OpenMP that wait for work sleep with `PASSIVE`; by default they spin, which takes the
time of engines, of kernels and of other programs. Read when torch is imported."""


def xbind() -> None:
    """Run `xbind`."""
    _run("xbind", "xbind.cli.main")


def build_engines() -> None:
    """Run `xbind-build-engines`."""
    _run("xbind-build-engines", "xbind.cli.build_engines")


def bench() -> None:
    """Run `xbind-bench`."""
    _run("xbind-bench", "xbind.cli.bench")


def _run(name: str, module: str) -> None:
    """Import the module of a command and call its `main`, which takes over the handling of Ctrl-C.

    Until then nothing is written, so Ctrl-C ends the process at once.
    """
    if "GOMP_SPINCOUNT" not in os.environ:
        os.environ.setdefault(_PASSIVE, "PASSIVE")

    def interrupt(signum: int, frame: FrameType | None) -> None:
        del signum, frame
        os.write(2, f"\n{name}: interrupted.\n".encode())
        os._exit(_INTERRUPTED)

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    main = import_module(module).main
    if signal.getsignal(signal.SIGINT) is interrupt:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:  # before the command has taken over, or after it has left
        sys.exit(_INTERRUPTED)
