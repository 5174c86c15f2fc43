"""Whole runs with the shipped bundle: what comes out, and that an interruption changes nothing."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh

from tests.support.run_files import config_of, events_of, write_config
from tests.support.watcher import Watcher
from xbind.cli.main import main
from xbind.conditioning.image import SquareImage
from xbind.conditioning.prompt import EncodedPrompt
from xbind.config.options import FilesConfig, GenerateConfig, PromptConfig
from xbind.networks import loaded
from xbind.pipeline import generate
from xbind.run.export import export
from xbind.run.folder import RunError
from xbind.run.preflight import NoReferenceView
from xbind.run.prompt_record import pose_origin
from xbind.run.settings import ResumeMismatch
from xbind.scene.mesh.textured import read_glb

pytestmark = pytest.mark.slow
PROMPT = PromptConfig(text="a crimson mug")


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
    rows = events_of(out)
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


def test_the_run_keeps_the_texture_field_for_exports(finished, tmp_path):
    made = export(finished[0], tmp_path / "m.glb", texture=64)
    assert made.notes == ("texture baked from the run's texture field",)
    copies = (read_glb(path).texture.mean((0, 2, 3)) for path in (
        made.files[0], finished[0] / "mesh.glb"
    ))  # fmt: skip
    torch.testing.assert_close(*copies, atol=0.03, rtol=0)


def test_what_the_text_was_read_as_is_said(finished):
    out, _, watcher = finished
    assert "read 'crimson' as red: the prompt is 'a red mug'" in watcher.messages
    assert "crimson as" in (out / "report.html").read_text()


def test_config_holds_what_decides_the_result(finished):
    held = config_of(finished[0])
    assert held["prompt"]["text"] == "a crimson mug"
    assert held["reading"]["read"] == "a red mug"
    assert held["reading"]["replaced"] == [["crimson", "red"]]
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
    expected = {"prompt": {"text": "a crimson mug"}, "seed": 0, "preset": "smoke", "bundle": "mini"}
    assert {key: known.get(key) for key in expected} == expected
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
    held = config_of(out)
    assert held["files"] == {"material": "lit", "pivot": "base", "height": 0.1}


@pytest.mark.parametrize("files", [{"pivot": "top"}, {"roof": 1}, {"height": "tall"}])
def test_damaged_settings_of_files_are_refused(finished, tmp_path, files):
    out = tmp_path / "run"
    shutil.copytree(finished[0], out)
    held = config_of(out)
    write_config(out, held | {"files": files})
    with pytest.raises(RunError, match=r"is damaged: its 'files'(.|\n)*--overwrite"):
        generate(config(out, resume=True), Watcher())


def test_says_and_keeps_what_the_prompt_is_understood_as(finished):
    out, _, watcher = finished
    assert any(m.startswith("the text reads as: mug .9") for m in watcher.messages)
    read = config_of(out)["understood"]
    assert list(read) == ["text"]
    assert next(iter(read["text"]["things"].items())) == ("mug", pytest.approx(0.97, abs=0.03))
    assert next(iter(read["text"]["colours"])) == "red"
    assert ">text</span> things<" in (out / "report.html").read_text()


def test_smoke_says_that_its_object_means_nothing(finished):
    assert any("only checks that everything runs" in m for m in finished[2].messages)


def test_reference_only_stops_there_and_resume_makes_the_same_mesh(finished, tmp_path, monkeypatch):
    out, parts = tmp_path / "run", []
    compile_run = loaded.compile_run

    def watched(choice, bundle, wanted, *args, **settings):
        parts.append({name: [r.name for r in part.requests] for name, part in wanted.items()})
        return compile_run(choice, bundle, wanted, *args, **settings)

    monkeypatch.setattr(loaded, "compile_run", watched)
    watcher = Watcher()
    result = generate(config(out, reference_only=True), watcher)
    assert parts == [{"reference": ["unet2d", "unet3d"]}]
    assert watcher.steps == []
    assert list(result.outputs) == [out / "reference.png", out / "references.png"]
    assert watcher.outputs == list(result.outputs)
    assert any("--resume for --reference-only." in m for m in watcher.messages)
    reference = (out / "reference.png").read_bytes()
    assert reference == (finished[0] / "reference.png").read_bytes()
    generate(config(out, resume=True), Watcher())
    assert mesh_bytes(out) == mesh_bytes(finished[0])
    assert (out / "reference.png").read_bytes() == reference
    assert config_of(out) == config_of(finished[0])


def test_an_engine_is_chosen_only_when_a_reference_is_gone_on_from(tmp_path):
    out = tmp_path / "run"
    chosen = GenerateConfig(prompt=PROMPT, out=out, preset="smoke", reference_only=True)
    generate(chosen, Watcher())
    assert config_of(out)["engine"] == "auto"
    with pytest.raises(KeyboardInterrupt):
        generate(config(out, resume=True), Watcher(("coarse", 1)))
    assert config_of(out)["engine"] == "eager"


def test_reference_only_wants_a_method_with_a_reference(tmp_path):
    with pytest.raises(NoReferenceView, match="has no reference view"):
        generate(config(tmp_path / "run", reference_only=True, without="stereo"), Watcher())
    assert not (tmp_path / "run").exists()


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
    words = ["generate", "--text", PROMPT.text, "--preset", "smoke", "--out", str(out)]
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
    held = config_of(out)
    held["method"]["coarse"]["w_nz"] = 123.0
    write_config(out, held)
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
    monkeypatch.setattr("xbind.run.networks.cache_notice", lambda: "compiled graphs are not kept")
    watcher = Watcher()
    generate(config(finished[0], resume=True), watcher)
    assert "compiled graphs are not kept" in watcher.messages


def test_torch_threads_are_left_alone(finished):
    del finished
    assert torch.get_num_threads() == int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
    assert Path.cwd().exists()


def test_a_picture_s_mask_and_pose_are_written_and_belong_to_the_run(tmp_path):
    picture = Path(__file__).parent / "data/pictures/two.png"

    def wanted(**pose):
        prompt = PromptConfig(image=picture, **pose)
        return GenerateConfig(
            prompt=prompt, out=tmp_path / "run", preset="smoke", engine="eager", resume=bool(pose)
        )

    watcher = Watcher(stop_at=("coarse", 1))
    with pytest.raises(KeyboardInterrupt):
        generate(wanted(), watcher)
    written = config_of(tmp_path / "run")
    assert written["foreground"]["verdict"] == "unsure"
    assert "only the largest is kept" in written["foreground"]["reasons"][0]
    assert (tmp_path / "run/mask.png").stat().st_size > 0
    assert any("two objects" in message for message in watcher.messages)
    for pose in ({"elevation": 20.0}, {"azimuth": 30.0}, {"mask": picture}):
        with pytest.raises(ResumeMismatch, match="prompt differs"):
            generate(wanted(**pose), Watcher())


@pytest.mark.parametrize(
    ("elevation", "azimuth", "view", "said"),
    [
        (None, None, None, "no pose network, so 0° is assumed; --elevation and --azimuth would"),
        (5.0, None, None, "0° is assumed; --azimuth would set it"),
        (5.0, None, object(), "without --azimuth, that angle was estimated"),
        (5.0, 0.0, None, "(given)"),
    ],
)
def test_the_origin_of_a_picture_s_pose_is_said(elevation, azimuth, view, said):
    nothing = torch.zeros(1)
    image = SquareImage(torch.zeros(3, 4, 4), torch.zeros(1, 4, 4))
    prompt = EncodedPrompt(
        nothing, nothing, image, (), elevation_deg=elevation, azimuth_deg=azimuth
    )
    assert said in pose_origin(prompt, SimpleNamespace(view=view))
    sampled = EncodedPrompt(nothing, nothing, None, ())
    assert pose_origin(sampled, SimpleNamespace(view=view)) == ""
