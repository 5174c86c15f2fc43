"""Whole runs with the shipped bundle: what comes out, and that an interruption changes nothing."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from tests.support.watcher import Watcher
from xbind.cli.main import main
from xbind.config import GenerateConfig, PromptConfig
from xbind.pipeline import ResumeMismatch, generate
from xbind.run import RunError

PROMPT = PromptConfig(text="a red mug")


def config(out, **changes):
    return GenerateConfig(prompt=PROMPT, out=out, preset="smoke", engine="eager", **changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "run"
    watcher = Watcher()
    return out, generate(config(out), watcher), watcher


def mesh_bytes(out):
    return (out / "mesh.glb").read_bytes()


def test_leaves_every_file(finished):
    out, result, watcher = finished
    names = {p.name for p in out.iterdir()}
    assert {"config.json", "events.jsonl", "reference.png", "checkpoints", "previews"} <= names
    assert {
        "mesh.glb",
        "mesh.obj",
        "mesh.mtl",
        "texture.png",
        "turntable.gif",
        "report.html",
    } <= names
    assert all(path.stat().st_size > 0 for path in result.outputs)
    assert [s for s in watcher.steps if s[1] == 1] == [
        ("coarse", 1),
        ("geometry", 1),
        ("texture", 1),
    ]


def test_every_step_is_recorded_with_finite_terms(finished):
    out, _, watcher = finished
    rows = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    assert [(row["phase"], row["step"]) for row in rows] == watcher.steps
    for row in rows:
        terms = {k: v for k, v in row.items() if k not in ("phase", "step")}
        assert terms
        assert all(np.isfinite(v) for v in terms.values()), row


def test_mesh_is_one_closed_textured_solid(finished):
    out, _, _ = finished
    loaded = trimesh.load(out / "mesh.glb", force="mesh", process=False)
    assert loaded.visual.material.baseColorTexture.size == (128, 128)
    solid = trimesh.Trimesh(loaded.vertices, loaded.faces, process=True)
    assert solid.is_watertight
    assert solid.is_winding_consistent
    assert solid.volume > 0
    assert solid.body_count == 1


def test_config_holds_what_decides_the_result(finished):
    held = json.loads((finished[0] / "config.json").read_text())
    assert held["prompt"]["text"] == "a red mug"
    assert held["seed"] == 0
    assert held["method"]["coarse"]["steps"] == 12


@pytest.mark.parametrize("stop_at", [("coarse", 7), ("geometry", 3), ("texture", 2)])
def test_interrupted_and_resumed_is_the_same_mesh(finished, tmp_path, stop_at):
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        generate(config(out), Watcher(stop_at))
    assert not (out / "mesh.glb").exists()
    watcher = Watcher()
    generate(config(out, resume=True), watcher)
    assert mesh_bytes(out) == mesh_bytes(finished[0])
    assert len(watcher.steps) < len(finished[2].steps)
    events = (out / "events.jsonl").read_text().splitlines()
    assert len(events) == len(finished[2].steps)  # no step twice, none missing


def test_killed_and_resumed_is_the_same_mesh(finished, tmp_path):
    out = tmp_path / "run"
    words = ["generate", "--text", "a red mug", "--preset", "smoke", "--out", str(out)]
    words += ["--engine", "eager"]
    program = "import sys; from xbind.cli.main import main; main(sys.argv[1:])"
    command = [sys.executable, "-P", "-c", program, *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not list(out.glob("checkpoints/00000005.*")):
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    assert not (out / "mesh.glb").exists()
    generate(config(out, resume=True), Watcher())
    assert mesh_bytes(out) == mesh_bytes(finished[0])


def test_resume_refuses_other_settings(finished):
    with pytest.raises(ResumeMismatch, match="seed differs"):
        generate(config(finished[0], seed=1, resume=True), Watcher())


def test_resume_refuses_numbers_of_another_version(finished, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(finished[0], out)
    held = json.loads((out / "config.json").read_text())
    held["method"]["coarse"]["w_nz"] = 123.0
    (out / "config.json").write_text(json.dumps(held))
    with pytest.raises(ResumeMismatch, match="numbers of preset 'smoke' have changed"):
        generate(config(out, resume=True), Watcher())


def test_a_finished_run_is_not_overwritten_unasked(finished):
    before = mesh_bytes(finished[0])
    with pytest.raises(RunError, match="--overwrite"):
        generate(config(finished[0]), Watcher())
    assert mesh_bytes(finished[0]) == before


def test_resuming_a_finished_run_only_writes_its_files_again(finished):
    before = mesh_bytes(finished[0])
    watcher = Watcher()
    generate(config(finished[0], resume=True), watcher)
    assert watcher.steps == []
    assert mesh_bytes(finished[0]) == before


def test_a_run_from_phase_1_that_was_killed_at_once_still_goes_on_from_it(finished, tmp_path):
    going_on = config(tmp_path / "run", from_phase1=finished[0])
    with pytest.raises(KeyboardInterrupt):
        generate(going_on, Watcher(("geometry", 1)))
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        path.unlink()
    watcher = Watcher()
    generate(dataclasses.replace(going_on, resume=True), watcher)
    assert watcher.steps[0] == ("geometry", 1)
    assert mesh_bytes(tmp_path / "run") == mesh_bytes(finished[0])


def test_the_folder_alone_is_enough_to_resume(finished, capsys):
    before = mesh_bytes(finished[0])
    main(["generate", "--resume", "--out", str(finished[0])])
    assert mesh_bytes(finished[0]) == before
    assert "Done in" in capsys.readouterr().out
    watcher = Watcher()
    bare = GenerateConfig(prompt=PromptConfig(), out=finished[0], preset="smoke", resume=True)
    generate(bare, watcher)
    assert watcher.steps == []
    for words in (["--seed", "1"], ["--text", "a blue mug"], ["--engine", "openvino"]):
        with pytest.raises(SystemExit) as left:
            main(["generate", "--resume", "--out", str(finished[0]), *words])
        assert "differs" in left.value.code


def test_a_cache_that_is_not_kept_is_told(finished, monkeypatch):
    monkeypatch.setattr("xbind.pipeline.cache_notice", lambda: "compiled graphs are not kept")
    watcher = Watcher()
    generate(config(finished[0], resume=True), watcher)
    assert "compiled graphs are not kept" in watcher.messages


def test_torch_threads_are_left_alone(finished):
    del finished
    assert torch.get_num_threads() == int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
    assert Path.cwd().exists()
