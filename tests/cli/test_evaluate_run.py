"""`xbind eval run` over the batch queue, with an executor that has no processes."""

import json
import shutil

import pytest

from tests.batch.fakes import FakeExecutor
from tests.evaluation.test_runs import Reds, panel, write_run
from xbind.batch.executor import Failed, Finished
from xbind.cli import evaluate, evaluate_run
from xbind.cli.main import main
from xbind.config.options import precision_for
from xbind.evaluation.making import QUEUE
from xbind.evaluation.records import EvaluationFolder

NAMES = ["a-ball", "a-ball-2", "a-box"]


def make(task):
    """Put a finished run in place, as a worker does."""
    if not task.result.exists():
        shutil.rmtree(task.work, ignore_errors=True)
        (write_run(task.work, text=task.job.config.prompt.text) / "report.html").write_text("")
        task.work.rename(task.result)
    return Finished(task.job.id, 1.0)


@pytest.fixture
def executor(monkeypatch):
    """What makes the objects of every evaluation of a test; its judges see red balls."""
    fake = FakeExecutor(make)
    monkeypatch.setattr(evaluate_run, "make_executor", lambda config, queue, waiting: fake)
    for module in (evaluate, evaluate_run):
        monkeypatch.setattr(module, "make_panel", lambda *given, **more: panel(Reds("judge")))
    return fake


@pytest.fixture
def listed(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("text,seed\na ball,\na ball,7\na box,\n")
    return path


def run(listed, out, words=""):
    main(["eval", "run", "--prompts", str(listed), "--out", str(out), *words.split()])


def rows(out):
    return {row["object"]: row for row in EvaluationFolder(out).rows()}


def started(executor, queue):
    """Names of the jobs that were started, in order."""
    records = {record.stem: json.loads(record.read_text()) for record in queue.glob("jobs/*.json")}
    return [records[id]["name"] for id in executor.started]


def test_any_list_of_batch_is_made_and_judged(executor, listed, tmp_path):
    out = tmp_path / "out"
    run(listed, out)
    assert started(executor, out / QUEUE) == NAMES
    seeds = [json.loads(p.read_text())["config"]["seed"] for p in (out / QUEUE).glob("jobs/*")]
    assert sorted(seeds) == [0, 0, 7]
    assert {name: row["figures"]["clip_r"] for name, row in rows(out).items()} == {
        "a-ball": 1, "a-ball-2": 1, "a-box": 0,
    }  # fmt: skip
    assert json.loads((out / "means.json").read_text())["objects"] == 3
    assert (out / "sheet.png").is_file()
    settings = json.loads((out / "evaluation.json").read_text())
    assert settings["prompts"][1] == {"text": "a ball", "seed": 7}


def test_an_interrupted_command_goes_on_with_what_is_missing(executor, listed, tmp_path):
    out, left = tmp_path / "out", [1]

    def until_interrupted(task):
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return make(task)

    executor.ending = until_interrupted
    with pytest.raises(SystemExit) as leaving:
        run(listed, out)
    assert leaving.value.code == 130
    assert rows(out).keys() == {"a-ball"}
    before = (out / "scores.jsonl").read_bytes()
    executor.ending, executor.started = make, []
    run(listed, out)
    assert started(executor, out / QUEUE) == NAMES[1:]
    assert (out / "scores.jsonl").read_bytes().startswith(before)
    assert len((out / "scores.jsonl").read_text().splitlines()) == 3


def test_a_run_that_was_finished_but_not_judged_is_judged(executor, listed, tmp_path):
    out = tmp_path / "out"
    (write_run(out / "a-ball") / "report.html").write_text("")
    run(listed, out)
    assert started(executor, out / QUEUE) == NAMES[1:]
    assert rows(out)["a-ball"]["figures"]["clip_r"] == 1


def test_an_unfinished_run_of_an_earlier_version_is_resumed(executor, listed, tmp_path):
    out, found = tmp_path / "out", []
    (write_run(out / "a-box", text="a box") / "mesh.glb").unlink()

    def look(task):
        found.append((task.job.name, (task.work / "config.json").is_file()))
        return make(task)

    executor.ending = look
    run(listed, out)
    assert found == [("a-ball", False), ("a-ball-2", False), ("a-box", True)]


def test_parts_share_one_queue(executor, listed, tmp_path, capsys):
    out = tmp_path / "out"
    run(listed, out, "--part 2/2")
    assert started(executor, out / QUEUE) == ["a-ball-2"]
    assert "The means follow when the other parts" in capsys.readouterr().out
    assert not (out / "means.json").exists()
    run(listed, out, "--part 1/2")
    assert started(executor, out / QUEUE) == ["a-ball-2", "a-ball", "a-box"]
    assert json.loads((out / "means.json").read_text())["objects"] == 3


def test_what_failed_is_named_and_tried_again(executor, listed, tmp_path):
    out = tmp_path / "out"
    executor.ending = lambda task: (
        Failed(task.job.id, "too square\nLeave it.") if "box" in task.job.name else make(task)
    )
    with pytest.raises(SystemExit) as leaving:
        run(listed, out)
    assert "1 of 3 objects have no figures:\n  a-box: too square Leave it." in leaving.value.code
    assert rows(out).keys() == {"a-ball", "a-ball-2"}
    executor.ending = make
    run(listed, out)
    assert executor.started.count(executor.started[-1]) == 2
    assert len(rows(out)) == 3


def no_surface(task):
    """End a run as one whose object has vanished."""
    if "box" not in task.job.name:
        return make(task)
    if not task.work.exists():
        (write_run(task.work, text="a box") / "mesh.glb").unlink()
    return Failed(task.job.id, "Phase II: there is no surface.\nTry another seed.", True)


def test_an_object_without_a_surface_is_a_result(executor, listed, tmp_path):
    out = tmp_path / "out"
    executor.ending = no_surface
    run(listed, out)
    assert rows(out)["a-box"]["failure"] == "Phase II: there is no surface."
    assert (out / "a-box/config.json").is_file()
    assert json.loads((out / "means.json").read_text())["objects"] == 3
    executor.started = []
    run(listed, out)
    run(listed, out, "--engine eager")  # other jobs, the same objects
    assert executor.started == []
    main(["eval", str(out)])
    assert rows(out)["a-box"]["failure"] == "Phase II: there is no surface."


@pytest.mark.parametrize("after", ["the record", "the rename"])
def test_a_driver_that_dies_before_it_judges_the_nothing(
    executor, listed, tmp_path, monkeypatch, after
):
    out = tmp_path / "out"
    executor.ending = no_surface
    moved = evaluate_run.Making.settle

    def die(self, record):
        if record.has_no_surface:
            if after == "the rename":
                self._ended = lambda run, failure: None
                moved(self, record)
            raise KeyboardInterrupt
        moved(self, record)

    monkeypatch.setattr(evaluate_run.Making, "settle", die)
    with pytest.raises(SystemExit):
        run(listed, out)
    assert (out / "a-box").exists() == (after == "the rename")
    monkeypatch.setattr(evaluate_run.Making, "settle", moved)
    executor.started = []
    run(listed, out)
    assert executor.started == []
    assert rows(out)["a-box"]["failure"] == "Phase II: there is no surface."


def test_a_prompt_that_no_judge_knows_is_refused_before_anything_is_made(
    executor, listed, tmp_path
):
    listed.write_text("text\na ball\na cone\n")
    with pytest.raises(SystemExit) as leaving:
        run(listed, tmp_path / "out")
    assert "'a cone', is not in the pool of 2 prompts" in leaving.value.code
    assert executor.started == []


def test_jobs_have_the_bundle_device_and_precision_of_the_command(
    executor, listed, tmp_path, monkeypatch
):
    made = []
    executor.ending = lambda task: (made.append(task.job.config), make(task))[1]
    run(listed, tmp_path / "out", "--device cpu --precision bfloat16 --engine openvino --vram 3")
    assert {(c.bundle, c.device, c.precision, c.engine, c.vram) for c in made} == {
        ("mini", "cpu", "bfloat16", "openvino", 3.0)
    }
    with pytest.raises(SystemExit, match="with another precision"):
        run(listed, tmp_path / "out", "--device cpu")
    with pytest.raises(SystemExit, match="with another vram"):
        run(listed, tmp_path / "out", "--device cpu --precision bfloat16")


def test_a_folder_of_an_earlier_version_goes_on(executor, listed, tmp_path):
    out = tmp_path / "out"
    run(listed, out)
    settings = EvaluationFolder(out).read_json("evaluation.json")
    assert settings["precision"] == precision_for("auto", settings["device"])
    for name in ("device", "precision", "vram"):
        del settings[name]
    EvaluationFolder(out).write_json("evaluation.json", settings)
    executor.started = []
    run(listed, out)
    assert executor.started == []


def test_a_bundle_that_is_not_there(listed, tmp_path):
    with pytest.raises(SystemExit, match="There is no bundle 'nope'"):
        run(listed, tmp_path / "out", "--bundle nope")
