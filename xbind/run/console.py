"""Printers whose text cannot control the terminal: see `printable`."""

from typing import Any

from rich.console import Console
from rich.text import Text

from xbind.errors import printable


class PlainConsole(Console):
    """A console that shows every string as it is: no markup, no emoji codes, no escape sequences.

    Strings in tables pass through `render_str` too. A `Text` that is made elsewhere does not.
    """

    def __init__(self, **options: Any) -> None:  # noqa: ANN401
        super().__init__(**{"highlight": False, "markup": False, "emoji": False, **options})

    def on_broken_pipe(self) -> None:
        """Let the command tell it, instead of leaving with status 1 and no word."""
        raise BrokenPipeError

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401
        return super().render_str(printable(text), **options)
