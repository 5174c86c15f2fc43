"""The extensions of the documentation's build."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx")  # installed by `make docs`, which runs these tests
sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "_ext"))

import docstrings
import mathml
import offline
from sphinx.errors import ExtensionError


def test_an_equation_is_mathml():
    element = mathml.mathml(r"\frac{1}{2} \lVert x < \hat x \rVert", "block")
    assert element.startswith("<math")
    assert 'display="block"' in element
    assert "<mfrac><mrow><mn>1</mn></mrow><mrow><mn>2</mn></mrow></mfrac>" in element
    assert "<mover" in element
    assert "&#x0003C;" in element  # <


@pytest.mark.parametrize(
    "latex",
    [r"\notacommand x", r"\begin{aligned} a &= b \end{aligned}"],
    ids=["command", "aligned"],
)
def test_an_equation_that_would_be_shown_as_latex_is_refused(latex):
    with pytest.raises(ExtensionError, match="no MathML"):
        mathml.mathml(latex, "inline")


def prepared(text, what="function"):
    lines = text.splitlines()
    docstrings.prepare(None, what, "name", None, None, lines)
    return lines


def test_an_indented_block_becomes_code():
    assert prepared("For example:\n\n    x = 1\n") == ["For example::", "", "    x = 1"]


def test_sections_and_plain_paragraphs_stay():
    text = "Summary.\n\nArgs:\n    x: one.\n\nRaises:\n\n    ValueError: two.\n\nNote that:\n\nnext"
    assert prepared(text) == text.splitlines()


def test_an_attribute_keeps_its_first_colon():
    from sphinx.ext.napoleon import Config, GoogleDocstring

    lines = prepared("Content of the file: every setting.", "attribute")
    shown = str(GoogleDocstring(lines, Config(), None, "attribute", "config"))
    assert ":type:" not in shown
    assert shown.split() == ["\\", *["Content", "of", "the", "file:", "every", "setting."]]


@pytest.mark.parametrize(
    "asset",
    [
        '<script defer src="https://example.org/a.js"></script>',
        "<link rel=stylesheet href=//example.org/a.css>",
        '<img alt="x" src="http://example.org/a.png"/>',
        "<style>@import 'https://example.org/a.css';</style>",
        "<p style=\"background: url('https://example.org/a.png')\"></p>",
    ],
)
def test_an_asset_of_another_host_is_seen(tmp_path, asset):
    (tmp_path / "page.html").write_text(f"<html>{asset}</html>")
    [(path, address)] = offline.foreign_assets(tmp_path)
    assert path == tmp_path / "page.html"
    assert "//example.org/a" in address


def test_links_for_readers_and_own_assets_are_allowed(tmp_path):
    (tmp_path / "page.html").write_text(
        '<a href="https://example.org">x</a><script src="a.js"></script>'
        '<img src="data:image/png;,">'
        '<svg xmlns="http://www.w3.org/2000/svg"></svg>'
    )
    (tmp_path / "a.css").write_text("/* https://example.org */ b { background: url(a.png) }")
    assert list(offline.foreign_assets(tmp_path)) == []


def test_a_font_of_another_host_is_seen(tmp_path):
    (tmp_path / "a.css").write_text("@font-face { src: url(https://example.org/a.woff2) }")
    assert [address for _, address in offline.foreign_assets(tmp_path)] == [
        "https://example.org/a.woff2"
    ]
