"""Exports of small finished runs, read back by other programs' readers."""

import numpy as np
import plyfile
import pytest
import torch
import trimesh

from tests.support import khronos
from tests.support.finished_runs import (
    ABOUT,
    ball,
    config,
    field_colours,
    gradient,
    write_mesh,
    write_run,
)
from xbind.config.export import ExportError
from xbind.run.checks import RunError
from xbind.run.export import export
from xbind.run.mesh_source import read_source
from xbind.scene.appearance import Appearance
from xbind.scene.mesh.gltf import read_document
from xbind.scene.mesh.textured import UnreadableMesh, read_glb


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "red mug")


def colour_error(path, colour_at):
    """Largest difference of a GLB's texture from a field, at the middles of its faces."""
    read = read_glb(path)
    middles, uv = read.mesh.corners().mean(1), read.uv[read.mesh.faces].mean(1)
    size = read.texture.shape[-1]
    columns, rows = (uv * torch.tensor([1, -1]) + torch.tensor([0, 1])).mul(size).long().unbind(1)
    seen = read.texture[0, :, rows.clamp(0, size - 1), columns.clamp(0, size - 1)].T
    return float((seen - colour_at(middles)).abs().max())


def test_without_changes_the_mesh_and_its_texture_are_copied(run, tmp_path):
    made = export(run, tmp_path / "m.glb")
    assert made.files == (tmp_path / "m.glb",)
    assert made.notes == ()
    before, after = read_glb(run / "mesh.glb"), read_glb(tmp_path / "m.glb")
    assert torch.equal(before.mesh.faces, after.mesh.faces)
    assert torch.equal(before.texture, after.texture)
    torch.testing.assert_close(after.mesh.vertices, before.mesh.vertices, atol=1e-6, rtol=0)
    torch.testing.assert_close(after.uv, before.uv, atol=1e-6, rtol=0)
    normals = [trimesh.load(p, force="mesh", process=False).vertex_normals
               for p in (run / "mesh.glb", tmp_path / "m.glb")]  # fmt: skip
    np.testing.assert_allclose(normals[0], normals[1], atol=1e-3)
    known = read_document((tmp_path / "m.glb").read_bytes())["scenes"][0]["extras"]["xbind"]
    assert {k: known[k] for k in ABOUT} == ABOUT


def test_fewer_faces_and_another_texture_come_from_the_field(run, tmp_path):
    made = export(run, tmp_path / "m.glb", faces=600, texture=256)
    assert made.notes == ("texture baked from the run's texture field",)
    assert made.faces <= 600
    read = read_glb(tmp_path / "m.glb")
    assert len(read.mesh.faces) == made.faces
    assert read.texture.shape == (1, 3, 256, 256)
    assert read.components == 1
    assert colour_error(tmp_path / "m.glb", field_colours()[1]) < 0.06


def test_a_simplified_surface_asks_the_field_where_it_was_trained(run, tmp_path, monkeypatch):
    """Off the egg this field is black, and the middles of large faces lie off it."""

    def trained(points):
        places = (points - torch.tensor([0.1, -0.05, 0.2])) / torch.tensor([0.4, 0.3, 0.5])
        is_near = (places.norm(dim=1, keepdim=True) - 1).abs() < 0.006
        return torch.where(is_near, gradient(points), 0.0)

    found = Appearance(trained)
    monkeypatch.setattr("xbind.run.mesh_source.read_texture_field", lambda run: found)
    export(run, tmp_path / "m.glb", faces=200)
    assert colour_error(tmp_path / "m.glb", lambda points: gradient(points).clamp(0, 1)) < 0.1


def test_a_larger_texture_holds_more_of_the_field_than_the_run_s(run, tmp_path):
    """Baked again, not enlarged: a texel of the small texture is four texels wide here."""
    export(run, tmp_path / "fine.glb", texture=512)
    (tmp_path / "bare.glb").write_bytes((run / "mesh.glb").read_bytes())
    made = export(tmp_path / "bare.glb", tmp_path / "coarse.glb", texture=512)
    assert made.notes == ("texture resampled from that of 128 pixels",)
    colours = field_colours()[1]
    fine, coarse = (colour_error(tmp_path / f"{n}.glb", colours) for n in ("fine", "coarse"))
    assert fine < 0.012  # 8 bits, and less than a texel
    assert fine < coarse < 0.1


@pytest.mark.parametrize("options", [{}, {"faces": 500}, {"texture": 64}, {"material": "lit"}])
def test_the_khronos_validator_has_nothing_to_say(run, tmp_path, options):
    export(run, tmp_path / "m.glb", **options)
    issues = khronos.validate(tmp_path / "m.glb")["issues"]
    assert {k: issues[k] for k in issues if k.startswith("num")} == {
        "numErrors": 0, "numWarnings": 0, "numInfos": 0, "numHints": 0
    }  # fmt: skip


def test_obj_has_its_material_and_texture_beside_it(run, tmp_path):
    made = export(run, tmp_path / "my mug.obj", faces=400, height=0.2, material="lit")
    assert [path.name for path in made.files] == ["my mug.obj", "my_mug.mtl", "my_mug.png"]
    loaded = trimesh.load(made.files[0], process=False)
    assert len(loaded.faces) == made.faces
    assert np.ptp(loaded.vertices[:, 1]) == pytest.approx(0.2, rel=1e-5)
    assert loaded.visual.material.image.size == (128, 128)
    assert "illum 1" in made.files[1].read_text()


def test_ply_has_the_colours_of_the_surface(run, tmp_path):
    made = export(run, tmp_path / "m.ply", faces=900)
    vertex = plyfile.PlyData.read(str(made.files[0]))["vertex"]
    seen = np.stack([vertex[k] for k in ("red", "green", "blue")], 1) / 255
    placement = read_source(run / "mesh.glb").placement
    y_up = placement.undo(np.stack([vertex[k] for k in "xyz"], 1))
    wanted = field_colours()[1](torch.from_numpy(y_up[:, [2, 0, 1]].copy()))
    assert np.abs(seen - wanted.numpy()).mean() < 0.02


@pytest.mark.parametrize(("file_format", "height", "millimetres"), [
    ("stl", 0.08, 80.0), ("3mf", 0.08, 80.0), ("stl", None, 100.0),
])  # fmt: skip
def test_printers_get_millimetres(run, tmp_path, file_format, height, millimetres):
    made = export(run, tmp_path / f"m.{file_format}", height=height, faces=300)
    np.testing.assert_allclose(made.size_m[2], millimetres / 1000, rtol=1e-6)
    if file_format == "3mf":
        lib3mf = pytest.importorskip("lib3mf")
        model = lib3mf.get_wrapper().CreateModel()
        model.QueryReader("3mf").ReadFromFile(str(made.files[0]))
        objects = model.GetMeshObjects()
        objects.MoveNext()
        solid = objects.GetCurrentMeshObject()
        assert solid.IsManifoldAndOriented()
        assert solid.GetName() == ABOUT["prompt"]["text"]
        z = [vertex.Coordinates[2] for vertex in solid.GetVertices()]
    else:
        loaded = trimesh.load(made.files[0])
        assert loaded.is_watertight
        z = loaded.vertices[:, 2]
    assert (min(z), max(z)) == (0, pytest.approx(millimetres, rel=1e-5))


def test_a_run_s_own_height_is_kept(tmp_path):
    write_mesh(tmp_path / "mesh.glb", height=0.3)
    for name in ("m.stl", "m.obj", "m.usdz"):
        assert export(tmp_path / "mesh.glb", tmp_path / name).size_m[2] == pytest.approx(0.3)
    made = export(tmp_path / "mesh.glb", tmp_path / "m.glb", faces=300)
    low, high = trimesh.load(made.files[0], force="mesh").bounds
    assert (low[1], high[1]) == (0, pytest.approx(0.3))


def test_the_pivot_and_material_of_the_source_are_kept(tmp_path):
    source = write_mesh(tmp_path / "mesh.glb", material="lit", pivot="center")
    export(source, tmp_path / "m.glb", faces=500, height=0.4)
    document = read_document((tmp_path / "m.glb").read_bytes())
    assert "extensions" not in document["materials"][0]
    low, high = trimesh.load(tmp_path / "m.glb", force="mesh").bounds
    np.testing.assert_allclose([low[1], high[1]], [-0.2, 0.2], rtol=1e-5)


def test_a_mesh_of_another_program_stays_where_it_is(tmp_path):
    source = write_mesh(tmp_path / "mesh.glb")
    scene = trimesh.load(source, force="mesh", process=False)
    scene.vertices += [0.0, 3.0, 1.0]
    scene.metadata.clear()
    scene.export(tmp_path / "theirs.glb")
    made = export(tmp_path / "theirs.glb", tmp_path / "m.glb", texture=64)
    assert made.faces == len(ball().faces)
    low, high = trimesh.load(tmp_path / "m.glb", force="mesh").bounds
    np.testing.assert_allclose([low[1], high[1]], [3, 4], atol=1e-6)


def test_the_default_place_is_in_the_run_and_goes_with_it(run):
    made = export(run, file_format="stl")
    assert made.files == (run / "exports" / "red mug.stl",)
    with pytest.raises(ExportError, match=r"is there already\.\nReplace it with --overwrite"):
        export(run, file_format="stl")
    export(run, file_format="stl", overwrite=True)


def test_files_in_the_way_are_kept(run, tmp_path):
    (tmp_path / "m.mtl").write_text("mine")
    with pytest.raises(ExportError, match=r"m\.mtl is there already"):
        export(run, tmp_path / "m.obj")
    assert (tmp_path / "m.mtl").read_text() == "mine"
    assert not (tmp_path / "m.obj").exists()
    (tmp_path / "d.stl").mkdir()
    with pytest.raises(ExportError, match="is a folder"):
        export(run, tmp_path / "d.stl", overwrite=True)
    with pytest.raises(ExportError, match="is the mesh to export"):
        export(run, run / "mesh.glb", overwrite=True)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("m.fbx", {}, "does not end in a mesh format"),
        ("m", {}, "does not end in a mesh format"),
        ("m.glb", {"file_format": "stl"}, r"does not end in \.stl"),
        ("m.stl", {"texture": 512}, "holds no texture: leave out --texture"),
        ("m.ply", {"material": "lit"}, "has no material: leave out --material"),
        ("m.glb", {"faces": 3}, "--faces must be at least 100"),
        ("m.glb", {"texture": 9000}, "--texture must be between 16 and 8192"),
        ("m.glb", {"height": float("nan")}, "--height must be between"),
        ("m.glb", {"material": "shiny"}, "--material wants unlit or lit"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(run, tmp_path, name, options, message):
    with pytest.raises(ExportError, match=message):
        export(run, tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


def test_more_faces_than_there_are_is_said(run, tmp_path):
    made = export(run, tmp_path / "m.glb", faces=100_000)
    assert made.notes == ("the mesh has 2048 faces already",)


def test_what_is_no_finished_run_is_refused(run, tmp_path):
    with pytest.raises(ExportError, match="does not exist"):
        export(tmp_path / "nothing", file_format="stl")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ExportError, match="holds no run"):
        export(tmp_path / "empty", file_format="stl")
    (tmp_path / "empty/config.json").write_bytes((run / "config.json").read_bytes())
    with pytest.raises(ExportError, match=r"no mesh yet\.\nFinish it:  xbind generate --resume"):
        export(tmp_path / "empty", file_format="stl")
    (tmp_path / "empty/mesh.glb").write_bytes((run / "mesh.glb").read_bytes()[:-9])
    with pytest.raises(UnreadableMesh, match="damaged"):
        export(tmp_path / "empty", file_format="stl")


def test_a_field_that_does_not_fit_is_refused_and_can_be_moved_away(tmp_path):
    method = config()["method"]
    method["texture"]["field"]["hidden"] = 16
    run = write_run(tmp_path / "run", method=method)
    with pytest.raises(RunError, match=r"does not fit(.|\n)*Move the folder checkpoints away"):
        export(run, tmp_path / "m.glb", texture=64)
    (run / "checkpoints").rename(run / "aside")
    made = export(run, tmp_path / "m.glb", texture=64)
    assert made.notes == ("texture resampled from that of 128 pixels",)


def test_a_run_without_phase_3_is_exported_from_its_texture(tmp_path):
    run = write_run(tmp_path / "run", with_field=False)
    made = export(run, tmp_path / "m.glb", faces=300)
    assert made.notes == ("texture resampled from that of 128 pixels",)
    assert colour_error(tmp_path / "m.glb", field_colours()[1]) < 0.15
