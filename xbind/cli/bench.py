"""`xbind-bench`: how fast each phase is here, with what, and what a GPU may make of it."""

import sys
from collections.abc import Sequence

import tyro

from xbind.bench.config import BenchConfig
from xbind.errors import XBindError

INTERRUPTED = 130
"""Exit status after Ctrl-C."""


def main(argv: Sequence[str] | None = None) -> None:
    """Parse and measure; exit status 0 done, 1 refused or contestants differ, 2 wrong flags."""
    config = tyro.cli(BenchConfig, args=argv, prog="xbind-bench", description=BenchConfig.__doc__)
    try:
        sys.exit(bench(config))
    except XBindError as error:
        sys.exit(f"xbind-bench: {error}")
    except KeyboardInterrupt:
        sys.stderr.write("\nxbind-bench: interrupted; what --json was told stays.\n")
        sys.exit(INTERRUPTED)


def bench(config: BenchConfig) -> int:
    """Do it; the exit status.

    Raises:
        XBindError: something cannot be measured as asked, or a file cannot be written.
    """
    from xbind.bench.commands import measure, project_cards, scale

    if config.project:
        return project_cards(config)
    return scale(config) if config.curves else measure(config)
