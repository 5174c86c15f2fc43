"""Files are read back by trimesh (OBJ) and by hand from the glTF specification (GLB)."""

import errno
import json
import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from surfaces import cube_grid

from xbind.files import DiskError
from xbind.scene.mesh.baking import UnwrappedMesh, bake, unwrap
from xbind.scene.mesh.dmtet import DMTet
from xbind.scene.mesh.files import write_glb, write_obj
from xbind.scene.mesh.marching import marching_tetrahedra
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.mesh.placement import MeshFileError

SIZE = 256
GLTF_TYPES = {5123: "<u2", 5125: "<u4", 5126: "<f4"}


def colour_at(x):
    """Smooth, and unlike in all directions, so that any flip or swap of axes shows."""
    return 0.5 + 0.4 * torch.sin(x @ torch.tensor([[3.0, 0, 1], [0, 2, 1], [0, -1, 2]]) + 0.3)


@pytest.fixture(scope="module")
def mesh():
    grid = cube_grid(10)
    x = grid.vertices * torch.tensor([1.0, 1.3, 1.6]) - torch.tensor([0.1, 0, 0.05])
    return marching_tetrahedra(grid.vertices, x.norm(dim=1) - 0.8, grid.tets)


@pytest.fixture(scope="module")
def unwrapped(mesh):
    return unwrap(mesh, SIZE)


@pytest.fixture(scope="module")
def texture(unwrapped):
    return bake(unwrapped, colour_at, SIZE)


def read_glb(path):
    """Attributes, indices, material and image of the one primitive in a GLB file."""
    data = path.read_bytes()
    magic, version, length, json_length, json_type = struct.unpack_from("<4sII I4s", data)
    assert (magic, version, length, json_type) == (b"glTF", 2, len(data), b"JSON")
    document = json.loads(data[20 : 20 + json_length])
    binary = data[28 + json_length :]

    def view(index):
        v = document["bufferViews"][index]
        start = v.get("byteOffset", 0)
        return binary[start : start + v["byteLength"]]

    def array(index):
        a = document["accessors"][index]
        width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}[a["type"]]
        values = np.frombuffer(view(a["bufferView"]), GLTF_TYPES[a["componentType"]])
        return values[: a["count"] * width].reshape(a["count"], width)

    assert all(
        "matrix" not in n or n["matrix"] == list(np.eye(4).ravel()) for n in document["nodes"]
    )
    (primitive,) = document["meshes"][0]["primitives"]
    attributes = {name: array(k) for name, k in primitive["attributes"].items()}
    image = Image.open(BytesIO(view(document["images"][0]["bufferView"])))
    faces = array(primitive["indices"]).reshape(-1, 3)
    return attributes, faces, document["materials"][primitive["material"]], np.asarray(image)


def bilinear(image, u, v_down):
    """Texture filtering as renderers do it: texel centres at (i + ½) / size."""
    x, y = u * image.shape[1] - 0.5, v_down * image.shape[0] - 0.5
    column, row = (np.clip(np.floor(t).astype(int), 0, SIZE - 2) for t in (x, y))
    fx, fy = np.clip(x - column, 0, 1)[:, None], np.clip(y - row, 0, 1)[:, None]
    a, b, c, d = (image[row + i, column + j] / 255 for i in (0, 1) for j in (0, 1))
    return (a * (1 - fx) + b * fx) * (1 - fy) + (c * (1 - fx) + d * fx) * fy


def assert_colours_round_trip(positions_y_up, uv_down, faces, image):
    weights = np.random.default_rng(0).dirichlet([1, 1, 1], 20 * len(faces))[..., None]
    picked = np.tile(faces, (20, 1))
    position = (positions_y_up[picked] * weights).sum(1)
    u, v = (uv_down[picked] * weights).sum(1).T
    world = torch.tensor(position[:, [2, 0, 1]]).float()
    error = np.abs(bilinear(image, u, v) - colour_at(world).numpy())
    assert error.mean() < 0.004
    assert error.max() < 0.06  # half a texel beyond a chart's border, times the steepest slope


def test_unwrapping_keeps_the_surface(mesh, unwrapped):
    assert torch.equal(unwrapped.vertices[unwrapped.faces], mesh.vertices[mesh.faces])
    smooth = mesh.vertex_normals()
    assert torch.equal(unwrapped.normals[unwrapped.faces], smooth[mesh.faces])
    assert unwrapped.uv.min() >= 0
    assert unwrapped.uv.max() <= 1
    a, b, c = unwrapped.uv[unwrapped.faces].unbind(1)
    b, c = b - a, c - a
    share = (b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0]).abs().sum() / 2
    assert 0.3 < share < 1


def test_unwrapping_is_reproducible(mesh, unwrapped):
    again = unwrap(mesh, SIZE)
    assert torch.equal(again.uv, unwrapped.uv)
    assert torch.equal(again.faces, unwrapped.faces)


def test_the_gutter_holds_no_colour_of_its_own(unwrapped):
    texture = bake(unwrapped, lambda x: torch.tensor([0.25, 2.0, -1.0]).expand(len(x), 3), 64)
    assert texture.unique(dim=0).shape[0] == 1
    assert texture[0, 0].tolist() == [64, 255, 0]


def test_triangles_between_texel_centres_keep_their_colour():
    # Four texels: the top left one holds a triangle that misses its centre, the bottom right one
    # is covered, and the two others are empty.
    uv = torch.tensor([[0.05, 0.05], [0.2, 0.05], [0.05, 0.2], [0.5, 0.5], [1, 0.5], [0.5, 1]])
    vertices = torch.cat([torch.zeros(3, 3), torch.ones(3, 3)])
    faces = torch.arange(6).view(2, 3)
    part = UnwrappedMesh(vertices, faces, torch.zeros(6, 3), uv)
    texture = bake(part, lambda x: 0.2 + 0.6 * x, 2)
    assert texture[0, 0].tolist() == [51] * 3
    assert texture[1, 1].tolist() == [204] * 3


def test_slivers_do_not_become_charts():
    # A step in density makes a noisy surface: 44 % more vertices if it is unwrapped as it is.
    half = 0.8 * torch.ones(3)

    def density_at(x):
        return 200 * torch.sigmoid((0.6 - x.norm(dim=1)) / 0.01)

    mesh = DMTet.from_density(density_at, -half, half, 14, threshold=10.0, smoothing=3).extract()
    assert len(unwrap(mesh, SIZE).uv) < 1.2 * len(mesh.vertices)  # copies along seams only


def test_glb_round_trip(tmp_path, mesh, unwrapped, texture):
    path = tmp_path / "new" / "mesh.glb"
    write_glb(path, unwrapped, texture)
    attributes, faces, material, image = read_glb(path)
    assert np.array_equal(image, texture.numpy())
    assert_colours_round_trip(attributes["POSITION"], attributes["TEXCOORD_0"], faces, image)
    assert material.get("doubleSided", False) is False
    surface = material["pbrMetallicRoughness"]
    assert surface["metallicFactor"] == 0
    assert surface["roughnessFactor"] == 1
    assert surface.get("baseColorFactor", [1, 1, 1, 1]) == [1, 1, 1, 1]
    assert len(attributes["POSITION"]) == len(unwrapped.vertices)
    normals = unwrapped.normals.numpy()[:, [1, 2, 0]]
    np.testing.assert_allclose(attributes["NORMAL"], normals, atol=1e-6)
    loaded = trimesh.load(path, force="mesh")
    assert loaded.volume == pytest.approx(mesh.volume().item(), rel=1e-5)
    write_glb(tmp_path / "again.glb", unwrapped, texture)
    assert (tmp_path / "again.glb").read_bytes() == path.read_bytes()


def test_obj_round_trip(tmp_path, mesh, unwrapped, texture):
    write_obj(tmp_path, unwrapped, texture)
    assert {p.name for p in tmp_path.iterdir()} == {"mesh.obj", "mesh.mtl", "texture.png"}
    loaded = trimesh.load(tmp_path / "mesh.obj", process=False, maintain_order=True)
    uv_down = loaded.visual.uv * [1, -1] + [0, 1]
    image = np.asarray(loaded.visual.material.image.convert("RGB"))
    assert np.array_equal(image, texture.numpy())
    assert_colours_round_trip(loaded.vertices, uv_down, loaded.faces, image)
    assert loaded.volume == pytest.approx(mesh.volume().item(), rel=1e-5)
    lines = (tmp_path / "mesh.obj").read_text().splitlines()
    normals = [line.split()[1:] for line in lines if line.startswith("vn ")]
    expected = unwrapped.normals.numpy()[:, [1, 2, 0]]
    np.testing.assert_allclose(np.array(normals, float), expected, atol=1e-3)


def test_the_front_faces_plus_z_and_the_top_plus_y(tmp_path):
    corners = torch.tensor([[1.0, 0, 0], [0, 0.2, 0], [0, 0, 0.5]])  # front, left, top
    part = unwrap(Mesh(corners, torch.tensor([[0, 1, 2]])), 64)
    write_glb(tmp_path / "m.glb", part, torch.zeros(64, 64, 3, dtype=torch.uint8))
    positions = read_glb(tmp_path / "m.glb")[0]["POSITION"]
    rows = {tuple(round(float(x), 3) for x in p) for p in positions}
    assert rows == {(0, 0, 1), (0.2, 0, 0), (0, 0.5, 0)}


def test_a_full_disk_leaves_the_old_file(tmp_path, unwrapped, texture, monkeypatch):
    path = tmp_path / "mesh.glb"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(DiskError, match=r"mesh\.glb .*No space left"):
        write_glb(path, unwrapped, texture)
    assert [p.name for p in tmp_path.iterdir()] == ["mesh.glb"]
    assert path.read_bytes() == b"old"


def test_a_folder_that_is_a_file(tmp_path, unwrapped, texture):
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(DiskError, match=r"mesh\.mtl|texture\.png"):
        write_obj(tmp_path / "out", unwrapped, texture)


def test_nothing_to_export():
    empty = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64))
    with pytest.raises(MeshFileError, match="0 faces"):
        unwrap(empty, SIZE)
