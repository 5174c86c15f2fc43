"""Material, sampler, targets, metadata and checksum of a GLB, by hand from the specification."""

import json
import struct

import numpy as np
import pytest
import torch
import trimesh

from tests.support.spheres import sphere
from xbind.scene.cameras import orbit
from xbind.scene.mesh.baking import bake, unwrap
from xbind.scene.mesh.files import FileInfo, write_glb, write_obj
from xbind.scene.mesh.gltf import DamagedGlb, read_document
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.mesh.placement import place
from xbind.scene.mesh.textured import UnreadableMesh, read_glb

ABOUT = {"prompt": {"text": 'a "red"\nmug', "image": "my photo.png"}, "seed": 7, "bundle": "mini"}


@pytest.fixture(scope="module")
def surface():
    """A ball off the centre, with a texture that differs on all sides."""
    mesh = Mesh(*sphere(3, 0.4))
    mesh = Mesh(mesh.vertices + torch.tensor([0.1, -0.05, 0.2]), mesh.faces)
    unwrapped = unwrap(mesh, 64)
    return unwrapped, bake(unwrapped, lambda x: 0.5 + x, 64)


def written(path, surface, *, material="unlit", pivot="base", height=None):
    placement = place(surface[0].vertices, pivot, height)
    write_glb(path, *surface, FileInfo(material, placement, ABOUT))
    return path


def document_of(path):
    data = path.read_bytes()
    (size,) = struct.unpack_from("<I", data, 12)
    return json.loads(data[20 : 20 + size])


def test_an_unlit_material_is_declared_with_a_fallback(tmp_path, surface):
    document = document_of(written(tmp_path / "m.glb", surface))
    assert document["extensionsUsed"] == ["KHR_materials_unlit"]
    assert "extensionsRequired" not in document  # a viewer without it shows the fallback
    (material,) = document["materials"]
    assert material["extensions"] == {"KHR_materials_unlit": {}}
    assert material["pbrMetallicRoughness"]["roughnessFactor"] == 1
    assert material["pbrMetallicRoughness"]["metallicFactor"] == 0


def test_a_lit_material_has_no_extension(tmp_path, surface):
    document = document_of(written(tmp_path / "m.glb", surface, material="lit"))
    assert "extensionsUsed" not in document
    assert "extensions" not in document["materials"][0]
    assert document["scenes"][0]["extras"]["xbind"]["material"] == "lit"


def test_the_sampler_clamps_and_buffer_views_have_targets(tmp_path, surface):
    document = document_of(written(tmp_path / "m.glb", surface))
    (texture,) = document["textures"]
    sampler = document["samplers"][texture["sampler"]]
    assert sampler == {"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}
    (primitive,) = document["meshes"][0]["primitives"]
    views, accessors = document["bufferViews"], document["accessors"]

    def target(accessor):
        return views[accessors[accessor]["bufferView"]]["target"]

    assert target(primitive["indices"]) == 34963
    assert {name: target(k) for name, k in primitive["attributes"].items()} == {
        "POSITION": 34962, "NORMAL": 34962, "TEXCOORD_0": 34962,
    }  # fmt: skip
    assert "target" not in views[document["images"][0]["bufferView"]]


def test_metadata_says_where_the_object_came_from(tmp_path, surface):
    path = written(tmp_path / "m.glb", surface)
    document = document_of(path)
    assert document["asset"]["generator"].startswith("xbind ")
    about = document["scenes"][0]["extras"]["xbind"]
    assert about.items() >= ABOUT.items()
    assert f"xbind {about['version']}" == document["asset"]["generator"]
    assert trimesh.load(path).metadata["xbind"] == about


@pytest.mark.parametrize(("pivot", "height"), [("base", None), ("center", 0.05), ("base", 300.0)])
def test_the_scene_comes_back_from_any_placement(tmp_path, surface, pivot, height):
    path = written(tmp_path / "m.glb", surface, pivot=pivot, height=height)
    bounds = trimesh.load(path, force="mesh").bounds
    assert bounds[1, 1] - bounds[0, 1] == pytest.approx(height or 0.8, rel=1e-6)
    if pivot == "base":
        assert bounds[0, 1] == 0
        np.testing.assert_allclose(bounds.mean(0)[[0, 2]], 0, atol=1e-6 * (height or 1))
    else:
        np.testing.assert_allclose(bounds.mean(0), 0, atol=1e-6)
    read = read_glb(path)
    torch.testing.assert_close(read.mesh.vertices, surface[0].vertices, atol=2e-7, rtol=0)
    assert read.components == 1  # seams are welded as before
    write_glb(tmp_path / "plain.glb", *surface)
    plain = read_glb(tmp_path / "plain.glb").views(orbit(2, elevation_deg=15.0), 48)
    seen = read.views(orbit(2, elevation_deg=15.0), 48)
    torch.testing.assert_close(seen.image, plain.image, atol=2e-3, rtol=0)


def test_obj_and_glb_are_the_same_object(tmp_path, surface):
    path = written(tmp_path / "m.glb", surface, height=0.1)
    placement = place(surface[0].vertices, "base", 0.1)
    write_obj(tmp_path, *surface, FileInfo("unlit", placement, ABOUT))
    one = trimesh.load(path, force="mesh", process=False)
    other = trimesh.load(tmp_path / "mesh.obj", process=False, maintain_order=True)
    np.testing.assert_allclose(other.vertices, one.vertices, rtol=1e-6, atol=1e-8)
    assert np.array_equal(other.faces, one.faces)


@pytest.mark.parametrize(("material", "illum"), [("unlit", "0"), ("lit", "1")])
def test_mtl_says_whether_it_is_lit(tmp_path, surface, material, illum):
    write_obj(tmp_path, *surface, FileInfo(material))
    lines = (tmp_path / "mesh.mtl").read_text().splitlines()
    entries = dict(line.split(" ", 1) for line in lines if not line.startswith("#"))
    assert entries["illum"] == illum
    assert (entries["Kd"], entries["map_Kd"]) == ("1 1 1", "texture.png")
    assert any("show it unlit" in line for line in lines) == (material == "unlit")


def test_no_text_becomes_a_line_of_obj(tmp_path, surface):
    text = "x\nmtllib evil\u2028mtllib evil\x85mtllib evil\\"
    write_obj(tmp_path, *surface, FileInfo(about={"prompt": {"text": text}}))
    content = (tmp_path / "mesh.obj").read_text()
    assert content.isascii()
    lines = content.splitlines()
    assert [line for line in lines if line.startswith("mtllib")] == ["mtllib mesh.mtl"]
    [comment] = [line for line in lines if line.startswith("# prompt: ")]
    assert json.loads(comment.removeprefix("# prompt: ")) == {"text": text}


def test_any_changed_byte_is_found(tmp_path, surface):
    path = written(tmp_path / "m.glb", surface)
    data = path.read_bytes()
    (size,) = struct.unpack_from("<I", data, 12)
    harmless = 0
    for place_of_flip in range(0, len(data), 37):
        flipped = bytearray(data)
        flipped[place_of_flip] ^= 1 << place_of_flip % 8
        path.write_bytes(flipped)
        try:
            read_glb(path)
        except UnreadableMesh:
            continue
        harmless += 1  # in the name of the checksum itself, so the mesh is whole
        assert b'"sha256"' not in flipped[20 : 20 + size]
    assert harmless <= 2


@pytest.mark.parametrize("cut", [0, 3, 15, 19, 400, -1])
def test_a_file_cut_short_is_refused(tmp_path, surface, cut):
    path = written(tmp_path / "m.glb", surface)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(UnreadableMesh, match="not a mesh with a texture, or is damaged"):
        read_glb(path)


def test_files_of_other_programs_have_no_checksum(tmp_path, surface):
    path = written(tmp_path / "m.glb", surface)
    scene = trimesh.load(path)
    scene.export(tmp_path / "again.glb")  # keeps the scene's extras, not the asset's
    read_document((tmp_path / "again.glb").read_bytes())
    again = read_glb(tmp_path / "again.glb")
    middle = again.mesh.vertices.mean(0)
    torch.testing.assert_close(middle, surface[0].vertices.mean(0), atol=0.02, rtol=0)


def without_checksum(path, change):
    """Rewrite the document of a GLB after a change, as another program would."""
    data = path.read_bytes()
    document, (size,) = document_of(path), struct.unpack_from("<I", data, 12)
    del document["asset"]["extras"]
    change(document)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    rest = data[20 + size :]
    head = struct.pack("<4sIII4s", b"glTF", 2, 20 + len(text) + len(rest), len(text), b"JSON")
    path.write_bytes(head + text + rest)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["meshes"][0]["primitives"][0]["attributes"].pop("TEXCOORD_0"), "damaged"),
        (lambda d: d["accessors"][0].update(count=0), "damaged"),
        (lambda d: d["scenes"][0]["extras"]["xbind"].update(placement=3), "no placement: 3"),
        (lambda d: d["accessors"][1].update(count=3), "vertices that it does not have|damaged"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path, surface, change, message):
    path = written(tmp_path / "m.glb", surface)
    without_checksum(path, lambda document: None)
    read_glb(path)
    without_checksum(written(path, surface), change)
    with pytest.raises(UnreadableMesh, match=message):
        read_glb(path)


def test_bytes_of_another_kind():
    with pytest.raises(DamagedGlb, match="no glTF"):
        read_document(b"\x89PNG" + bytes(60))
