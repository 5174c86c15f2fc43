"""Runs on a folder: found, judged once, and what a judge is told of each kind of prompt."""

import json
from pathlib import Path

import pytest
import torch

from tests.support.spheres import sphere
from xbind.errors import XBindError
from xbind.evaluation.judges import Look
from xbind.evaluation.labels import in_table_order, label_of
from xbind.evaluation.runs import (
    VIEWS,
    FoundRuns,
    NotJudged,
    Panel,
    PoolWorld,
    find_runs,
    judge_run,
    kind_of,
)
from xbind.scene.mesh.baking import bake, unwrap
from xbind.scene.mesh.files import write_glb
from xbind.scene.mesh.mesh import Mesh


def write_run(folder, *, text="a ball", **prompt):
    folder.mkdir(parents=True)
    prompt = {"text": text, "image": None, "audio": None, **prompt}
    config = {"prompt": prompt, "seed": 0, "preset": "default", "method": {}}
    (folder / "config.json").write_text(json.dumps(config))
    unwrapped = unwrap(Mesh(*sphere(2, 0.5)), 64)
    texture = bake(unwrapped, lambda x: torch.tensor([1.0, 0, 0]).expand(len(x), 3), 64)
    write_glb(folder / "mesh.glb", unwrapped, texture)
    return folder


class Reds:
    """Says that a view shows prompt 1 if its middle is red, else prompt 0."""

    def __init__(self, name, accepts=None):
        self.name, self.pool, self.accepts = name, ["a box", "a ball"], accepts

    def look(self, image):
        middle = image[:, :, image.shape[2] // 2, image.shape[3] // 2]
        red = (middle[:, 0] - middle[:, 1]) > 0.5
        scores = torch.stack([~red, red], 1).float()
        accepted = None if self.accepts is None else torch.arange(len(image)) < self.accepts
        return Look(middle, scores, accepted)


def panel(*independent):
    pool = PoolWorld(["a box", "a ball"])
    return Panel(independent, Reds("self"), None, None, pool, 64, 48, "0123456789abcdef01")


def test_runs_are_found_alone_and_in_folders(tmp_path):
    one = write_run(tmp_path / "many/one")
    two = write_run(tmp_path / "many/two")
    unfinished = write_run(tmp_path / "many/unfinished")
    (unfinished / "mesh.glb").unlink()
    assert find_runs([tmp_path / "many"]) == FoundRuns([one, two], [unfinished])
    assert find_runs([two]) == FoundRuns([two], [])
    with pytest.raises(XBindError, match="is not finished"):
        find_runs([unfinished])
    with pytest.raises(XBindError, match="no folder"):
        find_runs([tmp_path / "nothing"])
    with pytest.raises(XBindError, match="neither a run nor a folder of finished runs"):
        find_runs([tmp_path])
    with pytest.raises(XBindError, match="Two runs are called one"):
        find_runs([one, tmp_path / "many"])


def test_the_current_folder_has_a_name(tmp_path, monkeypatch):
    run = write_run(tmp_path / "many/one")
    monkeypatch.chdir(run)
    [found] = find_runs([Path()]).finished
    assert found.name == "one"
    [found] = find_runs([Path("..")]).finished
    assert found.name == "one"


def test_r_at_1_is_the_share_of_120_views(tmp_path):
    row = judge_run(write_run(tmp_path / "ball"), panel(Reds("judge", accepts=30)))
    figures = row["figures"]
    assert figures["clip_r"] == figures["clip_r_self"] == 1
    assert figures["clip_r_calibrated"] == 30 / VIEWS
    assert figures["components"] == 1
    assert row["judges"] == ["judge", "self", "0123456789abcdef"]
    assert row["kind"] == "text"


def test_several_judges_are_named(tmp_path):
    run = write_run(tmp_path / "ball", text="a box")
    figures = judge_run(run, panel(Reds("B-32"), Reds("B-16")))["figures"]
    assert figures["clip_r_B-32"] == figures["clip_r_B-16"] == figures["clip_r_self"] == 0


def test_a_second_judge_has_figures_of_its_own_beside_the_firsts(tmp_path):
    run = write_run(tmp_path / "ball")
    alone = judge_run(run, panel(Reds("judge", accepts=30)))
    both = judge_run(run, panel(Reds("judge", accepts=30), Reds("judge_2", accepts=60)))
    assert both["figures"] == alone["figures"] | {
        "clip_r_judge_2": 1.0, "clip_r_judge_2_calibrated": 60 / VIEWS
    }  # fmt: skip
    assert both["judges"] == ["judge", "judge_2", "self", "0123456789abcdef"]
    assert in_table_order(both["figures"])[:5] == [
        "clip_r", "clip_r_calibrated", "clip_r_judge_2", "clip_r_judge_2_calibrated", "clip_r_self"
    ]  # fmt: skip
    assert label_of("clip_r_judge_2_calibrated") == (
        "CLIP-R, second judge, and not taken for a near miss"
    )


def test_a_wrong_view_is_not_right_because_it_is_no_near_miss(tmp_path):
    run = write_run(tmp_path / "ball", text="a box")
    figures = judge_run(run, panel(Reds("judge", accepts=30)))["figures"]
    assert figures["clip_r"] == figures["clip_r_calibrated"] == 0


def test_a_prompt_outside_the_pool_is_not_judged(tmp_path):
    run = write_run(tmp_path / "ball", text="a cone")
    with pytest.raises(NotJudged, match=r"'a cone', is not in the pool of 2 prompts\. Add it"):
        judge_run(run, panel(Reds("judge")))


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        ({"text": None, "depth": "d.png"}, "a depth prompt"),
        ({"text": None, "imu": "i.npy"}, "an imu prompt"),
        ({"text": "a ball", "audio": "a.wav"}, "a mix prompt"),
    ],
)
def test_what_nothing_can_be_compared_with_is_not_judged(tmp_path, prompt, kind):
    run = write_run(tmp_path / "ball", **prompt)
    with pytest.raises(NotJudged, match=f"no figure compares {kind}"):
        judge_run(run, panel(Reds("judge")))


def test_nothing_is_never_right(tmp_path):
    run = write_run(tmp_path / "ball", text="a box")
    (run / "mesh.glb").unlink()
    row = judge_run(run, panel(Reds("judge")), failure="no surface")
    assert row["figures"] == {"clip_r": 0.0, "clip_r_self": 0.0}
    assert (row["mesh"], row["failure"]) == ("", "no surface")


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        ({"text": "x"}, "text"),
        ({"text": None, "image": "x.png"}, "image"),
        ({"text": "x", "audio": "x.wav"}, "mix"),
    ],
)
def test_kinds_of_prompts(prompt, kind):
    assert kind_of({"prompt": prompt}) == kind
