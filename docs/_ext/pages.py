"""Makes links to Markdown files outside docs/ point at the pages that include them."""

from sphinx.application import Sphinx

PAGES = {"../../CONTRIBUTING.md": "../contributing.md", "../../CHANGELOG.md": "../changelog.md"}
"""Link as it stands in a page of docs/guide or docs/reference → page of the site."""


def redirect(app: Sphinx, docname: str, source: list[str]) -> None:
    """Replaces the links of one page, before it is parsed."""
    for link, page in PAGES.items():
        source[0] = source[0].replace(f"]({link}", f"]({page}")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the handler."""
    app.connect("source-read", redirect)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
