"""Whole runs with the shipped bundle: what comes out, and that an interruption changes nothing."""

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
from xbind.config import FilesConfig, GenerateConfig, PromptConfig
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
    assert held["files"] == {"material": "unlit", "pivot": "base", "height": None}


def about(out):
    """Metadata of a run's GLB, and the bounds of its mesh."""
    scene = trimesh.load(out / "mesh.glb")
    return scene.metadata["xbind"], scene.bounds


def test_the_mesh_stands_on_the_ground_and_says_where_it_came_from(finished):
    known, bounds = about(finished[0])
    assert bounds[0, 1] == 0
    np.testing.assert_allclose(bounds.mean(0)[[0, 2]], 0, atol=1e-6)
    expected = {"prompt": {"text": "a red mug"}, "seed": 0, "preset": "smoke", "bundle": "mini"}
    assert known.items() >= expected.items()
    assert (finished[0] / "mesh.mtl").read_text().count("illum 0") == 1


def test_resume_writes_the_files_as_asked_and_keeps_what_is_not_asked_for(finished, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(finished[0], out)
    files = FilesConfig(material="lit", pivot="center", height=0.1)
    watcher = Watcher()
    generate(config(out, resume=True, files=files), watcher)
    assert not watcher.steps
    known, bounds = about(out)
    assert known["material"] == "lit"
    np.testing.assert_allclose(bounds[:, 1], [-0.05, 0.05], rtol=1e-6)
    generate(config(out, resume=True, files=FilesConfig(pivot="base")), Watcher())
    known, bounds = about(out)
    assert known["material"] == "lit"
    np.testing.assert_allclose(bounds[:, 1], [0, 0.1], rtol=1e-6)
    held = json.loads((out / "config.json").read_text())
    assert held["files"] == {"material": "lit", "pivot": "base", "height": 0.1}
    del held["files"]  # a run that was started before there were such settings
    (out / "config.json").write_text(json.dumps(held))
    generate(config(out, resume=True), Watcher())
    assert mesh_bytes(out) == mesh_bytes(finished[0])


@pytest.mark.parametrize("files", [{"pivot": "top"}, {"roof": 1}, 3, {"height": "tall"}])
def test_damaged_settings_of_files_are_refused(finished, tmp_path, files):
    out = tmp_path / "run"
    shutil.copytree(finished[0], out)
    held = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps(held | {"files": files}))
    with pytest.raises(RunError, match=r"is damaged: its 'files'(.|\n)*--overwrite"):
        generate(config(out, resume=True), Watcher())


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


def test_torch_threads_are_left_alone(finished):
    del finished
    assert torch.get_num_threads() == int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
    assert Path.cwd().exists()
