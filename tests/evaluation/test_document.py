"""Sections between marks."""

import pytest

from xbind.errors import XBindError
from xbind.evaluation.document import read_section, write_section


def test_a_section_is_replaced_and_the_rest_stays(tmp_path):
    document = tmp_path / "results.md"
    document.write_text("before\n<!-- begin one -->\nold\n<!-- end one -->\nafter\n")
    write_section(document, "one", "new\n")
    write_section(document, "one", "newer\n")
    assert document.read_text() == "before\n<!-- begin one -->\nnewer\n<!-- end one -->\nafter\n"
    assert read_section(document, "one") == "newer"
    with pytest.raises(XBindError, match="no section 'two'"):
        write_section(document, "two", "new")
    with pytest.raises(XBindError, match="cannot be read"):
        write_section(tmp_path / "nothing.md", "one", "new")
