"""What becomes of each run of a folder."""

import pytest

from tests.evaluation.test_runs import Reds, panel, write_run
from xbind.evaluation.judging import judge_all
from xbind.evaluation.records import EvaluationFolder
from xbind.evaluation.runs import find_runs
from xbind.files import DiskError


def outcome_of(root, out=None):
    told = []
    folder = EvaluationFolder(out or root)
    outcome = judge_all(find_runs([root]), folder, panel(Reds("judge")), told.append)
    return outcome, told, folder.rows()


def test_nothing_made_is_a_result_and_stays_in_the_means(tmp_path):
    write_run(tmp_path / "ball")
    failed = write_run(tmp_path / "box", text="a box")
    (failed / "mesh.glb").unlink()
    row = {"object": "box", "kind": "text", "mesh": "", "judges": ["other"], "figures": {}}
    EvaluationFolder(tmp_path).append(row | {"failure": "no surface"})
    outcome, told, rows = outcome_of(tmp_path)
    assert [run.name for run in outcome.judged] == ["ball", "box"]
    assert not outcome.not_judged
    assert {r["object"]: r["figures"]["clip_r"] for r in rows} == {"ball": 1.0, "box": 0.0}
    assert told == [
        "judged ball: CLIP-R, independent judge 1.00",
        "judged box: CLIP-R, independent judge 0.00",
    ]
    assert outcome_of(tmp_path)[1] == []  # judged by the same judges already


def test_one_bad_run_does_not_end_the_others(tmp_path):
    write_run(tmp_path / "a", text="a cone")
    (write_run(tmp_path / "b") / "mesh.glb").write_bytes(b"glTF")
    (write_run(tmp_path / "c") / "config.json").write_text("{")
    write_run(tmp_path / "d")
    outcome, _, rows = outcome_of(tmp_path)
    assert [row["object"] for row in rows] == ["d"]
    assert outcome.not_judged.keys() == {"a", "b", "c"}
    assert outcome.unreadable == ["b", "c"]
    assert all("\n" not in why for why in outcome.not_judged.values())
    assert outcome.reasons().count("not judged ") == 3


def test_scores_that_cannot_be_written_end_it(tmp_path):
    write_run(tmp_path / "runs/a")
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match="Cannot write"):
        outcome_of(tmp_path / "runs", tmp_path / "file")
