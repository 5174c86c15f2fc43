"""Sections of a Markdown document, between marks."""

from pathlib import Path

from xbind.errors import XBindError
from xbind.files import atomic_write


def read_section(document: Path, section: str) -> str:
    """Returns the text between the marks of a section.

    Raises:
        XBindError: the document cannot be read, or has no such marks.
    """
    return _split(document, section)[1].strip()


def write_section(document: Path, section: str, text: str) -> None:
    """Replaces the text between the marks of a section; the rest stays as it is.

    Raises:
        XBindError: the document cannot be read or written, or has no such marks.
    """
    before, _, after = _split(document, section)
    atomic_write(document, f"{before}\n{text.strip()}\n{after}".encode())


def _split(document: Path, section: str) -> tuple[str, str, str]:
    begin, end = f"<!-- begin {section} -->", f"<!-- end {section} -->"
    try:
        before, rest = document.read_text(encoding="utf-8").split(begin)
        inside, after = rest.split(end)
    except OSError as error:
        raise XBindError(f"{document} cannot be read ({error}).") from error
    except ValueError as error:
        raise XBindError(
            f"{document} has no section {section!r}: wanted one line {begin} and, below it, one "
            f"line {end}.\nWrite them where the tables belong."
        ) from error
    return before + begin, inside, end + after
