"""Tables of several methods: names, means, the real objects' row, and the marks of a document."""

import json

import pytest

from xbind.errors import XBindError
from xbind.evaluation.compare import in_common, read_result, to_markdown, write_section
from xbind.evaluation.records import EvaluationFolder
from xbind.run.json_files import to_json


def evaluation(path, *, preset="default", without=(), values=(1.0, 0.5), **settings):
    folder = EvaluationFolder(path)
    prompts = [{"kind": "text", "words": f"p{k}"} for k in range(len(values))]
    folder.settle(
        {
            "preset": preset, "without": list(without), "phase2_loss": None,
            "from_phase1": None, "seed": 7, "bundle_sha256": "x", "prompts": prompts,
            "commits": ["abc"], "commands": [f"xbind eval run --out {path.name}"],
        }
        | settings
    )  # fmt: skip
    for k, value in enumerate(values):
        figures = {"clip_r": value, "iou": 0.6, "iou_real": 0.9}
        row = {"object": f"p{k}", "kind": "text", "mesh": "m", "judges": ["judge"]}
        folder.append(row | {"figures": figures, "failure": None if value else "no surface"})
    return path


def cells(text, start):
    [line] = [line for line in text.splitlines() if line.startswith(f"| {start}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_methods_stand_below_each_other_with_mean_error_and_number(tmp_path):
    results = [
        read_result(evaluation(tmp_path / "a")),
        read_result(evaluation(tmp_path / "b", preset="default:stablesds-3d", values=(0.5, 0.0))),
    ]
    text = to_markdown(results)
    first, shapes = text.split("\n\n")[1], text.split("\n\n")[2]
    assert cells(first, "xbind") == ["xbind", "0.750 ± 0.250 (2)"]
    assert cells(first, "stablesds") == ["stablesds-3d", "0.250 ± 0.250 (2)"]
    assert cells(shapes, "real objects") == ["real objects", "0.900"]
    assert "stablesds-3d: seed 7, 2 objects, commit abc; nothing came out of: p1." in text
    assert "`xbind eval run --out a`" in text


def test_real_objects_are_averaged_over_all_prompts_even_if_a_method_failed(tmp_path):
    def scored(path, rows):
        evaluation(path)
        (path / "scores.jsonl").unlink()
        for name, figures in rows.items():
            row = {"object": name, "kind": "text", "mesh": "m", "judges": ["judge"]}
            failure = None if figures else "no surface"
            figures = figures or {"clip_r": 0.0}
            EvaluationFolder(path).append(row | {"figures": figures, "failure": failure})
        return read_result(path)

    one = {"clip_r": 1.0, "iou": 0.5, "iou_real": 0.9}
    two = {"clip_r": 1.0, "iou": 0.5, "iou_real": 0.7}
    text = to_markdown(
        [
            scored(tmp_path / "a", {"p0": one, "p1": None}),
            scored(tmp_path / "b", {"p0": None, "p1": two}),
        ]
    )
    assert cells(text, "real objects") == ["real objects", "0.800"]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "xbind"),
        ({"preset": "xbind"}, "xbind"),
        ({"without": ["ms", "stereo"]}, "xbind, without ms, stereo"),
        ({"phase2_loss": "sds"}, "xbind, SDS in Phase II"),
        ({"preset": "smoke"}, "smoke"),
        ({"prior_3d": None}, "xbind"),
        ({"preset": "zerosds-3d", "prior_3d": "narrow"}, "zerosds-3d, narrow 3D prior"),
        ({"preset": "magic3d", "prior_2d": "sd_base"}, "magic3d, sd_base 2D prior"),
    ],
)
def test_names_of_methods(tmp_path, settings, name):
    assert read_result(evaluation(tmp_path / "a", **settings)).name == name


def test_methods_are_compared_on_the_prompts_that_they_share(tmp_path):
    results = [
        read_result(evaluation(tmp_path / "a", values=(1.0, 0.5, 0.0))),
        read_result(evaluation(tmp_path / "b", values=(0.25,))),
    ]
    text = to_markdown(in_common(results)).split("\n\n")[1]
    assert text.count("1.000 (1)") == text.count("0.250 (1)") == 1
    other = evaluation(tmp_path / "c")
    settings = json.loads((other / "evaluation.json").read_text())
    settings["prompts"] = [{"kind": "audio", "words": ""}] * 2
    (other / "evaluation.json").write_bytes(to_json(settings))
    with pytest.raises(XBindError, match="no prompt in common"):
        in_common([results[0], read_result(other)])


def test_what_is_no_evaluation_or_unfinished_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(XBindError, match="no evaluation"):
            read_result(path)
    path = evaluation(tmp_path / "a")
    lines = (path / "scores.jsonl").read_text().splitlines()
    (path / "scores.jsonl").write_text(lines[0] + "\n")
    with pytest.raises(XBindError, match=r"1 of 2 objects are judged(.|\n)*xbind eval run --out a"):
        read_result(path)


def test_calibration_stands_below(tmp_path):
    path = evaluation(tmp_path / "a")
    known = {"real": {"objects": 34, "clip_r": 0.99}, "blurred": {"objects": 34, "clip_r": 0.5}}
    (path / "calibration.json").write_text(json.dumps({"judges": ["judge"], "known": known}))
    text = to_markdown([read_result(path)])
    assert cells(text, "real (34)") == ["real (34)", "0.990"]
    assert cells(text, "blurred") == ["blurred (34)", "0.500"]


def test_a_section_is_replaced_and_the_rest_stays(tmp_path):
    document = tmp_path / "results.md"
    document.write_text("before\n<!-- begin one -->\nold\n<!-- end one -->\nafter\n")
    write_section(document, "one", "new\n")
    write_section(document, "one", "newer\n")
    assert document.read_text() == "before\n<!-- begin one -->\nnewer\n<!-- end one -->\nafter\n"
    with pytest.raises(XBindError, match="no section 'two'"):
        write_section(document, "two", "new")
    with pytest.raises(XBindError, match="cannot be read"):
        write_section(tmp_path / "nothing.md", "one", "new")
