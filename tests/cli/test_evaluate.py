"""`xbind eval` as typed: what it writes, what it does not repeat, what it refuses."""

import json
import shlex
import shutil

import pytest
from PIL import Image

from tests.batch.fakes import FakeExecutor
from tests.support.run_files import config_of, write_config
from tests.support.two_priors import two_priors
from xbind.batch.executor import Failed
from xbind.cli import evaluate, evaluate_run
from xbind.cli.eval_configs import EvalConfig, EvalReportConfig, EvalRunConfig
from xbind.cli.main import main, parse
from xbind.evaluation import judging
from xbind.mini import calibration

QUICK = "--preset probe --engine eager"
PROMPTS = "text | a red mug | mug | red\naudio | | bell |\nimage | | duck | yellow\n"


def run(words):
    main(["eval", *shlex.split(words)])


def test_every_flag_of_eval_run():
    words = (
        "eval run --prompts p.txt --out o --preset smoke:stablesds-3d --without ms,stereo "
        "--phase2-loss sds --from-phase1 f --prior-3d narrow --prior-2d sd_base --seed 3 "
        "--part 2/3 --engine eager --threads 2 --bundle b --pool l.json "
        "--judges ViT-B-32 ViT-L-14 --allow-download "
        "--workers 4 --ray 127.0.0.1:6379 --device cpu --precision float32 --vram 4"
    )
    config = parse(words.split())
    assert isinstance(config, EvalRunConfig)
    assert (config.bundle, config.judges, config.workers) == ("b", ("ViT-B-32", "ViT-L-14"), 4)
    assert (config.device, config.precision, config.vram) == ("cpu", "float32", 4)
    assert config.without == "ms,stereo"
    assert (config.prior_2d, config.prior_3d) == ("sd_base", "narrow")
    assert config.share() == (2, 3)
    assert isinstance(parse(["eval", "out/a"]), EvalConfig)
    report = parse(["eval", "report", "a", "x=b,c", "--paper", "table-2", "--results", "r.json",
                    "--section", "s", "--document", "d.md", "--sheet", "s.jpg"])  # fmt: skip
    assert isinstance(report, EvalReportConfig)
    assert (report.methods, report.paper) == (("a", "x=b,c"), "table-2")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """Three objects of the preset with the fewest steps: two by one process, one by another."""
    root = tmp_path_factory.mktemp("evaluation")
    (root / "list.txt").write_text(PROMPTS)
    words = f"run --prompts {root / 'list.txt'} --out {root / 'out'} {QUICK}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "OBJECTS", 1)
        patch.setattr(calibration, "VIEWS", 4)
        run(f"{words} --part 1/2")
        rows = (root / "out/scores.jsonl").read_text().splitlines()
        assert len(rows) == 2
        assert not (root / "out/means.json").exists()
        run(f"{words} --part 2/2")
    return root / "out", words


def test_every_kind_of_prompt_has_its_figures(evaluated):
    rows = [json.loads(line) for line in (evaluated[0] / "scores.jsonl").read_text().splitlines()]
    figures = {row["kind"]: set(row["figures"]) for row in rows}
    judged = {"clip_r", "clip_r_calibrated", "clip_r_self"}
    judged |= {"clip_r_judge_2", "clip_r_judge_2_calibrated"}
    shape = {"iou", "chamfer", "silhouette_change", "colour_change", "kernel_distance", "fronts"}
    shape |= {f"{name}_real" for name in shape} | {"components", "bumps", "faces"}
    assert figures["text"] == judged | shape
    assert figures["audio"] == judged | shape | {"arcc_self"}
    assert figures["image"] == judged | shape | {"clip_i", "clip_i_judge_2", "clip_i_self"}
    assert all(-1 <= row["figures"].get("arcc_self", 0) <= 1 for row in rows)


def test_means_sheet_settings_and_calibration_are_written(evaluated):
    out, _ = evaluated
    means = json.loads((out / "means.json").read_text())
    assert means["objects"] == 3
    assert means["all"]["iou"]["n"] == 3
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.size[1] == 2 * 112
    settings = json.loads((out / "evaluation.json").read_text())
    assert settings["preset"] == "probe"
    assert len(settings["prompts"]) == 3
    [command] = settings["commands"]
    assert parse(shlex.split(command)[1:]).prompts == str(out.parent / "list.txt")
    assert command.endswith("--preset probe --engine eager")
    known = json.loads((out / "calibration.json").read_text())["known"]
    wrong = {"missing_part", "revolution", "two_faced", "wrong_part_colour"}
    wrong |= {"blurred", "blotched", "smeared"}
    assert {"real", "another category"} | wrong == known.keys()
    for figure in ("clip_r", "clip_r_judge_2"):
        assert known["real"][figure] > 0.9
        assert all(
            known["real"][f"{figure}_calibrated"] > known[kind][f"{figure}_calibrated"]
            for kind in wrong
        )
    assert known["real"]["arcc_self"] > known["another category"]["arcc_self"]
    assert known["real"]["clip_i"] > known["another category"]["clip_i"]


def test_nothing_is_made_or_judged_twice(evaluated, monkeypatch, capsys):
    out, words = evaluated
    before = (out / "scores.jsonl").read_bytes()
    monkeypatch.setattr(evaluate_run, "make_executor", None)
    monkeypatch.setattr(judging, "judge_run", None)
    monkeypatch.setattr(evaluate, "calibrate", None)
    run(words)
    run(str(out))
    assert (out / "scores.jsonl").read_bytes() == before
    told = capsys.readouterr().out
    assert "CLIP-R, independent judge" in told
    assert "the judges on known objects" in told


def test_a_run_alone_is_judged_elsewhere_just_the_same(evaluated, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "calibrate", lambda *judges: {"real": {"objects": 1.0}})
    run(f"{evaluated[0] / 'a_red_mug'} --out {tmp_path / 'scores'}")
    alone = json.loads((tmp_path / "scores/scores.jsonl").read_text())
    lines = (evaluated[0] / "scores.jsonl").read_text().splitlines()
    [among] = [row for row in map(json.loads, lines) if row["object"] == "a_red_mug"]
    assert alone == among


@pytest.fixture
def several(evaluated, tmp_path):
    """A run that can be judged, one of an unknown thing, one damaged, one without a mesh."""
    for name in ("good", "unknown", "damaged", "unfinished"):
        shutil.copytree(evaluated[0] / "a_red_mug", tmp_path / "runs" / name)
    (tmp_path / "runs/unknown/target.json").unlink()
    config = config_of(tmp_path / "runs/unknown")
    config["prompt"]["text"] = "a banana"
    del config["reading"]  # the bundle could not have read it
    write_config(tmp_path / "runs/unknown", config)
    mesh = tmp_path / "runs/damaged/mesh.glb"
    mesh.write_bytes(mesh.read_bytes()[:-100] + bytes(100))
    (tmp_path / "runs/unfinished/mesh.glb").unlink()
    return tmp_path / "runs"


@pytest.fixture
def quick_calibration(monkeypatch):
    monkeypatch.setattr(evaluate, "calibrate", lambda *judges: {"real": {"objects": 1.0}})


@pytest.mark.usefixtures("quick_calibration")
def test_what_was_not_judged_is_named_and_counts_are_right(several, tmp_path, capsys):
    out = tmp_path / "scores"
    with pytest.raises(SystemExit) as leaving:
        run(f"{several} --out {out}")
    assert "1 of 4 runs could not be read: damaged" in str(leaving.value.code)
    told = capsys.readouterr().out
    assert "judged 1 of 4 runs" in told
    assert "not judged unknown: its prompt, 'a banana', is not in the pool of 136" in told
    assert "not judged damaged: " in told
    assert "checksum differs" in told
    assert "not judged unfinished: it is not finished" in told
    rows = [json.loads(line) for line in (out / "scores.jsonl").read_text().splitlines()]
    assert [row["object"] for row in rows] == ["good"]
    means = json.loads((out / "means.json").read_text())
    assert means["objects"] == 1
    assert means["not_judged"].keys() == {"unknown", "damaged", "unfinished"}
    lines = told.splitlines()
    at = {name: k for k, line in enumerate(lines) for name in (" Chamfer", " components")
          if line.startswith(name)}  # fmt: skip
    assert lines[at[" Chamfer"] + 1].startswith(" … of real objects")
    assert not lines[at[" components"] + 1].startswith(" …")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("unknown", "'a banana', is not in the pool of 136 prompts. The judge knows one colour"),
        ("damaged", "or is damaged: changed since it was written"),
        ("unfinished", "has no mesh.glb"),
    ],
)
def test_a_run_that_cannot_be_judged_alone(several, tmp_path, name, message):
    with pytest.raises(SystemExit) as leaving:
        run(f"{several / name} --out {tmp_path / 'scores'}")
    assert message in str(leaving.value.code)
    assert not (tmp_path / "scores/means.json").exists()


@pytest.mark.usefixtures("quick_calibration")
def test_an_earlier_figure_of_a_run_that_is_not_judged_does_not_count(several, tmp_path):
    out = tmp_path / "scores"
    stale = {"object": "unknown", "kind": "text", "mesh": "", "judges": [], "figures": {"iou": 0.0}}
    out.mkdir()
    (out / "scores.jsonl").write_text(json.dumps(stale) + "\n")
    with pytest.raises(SystemExit):
        run(f"{several} --out {out}")
    assert json.loads((out / "means.json").read_text())["all"]["iou"]["n"] == 1


def test_other_runs_stay_out_of_a_folder_of_eval_run(evaluated, several):
    before = (evaluated[0] / "means.json").read_bytes()
    for paths in (f"{several}", f"{evaluated[0] / 'a_red_mug'}"):
        with pytest.raises(SystemExit) as leaving:
            run(f"{paths} --out {evaluated[0]}")
        assert "an evaluation of its own list of prompts" in str(leaving.value.code)
    assert (evaluated[0] / "means.json").read_bytes() == before


def test_an_evaluation_keeps_to_its_3d_prior(tmp_path, monkeypatch):
    bundle = two_priors(tmp_path)
    (tmp_path / "list.txt").write_text("text | a red mug | mug | red\n")
    words = (
        f"run --prompts {tmp_path / 'list.txt'} --out {tmp_path / 'out'} --bundle {bundle} {QUICK}"
    )
    asked = []

    def fail(task):
        asked.append(task.job.config.prior_3d)
        task.work.mkdir()
        told = {"prompt": {"text": "a red mug"}, "seed": 0, "preset": "probe", "method": {}}
        (task.work / "config.json").write_text(json.dumps(told))
        return Failed(task.job.id, "Phase II: there is no surface.\nTry another seed.", True)

    monkeypatch.setattr(evaluate_run, "make_executor", lambda *given: FakeExecutor(fail))
    monkeypatch.setattr(evaluate, "calibrate", lambda *judges: {"real": {"objects": 1.0}})
    run(f"{words} --prior-3d narrow")
    assert asked == ["narrow"]
    [row] = map(json.loads, (tmp_path / "out/scores.jsonl").read_text().splitlines())
    assert row["failure"] == "Phase II: there is no surface."
    assert row["figures"]["clip_r"] == 0
    settings = json.loads((tmp_path / "out/evaluation.json").read_text())
    assert settings["prior_3d"] == "narrow"
    assert f"--bundle {bundle} --prior-3d narrow" in settings["commands"][0]
    with pytest.raises(SystemExit, match="with another prior_3d"):
        run(words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("{tmp}/nothing", "There is no folder"),
        ("{tmp}", "neither a run nor a folder"),
        ("{run} --pool {tmp}/pool.json --out {tmp}/o", "has a judge with a pool of its own"),
        ("{run} --bundle nope --out {tmp}/o", "There is no bundle 'nope'"),
        ("run --prompts nope --out {tmp}/o", "no list of prompts 'nope'"),
        ("run --prompts {tmp}/empty.txt --out {tmp}/o", "holds no prompt"),
        ("run --prompts {tmp}/bad.txt --out {tmp}/o", "cannot read 'a red mug'"),
        ("run --preset turbo --out {tmp}/o", "There is no preset 'turbo'"),
        ("run --prior-3d broad --out {tmp}/o", "has no 3D prior 'broad'"),
        ("run --prompts {list} --preset probe --seed 5 --out {out}", "with another seed"),
        ("run --prompts {tmp}/one.txt --preset probe --out {out}", "with another prompts"),
        ("run --prompts {list} --preset probe --from-phase1 {tmp} --out {tmp}/o", "no run in"),
    ],
)
def test_mistakes_are_told_in_one_message(evaluated, tmp_path, words, message):
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "bad.txt").write_text("a red mug\n")
    (tmp_path / "one.txt").write_text("text | a red mug | mug | red\n")
    out = evaluated[0]
    words = words.format(tmp=tmp_path, out=out, run=out / "a_red_mug", list=out.parent / "list.txt")
    with pytest.raises(SystemExit) as leaving:
        run(words)
    assert message in str(leaving.value.code)
    assert str(leaving.value.code).startswith("xbind: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "no folder: give the folder of a run"),
        ("a b", "say where the scores go, --out"),
        ("run", "out"),
        ("run --out o --part 3/2", "--part wants K/N"),
        ("run --out o --part one", "--part wants K/N"),
        ("run --out o --without nerf", "--without wants some of stereo"),
        ("run --out o --phase2-loss mse", "mse"),
        ("run --out o --workers 0", "--workers must be in 1"),
        ("run --out o --device gpu", "--device wants"),
        ("run --out o --precision float16 --device cpu --engine eager", "for engines and for CUDA"),
        ("run --out o --vram -1", "--vram must be a positive number"),
        ("run --out o --seed -1", "--seed must be in 0"),
        ("report", "no folder: give folders"),
        ("report a --section here", "--section names the part of --document and --results"),
        ("report a --results r.json", "--section names the part of --document and --results"),
        ("report a --paper table-3", "table-3"),
        ("report a --sheet s.gif", "--sheet must end in .png, .jpg, .jpeg, got s.gif"),
        ("report --results r.json --sheet s.png", "--sheet and --paper need methods"),
        ("report a --rows 0", "--rows must be at least 1"),
    ],
)
def test_wrong_flags_leave_with_2(capsys, words, message):
    with pytest.raises(SystemExit) as leaving:
        run(words)
    assert leaving.value.code == 2
    told = capsys.readouterr()
    assert message in " ".join((told.err + told.out).replace("│", " ").split())
