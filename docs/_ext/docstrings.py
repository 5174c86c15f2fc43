"""Prepares docstrings for reStructuredText and napoleon."""

import dataclasses
import re
import typing

from sphinx.application import Sphinx

_SECTION = re.compile(r"(Args|Returns|Raises|Yields|Attributes|Note|Example|Examples):$")


_DEFAULTS: dict[str, str] = {}
"""Full name of a dataclass's field → its default; instances with slots do not show it."""


def prepare(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Changes the lines of a docstring in place.

    `text:`, an empty line and an indented block become a literal block. A docstring of an attribute
    begins with an escaped space, which shows nothing: napoleon takes what stands before a colon in
    its first line for a type. A field of a dataclass gets its default.
    """
    if what in ("attribute", "data", "property") and lines:
        lines.insert(0, "\\ ")
    if name in _DEFAULTS:
        lines += ["", f"Default: ``{_DEFAULTS[name]}``", ""]
    for k, line in enumerate(lines[:-2]):
        indent = len(line) - len(line.lstrip())
        block = lines[k + 2]
        deeper = len(block) - len(block.lstrip()) >= indent + 4
        opens = line.rstrip().endswith(":") and not line.rstrip().endswith("::")
        if opens and not _SECTION.match(line.strip()) and not lines[k + 1].strip() and deeper:
            lines[k] = line.rstrip() + ":"


def shorten(
    app: Sphinx, what: str, name: str, obj: object, options: object, arguments: str, result: str
) -> tuple[str, str] | None:
    """Leaves out the signature of a dataclass: its fields are listed below it, with defaults.

    Their types are shown without what `Annotated` adds for the command line and for checks.
    """
    if not (isinstance(obj, type) and dataclasses.is_dataclass(obj)):
        return None
    plain = typing.get_type_hints(obj)
    obj.__annotations__ = {field: plain[field] for field in obj.__annotations__}
    for field in dataclasses.fields(obj):
        if field.default is not dataclasses.MISSING and not dataclasses.is_dataclass(field.default):
            _DEFAULTS[f"{name}.{field.name}"] = str(field.default) or "''"
    return "", ""


def setup(app: Sphinx) -> dict[str, bool]:
    """Runs before napoleon, which makes field lists of the sections."""
    app.connect("autodoc-process-docstring", prepare, priority=400)
    app.connect("autodoc-process-signature", shorten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
