"""Prepares docstrings for reStructuredText and napoleon."""

import re

from sphinx.application import Sphinx

_SECTION = re.compile(r"(Args|Returns|Raises|Yields|Attributes|Note|Example|Examples):$")


def prepare(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Changes the lines of a docstring in place.

    `text:`, an empty line and an indented block become a literal block. A docstring of an attribute
    begins with an escaped space, which shows nothing: napoleon takes what stands before a colon in
    its first line for a type.
    """
    if what in ("attribute", "data", "property") and lines:
        lines.insert(0, "\\ ")
    for k, line in enumerate(lines[:-2]):
        indent = len(line) - len(line.lstrip())
        block = lines[k + 2]
        deeper = len(block) - len(block.lstrip()) >= indent + 4
        opens = line.rstrip().endswith(":") and not line.rstrip().endswith("::")
        if opens and not _SECTION.match(line.strip()) and not lines[k + 1].strip() and deeper:
            lines[k] = line.rstrip() + ":"


def setup(app: Sphinx) -> dict[str, bool]:
    """Runs before napoleon, which makes field lists of the sections."""
    app.connect("autodoc-process-docstring", prepare, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
