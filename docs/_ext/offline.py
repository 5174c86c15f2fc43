"""Refuses a site whose pages load scripts, styles, fonts or pictures from another host."""

import re
from collections.abc import Iterator
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

_TAG = re.compile(
    r"<(?:audio|embed|iframe|img|link|object|script|source|track|video)\b[^>]*?"
    r"""\s(?:data|href|poster|src|srcset)\s*=\s*["']?((?:https?:)?//[^"'\s>]+)""",
    re.IGNORECASE,
)
_STYLE = re.compile(
    r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s;]+)""", re.IGNORECASE
)  # fmt: skip


def foreign_assets(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yields each page or style sheet with an address that it loads from another host.

    Links that a reader may follow (`<a href>`) are not assets.
    """
    for path in sorted([*folder.rglob("*.html"), *folder.rglob("*.css")]):
        text = path.read_text(encoding="utf-8")
        patterns = (_STYLE,) if path.suffix == ".css" else (_TAG, _STYLE)
        for pattern in patterns:
            for address in pattern.findall(text):
                yield path, address


def check(app: Sphinx, error: Exception | None) -> None:
    """Ends a build that was well until here.

    Raises:
        ExtensionError: names the first page and the address.
    """
    if error is None and app.builder.format == "html":
        for path, address in foreign_assets(Path(app.outdir)):
            raise ExtensionError(f"{path} loads {address}: the site must work without a network")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the check."""
    app.connect("build-finished", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
