"""The library: what a caller gets, what is refused, and that it makes what the command line makes.

The runs are of the preset `probe`, two steps of every stage.
"""

import base64
import gc
import json
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

import xbind
from tests.support.run_files import config_of, write_config
from xbind.cli.main import main
from xbind.config.export import ExportError
from xbind.errors import XBindError
from xbind.run.arguments import ArgumentError
from xbind.run.checks import RunError
from xbind.scene.mesh.textured import UnreadableMesh


@pytest.fixture(scope="module")
def pipe():
    with xbind.load("mini", device="cpu", engine="eager") as pipe:
        yield pipe


@pytest.fixture(scope="module")
def made(pipe, tmp_path_factory):
    """A run, what its callback was given, and its folder."""
    out = tmp_path_factory.mktemp("api") / "mug"
    steps = []
    torch.set_num_threads(2)  # the caller's; the run computes with one
    run = pipe("a red mug", seed=3, preset="probe", out=str(out), on_step=steps.append,
               progress=False, method={"coarse": {"steps": 3}})  # fmt: skip
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    return run, steps, out


def test_the_package_is_imported_at_once():
    code = (
        "import sys, xbind\n"
        "assert not {'torch', 'numpy', 'tyro', 'PIL'} & set(sys.modules)\n"
        "assert {'load', 'generate', 'open', 'Run'} <= set(dir(xbind))"
    )
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-P", "-c", code], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    assert min(times) < 0.1


def test_a_run_is_opened_without_torch(made):
    code = (
        "import sys, xbind; run = xbind.open(sys.argv[1]); run.losses; run.reference; repr(run)\n"
        "run._repr_html_(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-P", "-c", code, made[2]], check=True)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'xbind' has no attribute 'mugs'"):
        _ = xbind.mugs


def test_the_command_line_makes_the_same_mesh(made, tmp_path):
    out = tmp_path / "again"
    words = "--engine eager --device cpu --seed 3 --preset probe --method.coarse.steps 3"
    main(["generate", "a red mug", *words.split(), "--out", str(out)])
    assert (out / "mesh.glb").read_bytes() == (made[2] / "mesh.glb").read_bytes()


def test_the_callback_sees_every_step(made):
    _, steps, _ = made
    assert [(s.phase, s.step) for s in steps] == [
        *(("coarse", k) for k in (1, 2, 3)),
        *((stage, k) for stage in ("geometry", "texture") for k in (1, 2)),
    ]


def test_losses_are_the_lines_of_the_log(made):
    run, steps, out = made
    lines = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    losses = run.losses
    assert list(losses) == ["coarse", "geometry", "texture"]
    assert set(losses["texture"]) == set(steps[-2].terms)
    for stage, terms in losses.items():
        for name, curve in terms.items():
            wanted = {x["step"]: x[name] for x in lines if x["phase"] == stage and name in x}
            assert dict(zip(curve.steps.tolist(), curve.values.tolist(), strict=True)) == wanted
    assert losses["coarse"]["planar"].values.tolist() == [s.terms["planar"] for s in steps[:3]]
    assert losses["coarse"]["rgb"].steps.tolist() == [1, 3]  # every second step


def test_losses_that_are_not_finite(tmp_path, made):
    copy = shutil.copytree(made[2], tmp_path / "copy")
    lines = ['{"phase": "coarse", "step": 1, "ms": "nan", "nz": "-inf"}', '{"phase": "coa']
    (copy / "events.jsonl").write_text("\n".join(lines))
    coarse = xbind.open(copy).losses["coarse"]
    assert np.isnan(coarse["ms"].values[0])
    assert coarse["nz"].values[0] == -np.inf
    (copy / "events.jsonl").unlink()
    assert xbind.open(copy).losses == {}


def test_settings_and_messages(made):
    run, _, out = made
    assert run.folder == out
    assert run.finished
    assert run.config["changes"] == {"coarse.steps": 3}
    assert run.prompt == "text: a red mug"
    assert repr(run) == f"Run({str(out)!r}, 'text: a red mug', seed 3)"
    assert any("only checks that everything runs" in message for message in run.messages)
    assert xbind.open(out).messages == ()


def test_the_mesh_is_that_of_the_file(made):
    run, _, out = made
    wanted = trimesh.load(out / "mesh.glb", force="mesh", process=False)
    np.testing.assert_array_equal(run.mesh.vertices, wanted.vertices)
    assert run.mesh is run.mesh
    assert run.mesh.visual.material.baseColorTexture.size == (128, 128)


def test_views_show_the_object_from_all_sides(made):
    views = made[0].views(4, size=48)
    assert [view.size for view in views] == [(48, 48)] * 4
    shown = [np.asarray(view) for view in views]
    assert all((image[0] == 255).all() and (image[24, 24] < 250).any() for image in shown)
    assert not np.array_equal(shown[0], shown[2])
    again = np.asarray(made[0].views(2, size=48)[1])
    np.testing.assert_array_equal(again, shown[2])
    for wrong in ({"count": 0}, {"count": 1, "size": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            made[0].views(**wrong)


def test_the_reference_view_is_that_of_the_run(made, pipe, tmp_path):
    run, _, out = made
    assert run.reference.mode == "RGB"
    np.testing.assert_array_equal(run.reference, Image.open(out / "reference.png"))
    copy = shutil.copytree(out, tmp_path / "copy")
    (copy / "reference.png").unlink()
    assert xbind.open(copy).reference is None


def test_a_notebook_shows_the_turntable(made, tmp_path):
    run, _, out = made
    page = run._repr_html_()
    data = re.search(r'src="data:image/gif;base64,([^"]+)"', page)[1]
    assert base64.b64decode(data) == (out / "turntable.gif").read_bytes()
    copy = shutil.copytree(out, tmp_path / "copy")
    (copy / "turntable.gif").unlink()
    held = config_of(copy)
    held["prompt"] |= {"text": "<b>", "audio": "/home/me/bell.wav"}
    write_config(copy, held)
    page = xbind.open(copy)._repr_html_()
    assert "data:image/png" in page
    assert "text: &lt;b&gt; + audio: bell.wav · seed 3" in page
    (copy / "reference.png").unlink()
    assert xbind.open(copy)._repr_html_().startswith("<p>text:")


def test_exports_hold_the_same_object(made, tmp_path):
    run = made[0]
    folder = tmp_path / "new" / "folder"
    for kind in ("glb", "obj", "ply"):
        path = run.export(folder / f"mug.{kind}")
        assert path == folder / f"mug.{kind}"
        mesh = trimesh.load(path, force="mesh")
        np.testing.assert_allclose(mesh.bounds, run.mesh.bounds, atol=1e-4)
        with pytest.raises(ExportError, match="is there already"):
            run.export(path)
        run.export(path, overwrite=True)
    texture = trimesh.load(folder / "mug.obj", force="mesh").visual.material.image
    assert texture.size == (128, 128)
    with pytest.raises(ExportError, match=r"\.glb"):
        run.export(folder / "mug.blend")


def test_a_print_has_the_height_that_was_asked_for(made, tmp_path):
    for height in ("80mm", 0.08):
        mesh = trimesh.load(made[0].export(tmp_path / "mug.stl", height=height, overwrite=True))
        assert mesh.is_watertight
        assert mesh.bounds[1, 2] - mesh.bounds[0, 2] == pytest.approx(80, abs=1e-3)
    with pytest.raises(ExportError, match="height"):
        made[0].export(tmp_path / "other.stl", height="tall")


def test_a_run_without_a_mesh_says_how_to_finish_it(made, tmp_path):
    copy = shutil.copytree(made[2], tmp_path / "copy")
    (copy / "mesh.glb").write_bytes(b"glTF")
    with pytest.raises(UnreadableMesh, match="damaged"):
        _ = xbind.open(copy).mesh
    (copy / "mesh.glb").unlink()
    run = xbind.open(copy)
    assert not run.finished
    assert "not finished" in repr(run)
    for use in (lambda: run.mesh, run.views, lambda: run.export(copy / "x.stl")):
        with pytest.raises(RunError, match=r"not finished.\n.*--resume --out"):
            use()


def test_a_folder_without_a_run_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(RunError, match="There is no run in"):
            xbind.open(folder)
        with pytest.raises(RunError, match="There is no run in"):
            xbind.resume(folder)


def test_without_out_the_folder_is_temporary(pipe, tmp_path):
    run = pipe("a red mug", preset="probe", reference_only=True, progress=False)
    folder = run.folder
    assert folder.name.startswith("xbind-")
    assert run.reference.size == (64, 64)
    kept = run.save(tmp_path / "kept")
    assert kept.config == run.config
    assert not (tmp_path / "kept" / ".lock").exists()
    with pytest.raises(RunError, match="is there already"):
        run.save(tmp_path / "kept")
    del run
    gc.collect()
    assert not folder.exists()
    assert xbind.open(tmp_path / "kept").reference.size == (64, 64)


def test_a_run_that_is_stopped_can_be_resumed(pipe, made):
    def stop(record):
        if record.phase == "geometry":
            raise KeyboardInterrupt

    given = {"seed": 3, "preset": "probe", "method": {"coarse.steps": 3}, "progress": False}
    with pytest.raises(KeyboardInterrupt) as stopped:
        pipe("a red mug", on_step=stop, **given)
    note = stopped.value.__notes__[0]
    folder = Path(re.search(r"xbind\.resume\('([^']+)'\)", note)[1])
    try:
        run = xbind.resume(folder, progress=False)
        assert (run.folder / "mesh.glb").read_bytes() == (made[2] / "mesh.glb").read_bytes()
    finally:
        shutil.rmtree(folder)


def test_resuming_takes_every_setting_of_the_run(made, tmp_path, monkeypatch):
    copy = shutil.copytree(made[2], tmp_path / "copy")
    write_config(copy, config_of(copy) | {"threads": 2})
    asked = []
    monkeypatch.setattr("xbind.api.run_config", lambda config, *_: asked.append(config))
    xbind.resume(copy, progress=False)
    (config,) = asked
    assert (config.threads, config.seed, config.preset, config.resume) == (2, 3, "probe", True)
    assert config.method == {"coarse.steps": 3}
    assert config.prompt.text == "a red mug"


def test_pictures_arrays_and_weights(pipe, tmp_path):
    pixels = np.full((64, 64, 3), 255, np.uint8)
    pixels[16:48, 20:40] = (200, 30, 30)
    out = tmp_path / "mix"
    run = pipe(
        "a red mug", image=Image.fromarray(pixels), mix={"image": 2}, elevation=10, azimuth=20,
        preset="probe", reference_only=True, out=out, progress=False,
    )  # fmt: skip
    held = run.config["prompt"]
    assert (held["text"], held["image_weight"], held["elevation"]) == ("a red mug", 2, 10)
    stored = Path(held["image"])
    assert stored.parent == out / "inputs"
    np.testing.assert_array_equal(Image.open(stored), pixels)
    again = pipe(
        image=pixels[:, ::-1], preset="probe", reference_only=True, out=out, overwrite=True,
        progress=False,
    )  # fmt: skip
    assert [p.name for p in (out / "inputs").iterdir()] == [
        Path(again.config["prompt"]["image"]).name
    ]
    assert not stored.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "no prompt: give at least one of text, image"),
        ({"text": ""}, "text is empty"),
        ({"text": 3}, "text must be text or none, got 3"),
        ({"text": "a mug", "seed": -1}, "seed must be in 0"),
        ({"text": "a mug", "seed": "x"}, "seed must be a whole number, got 'x'"),
        ({"text": "a mug", "mix": {"text": 0}}, "text_weight must be a positive number"),
        ({"text": "a mug", "mix": {"audio": 2}}, "audio_weight is given without audio"),
        ({"text": "a mug", "mix": {"smell": 2}}, "a weight for smell, which is no modality"),
        ({"text": "a mug", "elevation": 5}, "elevation is given without image"),
        ({"text": "a mug", "without": ["nerf"]}, "without wants some of stereo"),
        ({"text": "a mug", "height": -1}, "height must be between"),
        (
            {"text": "a mug", "phase2_loss": "mse"},
            "phase2_loss must be one of 'sds', 'cds' or none",
        ),
        ({"text": "a mug", "material": "shiny"}, "material must be one of 'unlit', 'lit'"),
    ],
)
def test_a_wrong_argument_is_refused_by_name(pipe, tmp_path, arguments, message):
    out = tmp_path / "out"
    with pytest.raises(ArgumentError, match=message):
        pipe(**arguments, out=out, progress=False)
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "turbo"}, "no preset 'turbo'"),
        ({"method": 3}, "Changes to a preset are names with values, .* got 3"),
        ({"method": {"coarse.stepz": 3}}, "no setting 'coarse.stepz'"),
        ({"image": np.zeros((8, 8, 7), np.uint8)}, "image must be an array"),
    ],
)
def test_what_is_refused_later_leaves_nothing(pipe, tmp_path, arguments, message):
    out = tmp_path / "out"
    with pytest.raises(XBindError, match=message):
        pipe("a red mug", **arguments, out=out, progress=False)
    assert not out.exists()


def test_an_occupied_folder_is_left_as_it_is(pipe, made):
    _, _, out = made
    before = sorted(out.rglob("*"))
    with pytest.raises(RunError, match="already holds a run"):
        pipe(image=np.full((64, 64, 3), 9, np.uint8), out=out, progress=False)
    assert sorted(out.rglob("*")) == before


def test_unknown_options_are_type_errors(pipe):
    with pytest.raises(TypeError, match=r"no option 'elevaton'\. Did you mean 'elevation'"):
        pipe("a red mug", elevaton=3)
    with pytest.raises(TypeError, match=r"no option 'devise'\. Did you mean 'device'"):
        xbind.load("mini", devise="cpu")
    with pytest.raises(TypeError, match="no option 'zzz'"):
        xbind.generate("a red mug", zzz=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": 0}, "threads must be at least 1"),
        ({"vram": -1}, "vram must be a positive number"),
        ({"device": "tpu"}, "device wants auto, cpu, cuda, or cuda:1 and so on; got 'tpu'"),
        ({"engine": "onyx"}, "engine must be one of"),
        ({"precision": "float64"}, "precision must be one of"),
        ({"bundle": ""}, "bundle is empty"),
    ],
)
def test_wrong_ways_to_load_are_refused(options, message):
    with pytest.raises(ArgumentError, match=message):
        xbind.load(**options)


def test_generate_loads_runs_and_says_what_it_does(tmp_path, capsys):
    run = xbind.generate(
        text="a red mug", out=tmp_path / "mug", preset="probe", reference_only=True, seed=1,
        device="cpu", engine="eager",
    )  # fmt: skip
    assert run.config["seed"] == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "reference view at elevation" in said.err
