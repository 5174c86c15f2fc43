"""Records in, tables in a document out; what stands around them stays."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from bench_rows import curve_row

from xbind.bench.write_tables import TABLES, fill, read_rows

DOCUMENT = Path(__file__).parents[2] / "docs/evidence/benchmarks.md"


def rows():
    return read_rows([json.dumps(asdict(curve_row()))])


def test_replaces_the_table_and_nothing_else():
    page = (
        "before\n<!-- curves -->\nold | \n<!-- end -->\nafter <!-- whole -->\nkept\n<!-- end -->\n"
    )
    made = fill(page, rows())
    assert made.startswith("before\n<!-- curves -->\n| phase | against |")
    assert "| coarse | views | 1 2 views | 3 6 |" in made
    assert "old" not in made
    assert made.endswith("<!-- end -->\nafter <!-- whole -->\nkept\n<!-- end -->\n")
    assert fill(made, rows()) == made


def test_a_document_without_the_place_is_refused():
    with pytest.raises(SystemExit, match="0 places for the table 'curves'"):
        fill("nothing here", rows())


def test_the_page_has_a_place_for_every_table():
    page = DOCUMENT.read_text()
    assert all(page.count(f"<!-- {name} -->\n") == 1 for name in TABLES)
    assert page.count("<!-- end -->") == len(TABLES)
