"""Folders of evaluations: what makes one method, how objects are matched, what is refused."""

import json

import pytest

from tests.support.evaluations import evaluation, text
from xbind.errors import XBindError
from xbind.evaluation.compare import in_common, read_method, seen_categories, to_section
from xbind.evaluation.records import EvaluationFolder
from xbind.run.json_files import to_json

MUG, CAR = text("a mug"), text("a car", "car")


def figures(value, **others):
    return {"clip_r": value, "iou": 0.6, "iou_real": 0.9} | others


def two(path, values=(1.0, 0.5), **settings):
    entries = (MUG, CAR)[: len(values)]
    rows = [(e, None if v is None else figures(v)) for e, v in zip(entries, values, strict=True)]
    return evaluation(path, rows, **settings)


def changed(path, **settings):
    """Change settings of an evaluation that is there."""
    held = json.loads((path / "evaluation.json").read_text())
    (path / "evaluation.json").write_bytes(to_json(held | settings))
    return path


def section_of(*words, seen=(), paper=None):
    return to_section(in_common([read_method(str(w)) for w in words]), seen=seen, paper=paper)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "xbind"),
        ({"preset": "xbind"}, "xbind"),
        ({"without": ["ms", "stereo"]}, "xbind, without ms, stereo"),
        ({"phase2_loss": "sds"}, "xbind, SDS in Phase II"),
        ({"preset": "smoke"}, "smoke"),
        ({"preset": "default:stablesds-3d"}, "stablesds-3d"),
        ({"preset": "zerosds-3d", "prior_3d": "narrow"}, "zerosds-3d, narrow 3D prior"),
        ({"changes": {"coarse.steps": 3}}, "xbind, coarse.steps 3"),
        ({"preset": "magic3d", "prior_2d": "sd_base"}, "magic3d, sd_base 2D prior"),
    ],
)
def test_methods_are_named_by_their_settings_or_by_a_label(tmp_path, settings, name):
    path = two(tmp_path / "a", **settings)
    assert read_method(str(path)).label == name
    assert read_method(f"ours, new = {path}").label == "ours, new"


def test_a_folder_may_have_any_name(tmp_path):
    path = two(tmp_path / "a=1,b=2")
    assert [folder.path for folder in read_method(str(path)).folders] == [path]


def test_folders_with_other_seeds_and_lists_are_one_method(tmp_path):
    a, b = two(tmp_path / "a"), two(tmp_path / "b", values=(0.25, 0.0), seed=1)
    c = evaluation(tmp_path / "c", [(text("a duck", "duck"), figures(0.75))], commits=["def"])
    [method] = section_of(f"ours={a},{b},{c}").methods
    assert [(o.prompt, o.seed, o.figures["clip_r"]) for o in method.objects] == [
        ("a_mug", 0, 1.0), ("a_car", 0, 0.5), ("a_mug", 1, 0.25), ("a_car", 1, 0.0),
        ("a_duck", 0, 0.75),
    ]  # fmt: skip
    assert method.settings["seeds"] == [0, 1]
    assert method.settings["commits"] == ["abc", "def"]
    assert len(method.settings["commands"]) == 3


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"preset": "xbind"}, "preset"),
        ({"changes": {"coarse.steps": 3}}, "changes"),
        ({"bundle_sha256": "x"}, "bundle_sha256"),
        ({"prior_3d": "narrow"}, "prior_3d"),
        ({"device": "cuda"}, "device"),
        ({"from_phase1": "/out/xbind-1"}, "start at the end of Phase I"),
    ],
)
def test_folders_of_one_method_differ_in_nothing_else(tmp_path, settings, name):
    a, b = two(tmp_path / "a"), two(tmp_path / "b", seed=1, **settings)
    with pytest.raises(
        XBindError, match=rf"a and .*b are not of one method; they differ in {name}"
    ):
        read_method(f"{a},{b}")


def test_each_seed_starts_from_its_own_phase_1(tmp_path):
    a = two(tmp_path / "a", from_phase1="/out/xbind-0")
    b = two(tmp_path / "b", from_phase1="/out/xbind-1", seed=1)
    assert len(read_method(f"{a},{b}").objects) == 4


def test_folders_of_one_method_have_the_same_judges(tmp_path):
    a, b = two(tmp_path / "a"), two(tmp_path / "b", seed=1)
    row = EvaluationFolder(b).rows()[0]
    EvaluationFolder(b).append(row | {"judges": ["another"]})
    with pytest.raises(XBindError, match="differ in judges"):
        read_method(f"{a},{b}")


def test_an_object_is_named_once(tmp_path):
    a, b = two(tmp_path / "a"), two(tmp_path / "b", values=(1.0,))
    with pytest.raises(XBindError, match=r"a_mug and .*a_mug are of the same prompt and seed"):
        read_method(f"{a},{b}")


def test_methods_are_compared_on_the_prompts_and_seeds_that_all_have(tmp_path):
    a, b = two(tmp_path / "a"), two(tmp_path / "b", seed=1)
    c = two(tmp_path / "c", values=(0.25,), seed=1, preset="smoke")
    section = section_of(f"{a},{b}", c)
    assert [[(o.prompt, o.seed) for o in m.objects] for m in section.methods] == [
        [("a_mug", 1)]
    ] * 2
    with pytest.raises(XBindError, match="no prompt in common with the same seed"):
        section_of(a, c)


def test_prompts_are_told_apart_by_content_and_not_by_name(tmp_path):
    a = two(tmp_path / "a", values=(1.0,))
    entry = text("a mug", "car")  # the same words, another right answer
    b = evaluation(tmp_path / "b", [(entry, figures(1.0))], preset="smoke")
    with pytest.raises(XBindError, match="no prompt in common"):
        section_of(a, b)
    c = evaluation(tmp_path / "c", [(entry, figures(0.5))])
    [method] = section_of(f"{a},{c}").methods
    assert [o.prompt for o in method.objects] == ["a_mug", "a_mug-2"]


def test_an_entry_with_a_seed_of_its_own_keeps_it(tmp_path):
    a = evaluation(tmp_path / "a", [({"kind": "text", "words": "a mug", "seed": 5}, figures(1.0))])
    b = evaluation(tmp_path / "b", [({"kind": "text", "words": "a mug"}, figures(1.0))], seed=5)
    [method, other] = section_of(f"one={a}", f"two={b}").methods
    assert method.objects[0].seed == other.objects[0].seed == 5
    assert method.objects[0].category is None


def test_two_methods_have_two_labels(tmp_path):
    a, b = two(tmp_path / "a"), two(tmp_path / "b")
    with pytest.raises(XBindError, match="Two methods are called 'xbind'"):
        section_of(a, b)


@pytest.mark.parametrize("words", ["", "=a", " =a", "x=", "x=a,,b", "x=a,"])
def test_words_that_name_no_folder_are_refused(words):
    with pytest.raises(XBindError, match="names no folder, or an empty one"):
        read_method(words)


def test_what_is_no_evaluation_or_unfinished_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(XBindError, match="no evaluation"):
            read_method(str(path))
    path = two(tmp_path / "a")
    lines = (path / "scores.jsonl").read_text().splitlines()
    (path / "scores.jsonl").write_text(lines[0] + "\n")
    with pytest.raises(XBindError, match=r"1 of 2 objects are judged(.|\n)*xbind eval run --out"):
        read_method(str(path))


def test_without_the_queues_records_no_object_is_matched(tmp_path):
    path = two(tmp_path / "a")
    (path / ".queue/jobs/0000000000000001.json").unlink()
    with pytest.raises(XBindError, match=r"no record of a_car(.|\n)*xbind eval run --out"):
        read_method(str(path))


def test_real_objects_stand_once_for_each_prompt_even_if_a_method_failed(tmp_path):
    one = [(MUG, figures(1.0, iou_real=0.9)), (CAR, None)]
    other = [(MUG, None), (CAR, figures(1.0, iou_real=0.7))]
    a, b = evaluation(tmp_path / "a", one), evaluation(tmp_path / "b", other, preset="smoke")
    section = section_of(a, b)
    assert section.real == {"a_mug": {"iou_real": 0.9}, "a_car": {"iou_real": 0.7}}
    assert [o.failure for o in section.methods[0].objects] == [None, "no surface"]
    assert not any("iou_real" in o.figures for m in section.methods for o in m.objects)


def test_figures_have_four_digits(tmp_path):
    path = evaluation(tmp_path / "a", [(MUG, figures(0.123456, faces=12345.0, bumps=1.00004))])
    [line] = section_of(path).methods[0].objects
    assert line.figures == {"clip_r": 0.1235, "faces": 12340, "bumps": 1, "iou": 0.6}


def test_seconds_are_those_of_runs_that_were_started_once(tmp_path):
    once, twice = two(tmp_path / "a"), two(tmp_path / "b", attempts=2, seed=1)
    adopted = two(tmp_path / "c", seconds=0.0, seed=2)
    [method] = section_of(f"{once},{twice},{adopted}").methods
    assert [o.seconds for o in method.objects] == [20.0, 20.0, None, None, None, None]
    assert method.settings["workers"] == [2]


def test_seen_is_what_the_first_methods_3d_prior_was_trained_on(tmp_path):
    drum = text("a drum", "drum")
    path = evaluation(
        tmp_path / "a", [(MUG, figures(1.0)), (drum, figures(0.5))], prior_3d="narrow"
    )
    seen = seen_categories(read_method(str(path)))
    assert len(seen) == 10
    assert [o.seen for o in section_of(path, seen=seen).methods[0].objects] == [True, False]
    assert [o.seen for o in section_of(path).methods[0].objects] == [None, None]
    assert len(seen_categories(read_method(str(changed(path, prior_3d=None))))) == 17
    with pytest.raises(XBindError, match="has changed since"):
        seen_categories(read_method(str(changed(path, bundle_sha256="another"))))


def test_commands_do_not_name_folders_of_one_machine(tmp_path):
    command = "xbind eval run --out /home/me/results/xbind-0 --prompts 'out/my list.txt' --seed 1"
    path = two(tmp_path / "a", commands=[command])
    [method] = section_of(path).methods
    assert method.settings["commands"] == [
        "xbind eval run --out xbind-0 --prompts 'out/my list.txt' --seed 1"
    ]
