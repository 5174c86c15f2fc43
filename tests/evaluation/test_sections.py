"""The file of results: what is written is read, damage is named, and it stays small."""

import json

import pytest

from xbind.errors import XBindError
from xbind.evaluation.sections import (
    Method,
    ObjectLine,
    Section,
    read_sections,
    rounded,
    write_sections,
)

SETTINGS = {
    "preset": "default", "changes": {"coarse.steps": 3}, "without": [], "phase2_loss": None,
    "from_phase1": False, "prior_3d": "narrow", "device": "cpu", "precision": "float32",
    "vram": None, "bundle_sha256": "0" * 64, "seeds": [0, 1, 2], "workers": [2],
    "commits": ["0123456789"], "commands": ["xbind eval run --out xbind-0 --preset xbind"] * 4,
}  # fmt: skip
FIGURES = rounded(
    dict.fromkeys(
        ("clip_r", "clip_r_calibrated", "clip_r_self", "silhouette_change", "colour_change", "iou",
         "chamfer", "kernel_distance", "fronts", "components", "bumps", "faces"), 0.123456,
    )
)  # fmt: skip


def section(methods=1, objects=2, label="xbind"):
    lines = [
        ObjectLine(
            prompt=f"an_orange_mushroom_{k}", seed=k % 3, kind="text", category="mushroom",
            seen=False, seconds=23.4, figures=FIGURES, failure="no surface" if k == 1 else None,
        )
        for k in range(objects)
    ]  # fmt: skip
    made = tuple(Method(f"{label} {k}", SETTINGS, tuple(lines)) for k in range(methods))
    real = {o.prompt: {"iou_real": 0.9} for o in lines}
    return Section(methods=made, real=real, calibration={"real": {"clip_r": 1}}, paper="table-1")


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "results.json"
    held = {"one": section(), "two": section(2)}
    write_sections(path, held)
    assert read_sections(path) == held
    before = path.read_bytes()
    write_sections(path, read_sections(path))
    assert path.read_bytes() == before


def test_an_object_is_one_line_with_its_figures_beside_the_rest(tmp_path):
    path = tmp_path / "results.json"
    write_sections(path, {"one": section()})
    found = [line.strip().rstrip(",") for line in path.read_text().splitlines()]
    lines = [json.loads(line) for line in found if line.startswith('{"prompt"')]
    assert len(lines) == 2
    assert lines[0] == {
        "prompt": "an_orange_mushroom_0", "seed": 0, "kind": "text", "category": "mushroom",
        "seen": False, "seconds": 23.4, **FIGURES,
    }  # fmt: skip
    assert lines[1]["failure"] == "no surface"


def test_twenty_methods_of_48_objects_stay_far_below_half_a_megabyte(tmp_path):
    write_sections(tmp_path / "results.json", {"one": section(20, 48)})
    assert (tmp_path / "results.json").stat().st_size < 400_000


def test_an_empty_file_of_results_can_be_filled(tmp_path):
    write_sections(tmp_path / "results.json", {})
    assert read_sections(tmp_path / "results.json") == {}


def damaged(tmp_path, change):
    path = tmp_path / "results.json"
    write_sections(path, {"one": section(2)})
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def first(content):
    return content["sections"]["one"]["methods"][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("format"), "there is no 'format'"),
        (lambda c: c.update(format=2), "wanted format 1, found 2"),
        (lambda c: c.update(sections=[]), "no attribute 'items'"),
        (lambda c: c["sections"]["one"].update(methods=[]), "no methods"),
        (lambda c: c["sections"]["one"].update(paper="table-9"), "no table 'table-9'"),
        (lambda c: first(c).update(label="xbind 1"), "two with one label"),
        (lambda c: first(c).update(seeds=0), "seeds is 0"),
        (lambda c: first(c).pop("commits"), "there is no 'commits'"),
        (lambda c: first(c)["objects"][0].pop("prompt"), "there is no 'prompt'"),
        (lambda c: first(c)["objects"][0].update(iou="0.5"), "iou is '0.5'"),
        (lambda c: first(c)["objects"].pop(), "other objects than"),
        (lambda c: c["sections"]["one"]["real"].popitem(), "no real figures of"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, change, message):
    path = damaged(tmp_path, change)
    with pytest.raises(XBindError, match=message) as refused:
        read_sections(path)
    assert "results.json is not a file of results" in str(refused.value)


def test_a_file_that_is_no_json_or_not_there_is_refused(tmp_path):
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(XBindError, match="is not a file of results"):
        read_sections(tmp_path / "results.json")
    with pytest.raises(XBindError, match=r"nothing\.json is not a file of results"):
        read_sections(tmp_path / "nothing.json")
