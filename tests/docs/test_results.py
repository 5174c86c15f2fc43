"""docs/evidence/results.md is what results.json gives, and `make results` makes all of it."""

import json
import re
from pathlib import Path

import pytest

from xbind.config.changes import leaves, read_config_file, with_changes
from xbind.config.methods import SYSTEMS
from xbind.config.variants import method_named
from xbind.evaluation.document import read_section
from xbind.evaluation.sections import read_sections
from xbind.evaluation.tables import to_markdown

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/evidence/results.md"
RESULTS = ROOT / "docs/evidence/results.json"


def variable(name):
    """Words of a variable of the Makefile."""
    [words] = re.findall(rf"^{name} = (.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    return words.split()


def test_the_page_shows_what_the_file_of_results_holds():
    for name, section in read_sections(RESULTS).items():
        assert read_section(PAGE, name) == to_markdown(section).strip(), name


def test_the_file_of_results_is_small_and_names_no_machine():
    assert RESULTS.stat().st_size < 500_000
    sections = json.loads(RESULTS.read_text(encoding="utf-8"))["sections"].values()
    commands = [c for s in sections for m in s["methods"] for c in m["commands"]]
    assert [c for c in commands if re.search(r"(^|[\s=\'])/", c)] == []


def test_make_writes_every_section_of_the_page():
    marks = re.findall(r"<!-- begin (\S+) -->", PAGE.read_text(encoding="utf-8"))
    assert sorted(marks) == sorted(variable("SECTIONS"))
    for name in marks:
        assert f"\nREPORT_{name} = " in (ROOT / "Makefile").read_text()


def test_make_compares_all_systems_of_table_2():
    assert variable("SYSTEMS") == list(SYSTEMS)


@pytest.mark.parametrize("name", SYSTEMS)
def test_view_words_are_left_out_of_every_stage_of_a_system(name):
    method = method_named(name, ())
    stages = [s for s in ("coarse", "geometry", "texture") if getattr(method, s).steps > 0]
    assert variable(f"STAGES_{name}") == stages
    assert all(getattr(method, stage).guidance.view_words for stage in stages)


@pytest.mark.parametrize("name", SYSTEMS)
def test_equal_seconds_change_the_iterations_alone_and_keep_their_proportions(name):
    method = method_named(name, ())
    file = read_config_file(ROOT / f"bench/equal_seconds/{name}.toml")
    longer = with_changes(method, file.changes)
    before, after = (
        {key: value for key, _, value in leaves(m)} for m in (method, longer)
    )  # fmt: skip
    changed = {key: (before[key], after[key]) for key in before if before[key] != after[key]}
    assert set(changed) == {f"{stage}.steps" for stage in variable(f"STAGES_{name}")}
    factors = [new / old for old, new in changed.values()]
    assert min(factors) > 1
    assert max(factors) / min(factors) < 1.02
