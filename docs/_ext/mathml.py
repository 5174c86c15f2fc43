"""Renders equations as MathML, which browsers draw without a script or a font from elsewhere."""

import re

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.writers.html5 import HTML5Translator

_TAG = re.compile(r"\\tag\{([^}]*)\}")


def mathml(latex: str, display: str) -> str:
    r"""Returns the `<math>` element of an equation.

    Args:
        latex: the equation, without `$` and `\tag`.
        display: `inline` or `block`.

    Raises:
        ExtensionError: the converter does not know one of the commands.
    """
    element = convert(latex, display=display)
    # what the converter does not know, it copies
    if left := re.search(r"\\[A-Za-z]+|&(?![#\w]+;)", re.sub(r"<[^>]+>", " ", element)):
        raise ExtensionError(f"no MathML for {left.group()!r} in the equation {latex!r}")
    return element


def visit_inline(self: HTML5Translator, node: nodes.math) -> None:
    """Writes an equation in a line of text."""
    self.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def visit_block(self: HTML5Translator, node: nodes.math_block) -> None:
    r"""Writes an equation on a line of its own, its `\tag` as a number at the right."""
    latex = node.astext()
    number = _TAG.search(latex)
    shown = f'<span class="eqno">({number.group(1)})</span>' if number else ""
    element = mathml(_TAG.sub("", latex).strip(), "block")
    self.body.append(f'<div class="math">{shown}{element}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer under the name `mathml`."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
