"""`xbind config show`: every number of a preset, with its unit and source."""

import shutil
import sys

from xbind.cli.numbers import base_of
from xbind.cli.options import ShowConfigConfig
from xbind.config.changes import with_changes
from xbind.config.describe import as_text, as_toml

LEAST_WIDTH = 100
"""Width of the table in characters, if the terminal is narrower or missing."""


def show_config(config: ShowConfigConfig) -> None:
    """Print the numbers as a table or as TOML.

    Raises:
        XBindError: there is no such preset.
    """
    method = with_changes(base_of(config), config.method)
    if config.toml:
        sys.stdout.write(as_toml(method, config.preset))
        return
    width = max(shutil.get_terminal_size((LEAST_WIDTH, 0)).columns, LEAST_WIDTH)
    sys.stdout.write(as_text(method, width))
    sys.stdout.write(
        "\nChange one with --method.NAME VALUE, or several in a TOML file with --config FILE\n"
        f"(xbind config show {config.preset} --toml prints one).\n"
    )
