"""The lines and means of an evaluation: whole whatever dies, and never of two evaluations."""

import json
import statistics
import threading

import pytest

from xbind.errors import XBindError
from xbind.evaluation.labels import label_of
from xbind.evaluation.records import (
    EvaluationFolder,
    EvaluationMismatch,
    mean_of,
    means_by_kind,
)


def row(name, kind="text", mesh="m", **figures):
    return {"object": name, "kind": kind, "mesh": mesh, "judges": ["judge"], "figures": figures}


def settings(**changes):
    return {"preset": "default", "prompts": [1], "commits": ["a"], "commands": ["c"], **changes}


def test_mean_and_standard_error():
    values = [0.2, 0.5, 0.9, 1.0]
    mean = mean_of(values)
    assert mean.mean == pytest.approx(statistics.mean(values))
    assert mean.standard_error == pytest.approx(statistics.stdev(values) / 2)
    assert mean_of([0.5]).standard_error is None
    assert str(mean_of([0.5, 0.7])) == "0.600 ± 0.100 (2)"


def test_means_are_taken_by_kind_over_the_objects_that_have_the_figure():
    rows = [row("a", clip_r=1.0), row("b", clip_r=0.0), row("c", "audio", arcc_self=0.3)]
    means = means_by_kind(rows)
    assert means["text"]["clip_r"].mean == means["all"]["clip_r"].mean == 0.5
    assert means["audio"] == {"arcc_self": means["all"]["arcc_self"]}
    assert means["all"]["arcc_self"].n == 1


def test_figures_of_real_objects_follow_theirs_whatever_the_order_of_the_rows(tmp_path):
    first = row("a", clip_r=0.0)  # nothing came out of it
    second = row("b", iou=0.5, faces=9.0, fronts=1.0, iou_real=0.9, fronts_real=1.0, clip_r=1.0)
    third = row("c", **{"clip_r_ViT-B-32": 1.0, "clip_r_self": 1.0, "odd": 1.0})
    order = [
        "clip_r", "clip_r_ViT-B-32", "clip_r_self", "iou", "iou_real", "fronts", "fronts_real",
        "faces", "odd",
    ]  # fmt: skip
    for rows in ([first, second, third], [third, first, second]):
        assert list(means_by_kind(rows)["all"]) == order
        EvaluationFolder(tmp_path).write_means(rows)
        assert list(json.loads((tmp_path / "means.json").read_text())["all"]) == order


def test_named_judges_have_labels():
    assert label_of("clip_r_ViT-B-32") == "CLIP-R, ViT-B-32"
    assert label_of("clip_i_ViT-L-14") == "CLIP-I, ViT-L-14"
    assert label_of("clip_r_self") == "CLIP-R, self-judged"
    assert label_of("odd") == "odd"


def test_lines_come_back_and_the_last_of_an_object_counts(tmp_path):
    folder = EvaluationFolder(tmp_path)
    assert folder.rows() == []
    folder.append(row("b", clip_r=0.1))
    folder.append(row("a", clip_r=0.2))
    folder.append(row("b", mesh="new", clip_r=0.3))
    assert [(r["object"], r["mesh"]) for r in folder.rows()] == [("a", "m"), ("b", "new")]


def test_a_torn_line_is_dropped_and_the_next_is_whole(tmp_path):
    folder = EvaluationFolder(tmp_path)
    folder.append(row("a", clip_r=0.2))
    with (tmp_path / "scores.jsonl").open("ab") as file:
        file.write(b'{"object": "b", "ki')
    assert [r["object"] for r in folder.rows()] == ["a"]
    folder.append(row("c", clip_r=0.3))
    assert [r["object"] for r in folder.rows()] == ["a", "c"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{nonsense", "line 1 is damaged"),
        ("[1]", "line 1 is damaged"),
        ("{}", "line 1 is not a judged"),
        (json.dumps(row("a") | {"figures": []}), "line 1 is not a judged"),
        (json.dumps(row("a") | {"object": 3}), "line 1 is not a judged"),
        (json.dumps(row("a", clip_r="high")), "line 1 is not a judged"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, line, message):
    (tmp_path / "scores.jsonl").write_text(line + "\n")
    with pytest.raises(XBindError, match=message):
        EvaluationFolder(tmp_path).rows()


def test_any_flipped_byte_is_found_or_changes_nothing(tmp_path):
    folder, path = EvaluationFolder(tmp_path), tmp_path / "scores.jsonl"
    path.write_text(json.dumps(row("a", clip_r=0.2)) + "\n")  # of an earlier version
    for name in "bcd":
        folder.append(row(name, clip_r=0.25, iou=0.5))
    whole, rows = path.read_bytes(), folder.rows()
    found = 0
    for at in range(whole.index(b"\n") + 1, len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        try:
            read = folder.rows()
        except XBindError as error:
            found += "Remove the line" in str(error)
            continue
        # the name of the first checksum, then taken for a line of an earlier version; or the end of
        # the last line, then taken for one that a killed process left torn
        assert [{key: row[key] for key in rows[0]} for row in read] == rows[: len(read)]
        assert len(read) == len(rows) or at == len(whole) - 1
    assert found > 0.9 * (len(whole) - whole.index(b"\n"))


def test_many_writers_lose_no_line(tmp_path):
    def write(k):
        for i in range(20):
            EvaluationFolder(tmp_path).append(row(f"{k}-{i}", clip_r=0.5))

    threads = [threading.Thread(target=write, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(EvaluationFolder(tmp_path).rows()) == 80


def test_other_settings_are_refused_and_other_commits_kept(tmp_path):
    folder = EvaluationFolder(tmp_path / "new")
    folder.settle(settings())
    folder.settle(settings(commits=["b"]))
    folder.settle(settings())
    held = json.loads((folder.path / "evaluation.json").read_text())
    assert held["commits"] == ["a", "b"]
    with pytest.raises(EvaluationMismatch, match="another preset"):
        folder.settle(settings(preset="smoke"))


def test_means_file(tmp_path):
    folder = EvaluationFolder(tmp_path)
    folder.write_means([row("a", clip_r=1.0), row("b", clip_r=0.5)])
    held = json.loads((tmp_path / "means.json").read_text())
    assert held["objects"] == 2
    assert held["not_judged"] == {}
    folder.write_means([row("a", clip_r=1.0)], {"b": "no mesh"})
    assert json.loads((tmp_path / "means.json").read_text())["not_judged"] == {"b": "no mesh"}
    folder.write_means([row("a", clip_r=1.0), row("b", clip_r=0.5)])
    assert held["text"]["clip_r"] == {"mean": 0.75, "standard_error": 0.25, "n": 2}
    assert folder.read_json("nothing.json") is None
    (tmp_path / "means.json").write_text("{")
    with pytest.raises(XBindError, match="is damaged"):
        folder.read_json("means.json")
