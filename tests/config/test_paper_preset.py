"""docs/reference/paper_preset.md says what the preset `paper` holds."""

import ast
import re
from functools import reduce
from pathlib import Path

import pytest

from xbind.config.presets import preset_named

PAGE = Path(__file__).parents[2] / "docs/reference/paper_preset.md"
ROW = re.compile(r"^\| `([a-z0-9_.]+)` \| `(.+?)` \| (.+) \|$", re.MULTILINE)
ROWS = ROW.findall(PAGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("path", "value", "source"), ROWS, ids=[row[0] for row in ROWS])
def test_a_row_is_what_the_preset_holds(path, value, source):
    found = reduce(getattr, path.split("."), preset_named("paper"))
    wanted = ast.literal_eval(value)
    if isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=1e-12)
    else:
        assert found == wanted
    assert source.strip()


def test_no_row_is_overlooked():
    """Every table row that starts with a setting was read, and none stands twice."""
    lines = [x for x in PAGE.read_text(encoding="utf-8").splitlines() if re.match(r"\| `\w+\.", x)]
    assert len(lines) <= len(ROWS)
    paths = [row[0] for row in ROWS]
    assert len(set(paths)) == len(paths)
    assert len(paths) > 90


def test_fast_changes_what_the_page_says():
    paper, fast = preset_named("paper"), preset_named("fast")
    assert (fast.coarse.steps, fast.geometry.steps, fast.texture.steps) == (1500, 400, 800)
    assert [p.guidance.size_2d for p in fast.phases] == [256, 512, 512]
    assert [p.guidance.w_img_3d for p in fast.phases] == [0.0] * 3
    assert fast.coarse.guidance.w_2d == 4 * paper.coarse.guidance.w_2d
    # half the sum over 256² pixels, weighed .01 beside four times the latent term's weight
    assert fast.coarse.guidance.w_img == 0.01 * 0.5 * 3 * 256**2
    assert fast.texture.guidance.w_img == 0.0
    assert fast.coarse.field == paper.coarse.field
    assert fast.geometry.guidance.w_2d == paper.geometry.guidance.w_2d
