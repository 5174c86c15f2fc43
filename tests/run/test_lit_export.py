"""Exports of runs whose light is known: albedo, shown colours and materials, from one another."""

import re

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from tests.support import khronos
from tests.support.finished_runs import LIGHT, write_lit_run
from xbind.run.export import export
from xbind.run.mesh_source import read_source
from xbind.scene.cameras import orbit
from xbind.scene.mesh.gltf import light_in, read_document, with_checksum
from xbind.scene.mesh.textured import UnreadableMesh, read_glb

BYTE = 1 / 255


@pytest.fixture(scope="module", params=["unlit", "lit"])
def run(request, tmp_path_factory):
    """Albedo under a light; the run's own files are of the parameter's material."""
    return write_lit_run(tmp_path_factory.mktemp("runs") / "mug", material=request.param)


@pytest.fixture(scope="module")
def metal(tmp_path_factory):
    return write_lit_run(tmp_path_factory.mktemp("runs") / "mug", material="lit", pbr=True)


def texels(path):
    """Colours in the middles of a GLB's faces, their places and their normals."""
    read = read_glb(path)
    faces = read.mesh.faces
    middles, uv = read.mesh.corners().mean(1), read.uv[faces].mean(1)
    size = read.texture.shape[-1]
    columns, rows = (uv * torch.tensor([1, -1]) + torch.tensor([0, 1])).mul(size).long().unbind(1)
    at = (rows.clamp(0, size - 1), columns.clamp(0, size - 1))
    normals = torch.nn.functional.normalize(read.smooth_normals()[faces].mean(1), dim=1)
    return read, [x[0, :, *at].T for x in (read.texture, read.surface_map) if x is not None], (
        middles, normals
    )  # fmt: skip


@pytest.mark.parametrize("material", ["unlit", "lit"])
@pytest.mark.parametrize("options", [{}, {"texture": 256}, {"faces": 900}])
def test_each_material_holds_its_own_texture(run, tmp_path, material, options):
    folder, appearance = run
    export(folder, tmp_path / "m.glb", material=material, **options)
    _, [colours], (middles, normals) = texels(tmp_path / "m.glb")
    want = appearance.base_at(middles)
    if material == "unlit":
        want = want * LIGHT.on(normals)[:, None]
    assert (colours - want).abs().mean() < 0.02
    assert light_in(read_document((tmp_path / "m.glb").read_bytes())) == LIGHT


@pytest.mark.parametrize("options", [{}, {"texture": 96}, {"faces": 900}])
def test_without_a_field_one_texture_follows_from_the_other(run, tmp_path, options):
    folder, appearance = run
    (tmp_path / "bare.glb").write_bytes((folder / "mesh.glb").read_bytes())
    source = read_source(tmp_path / "bare.glb")
    other = {"unlit": "lit", "lit": "unlit"}[source.material]
    export(tmp_path / "bare.glb", tmp_path / "m.glb", material=other, **options)
    _, [colours], (middles, normals) = texels(tmp_path / "m.glb")
    want = appearance.base_at(middles)
    if other == "unlit":
        want = want * LIGHT.on(normals)[:, None]
    assert (colours - want).abs().mean() < 0.03


def test_an_object_looks_the_same_whichever_texture_it_has(run, tmp_path):
    """What a judge is shown does not depend on the material that was asked for."""
    folder, _ = run
    views = []
    for material in ("unlit", "lit"):
        export(folder, tmp_path / f"{material}.glb", material=material)
        views.append(read_glb(tmp_path / f"{material}.glb").views(orbit(3), 48).image)
    assert (views[0] - views[1]).abs().mean() < BYTE
    shown = read_glb(tmp_path / "lit.glb")
    assert shown.light == LIGHT
    albedo = (shown.texture - read_glb(tmp_path / "unlit.glb").texture).abs().mean()
    assert albedo > 0.05  # the textures themselves differ


@pytest.mark.parametrize("name", ["m.obj", "m.usdz"])
def test_other_formats_hold_the_same_textures(run, tmp_path, name):
    folder, _ = run
    for material in ("unlit", "lit"):
        export(folder, tmp_path / f"{material}.glb", material=material)
        export(folder, tmp_path / name, material=material, overwrite=True)
        want = (read_glb(tmp_path / f"{material}.glb").texture[0] * 255).round().byte()
        if name == "m.obj":
            image = np.asarray(Image.open(tmp_path / "m.png"))
            assert np.array_equal(image, want.movedim(0, -1).numpy())
            assert not (tmp_path / "m_roughness.png").exists()


def test_a_material_has_its_map(metal, tmp_path):
    folder, appearance = metal
    export(folder, tmp_path / "m.glb", texture=256)
    read, (base, matter), (middles, _) = texels(tmp_path / "m.glb")
    want = appearance.material_at(middles)
    assert (base - want.base_colour).abs().mean() < 0.02
    assert (matter[:, 1] - want.roughness).abs().mean() < 0.02
    assert (matter[:, 2] - want.metalness).abs().mean() < 0.02
    assert not matter[:, 0].any()
    assert want.roughness.std() > 0.05  # the field has a pattern
    (look,) = read_document((tmp_path / "m.glb").read_bytes())["materials"]
    surface = look["pbrMetallicRoughness"]
    assert surface["baseColorTexture"]["index"] != surface["metallicRoughnessTexture"]["index"]
    assert surface.get("metallicFactor", 1) == surface.get("roughnessFactor", 1) == 1
    assert read.light == LIGHT


def test_a_material_without_its_field_is_resampled(metal, tmp_path):
    folder, appearance = metal
    (tmp_path / "bare.glb").write_bytes((folder / "mesh.glb").read_bytes())
    export(tmp_path / "bare.glb", tmp_path / "m.glb", texture=96)
    _, (base, matter), (middles, _) = texels(tmp_path / "m.glb")
    want = appearance.material_at(middles)
    assert (base - want.base_colour).abs().mean() < 0.03
    assert (matter[:, 1] - want.roughness).abs().mean() < 0.03


@pytest.mark.parametrize("with_field", [True, False])
def test_the_unlit_texture_of_a_material_shows_it(metal, tmp_path, with_field):
    folder, appearance = metal
    source = folder
    if not with_field:
        source = tmp_path / "bare.glb"
        source.write_bytes((folder / "mesh.glb").read_bytes())
    export(source, tmp_path / "m.glb", material="unlit", texture=256 if with_field else None)
    read, [colours], (middles, normals) = texels(tmp_path / "m.glb")
    assert (colours - appearance.seen(middles, normals)).abs().mean() < 0.03
    assert read.surface_map is None
    # no base colours follow from it, so it names no light
    assert light_in(read_document((tmp_path / "m.glb").read_bytes())) is None


def test_a_judge_sees_a_material_under_its_sky(metal, tmp_path):
    folder, _ = metal
    export(folder, tmp_path / "unlit.glb", material="unlit")
    seen = [read_glb(p).views(orbit(2), 48) for p in (folder / "mesh.glb", tmp_path / "unlit.glb")]
    # gloss as seen from the camera, against gloss as seen along the normal
    assert (seen[0].image - seen[1].image).abs().mean() < 0.03
    assert not torch.equal(seen[0].image, seen[1].image)
    plain = read_glb(folder / "mesh.glb")
    without = type(plain)(plain.mesh, plain.uv, plain.texture).views(orbit(2), 48)
    assert (seen[0].image - without.image).abs().mean() > 0.02


def test_an_obj_of_a_material_has_its_maps_beside_it(metal, tmp_path):
    folder, _ = metal
    made = export(folder, tmp_path / "my mug.obj")
    names = ["my mug.obj", "my_mug.mtl", "my_mug.png", "my_mug_roughness.png",
             "my_mug_metalness.png"]  # fmt: skip
    assert [path.name for path in made.files] == names
    lines = made.files[1].read_text().splitlines()
    assert {"map_Pr my_mug_roughness.png", "map_Pm my_mug_metalness.png"} <= set(lines)
    grey = Image.open(made.files[3])
    assert grey.mode == "L"
    want = (read_glb(folder / "mesh.glb").surface_map[0, 1] * 255).round().byte()
    assert np.array_equal(np.asarray(grey), want.numpy())
    assert len(trimesh.load(made.files[0], process=False).faces) == made.faces
    export(folder, tmp_path / "my mug.obj", material="unlit", overwrite=True)
    assert "map_Pr" not in made.files[1].read_text()


@pytest.mark.parametrize("options", [{}, {"faces": 900}, {"material": "unlit"}])
def test_the_khronos_validator_has_nothing_to_say_of_a_material(metal, tmp_path, options):
    folder, _ = metal
    export(folder, tmp_path / "m.glb", **options)
    issues = khronos.validate(tmp_path / "m.glb")["issues"]
    assert {k: issues[k] for k in issues if k.startswith("num")} == {
        "numErrors": 0, "numWarnings": 0, "numInfos": 0, "numHints": 0
    }  # fmt: skip


def test_usd_reads_a_material_s_map(metal, tmp_path):
    usd = pytest.importorskip("pxr.Usd")
    folder, _ = metal
    made = export(folder, tmp_path / "m.usdz")
    stage = usd.Stage.Open(str(made.files[0]))
    shader = stage.GetPrimAtPath("/Root/Look/Shader")
    for name, channel in (("roughness", "g"), ("metallic", "b")):
        (path,) = shader.GetAttribute(f"inputs:{name}").GetConnections()
        assert str(path) == f"/Root/Look/Map.outputs:{channel}"
    kept = stage.GetPrimAtPath("/Root/Look/Map")
    assert kept.GetAttribute("inputs:sourceColorSpace").Get() == "raw"
    asset = kept.GetAttribute("inputs:file").Get()
    assert asset.path == "textures/material.png"
    assert asset.resolvedPath


def test_a_damaged_light_is_refused(metal, tmp_path):
    folder, _ = metal
    bad, good = (f'"ambient":{ambient}'.encode() for ambient in (LIGHT.ambient + 9, LIGHT.ambient))
    document = (folder / "mesh.glb").read_bytes()
    assert document.count(good) == 1
    blank = re.sub(rb'"sha256":"[0-9a-f]{64}"', b'"sha256":"' + 64 * b"0" + b'"', document)
    (tmp_path / "m.glb").write_bytes(with_checksum(blank.replace(good, bad)))
    with pytest.raises(UnreadableMesh, match=r"ambient is 9\.3"):
        read_glb(tmp_path / "m.glb")
