"""`xbind-bench`: how fast each phase runs here, with each engine."""

import sys
from collections.abc import Sequence

import tyro

from xbind.bench.config import BenchConfig
from xbind.cli.guard import guard


def main(argv: Sequence[str] | None = None) -> None:
    """Parse and measure; exit status 0 done, 1 refused or variants differ, 2 wrong flags."""
    name, words = "xbind-bench", sys.argv[1:] if argv is None else argv

    def work() -> None:
        sys.exit(
            bench(tyro.cli(BenchConfig, args=words, prog=name, description=BenchConfig.__doc__))
        )

    guard(name, words, work, lambda: "; what --json was told stays.")


def bench(config: BenchConfig) -> int:
    """Do it; the exit status.

    Raises:
        XBindError: something cannot be measured as asked, or a file cannot be written.
    """
    from xbind.bench.commands import measure, scale

    return scale(config) if config.curves else measure(config)
