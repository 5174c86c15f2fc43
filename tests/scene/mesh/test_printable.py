"""STL is read back from its format's description, 3MF by the reference implementation, lib3mf."""

import struct
import zipfile

import numpy as np
import pytest
import torch
import trimesh

from tests.support.finished_runs import ball
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.mesh.placement import MeshFileError
from xbind.scene.mesh.printable import solid_in_millimetres, stl_bytes, threemf_bytes
from xbind.scene.mesh.simplify import simplify

SCALE = 0.08  # the egg is one scene unit high


def read_stl(data):
    """Triangles [f,3,3] of a binary STL: 80 bytes, a count, 50 bytes for each."""
    (count,) = struct.unpack_from("<I", data, 80)
    assert len(data) == 84 + 50 * count
    rows = np.frombuffer(data, np.dtype([("n", "<3f4"), ("v", "<9f4"), ("a", "<u2")]), offset=84)
    triangles = rows["v"].reshape(-1, 3, 3)
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    assert (np.einsum("fc,fc->f", normals, rows["n"]) > 0).all()
    return triangles


def test_stl_is_a_closed_solid_in_millimetres_on_the_plate():
    mesh = simplify(ball(4), 500)
    triangles = read_stl(stl_bytes(solid_in_millimetres(mesh, SCALE)))
    assert len(triangles) == len(mesh.faces)
    low, high = triangles.min((0, 1)), triangles.max((0, 1))
    np.testing.assert_allclose(high - low, [48, 64, 80], rtol=0.02)  # our y, x, z
    assert low[2] == 0
    np.testing.assert_allclose((low + high)[:2], 0, atol=1e-4)
    places, corners = np.unique(triangles.reshape(-1, 3), axis=0, return_inverse=True)
    solid = trimesh.Trimesh(places, corners.reshape(-1, 3), process=False)
    assert solid.is_watertight
    assert solid.volume == pytest.approx(float(mesh.volume()) * (1000 * SCALE) ** 3, rel=1e-4)


def test_the_front_faces_the_near_edge_of_the_plate():
    """A nose towards the scene's front (+x) points to −y, and what is left (+y) to +x."""
    mesh = ball(3)
    vertices = mesh.vertices.clone()
    front, left = vertices[:, 0].argmax(), vertices[:, 1].argmax()
    vertices[front, 0] += 0.3
    vertices[left, 1] += 0.2
    solid = solid_in_millimetres(Mesh(vertices, mesh.faces), SCALE)
    assert int(solid.vertices[:, 1].argmin()) == int(front)
    assert int(solid.vertices[:, 0].argmax()) == int(left)


def test_3mf_is_read_by_the_reference_implementation(tmp_path):
    lib3mf = pytest.importorskip("lib3mf")
    solid = solid_in_millimetres(ball(3), SCALE)
    path = tmp_path / "m.3mf"
    path.write_bytes(threemf_bytes(solid, 'a <red> & "round" mug'))
    wrapper = lib3mf.get_wrapper()
    model = wrapper.CreateModel()
    reader = model.QueryReader("3mf")
    reader.SetStrictModeActive(True)
    reader.ReadFromFile(str(path))
    assert reader.GetWarningCount() == 0
    assert model.GetUnit() == lib3mf.ModelUnit.MilliMeter
    objects = model.GetMeshObjects()
    assert objects.MoveNext()
    found = objects.GetCurrentMeshObject()
    assert not objects.MoveNext()
    assert model.GetBuildItems().MoveNext()
    assert found.IsManifoldAndOriented()
    assert found.GetName() == 'a <red> & "round" mug'
    vertices = np.array([list(v.Coordinates) for v in found.GetVertices()], np.float32)
    faces = np.array([list(t.Indices) for t in found.GetTriangleIndices()])
    np.testing.assert_array_equal(vertices, solid.vertices.numpy())
    np.testing.assert_array_equal(faces, solid.faces.numpy())


def test_the_same_mesh_gives_the_same_bytes(tmp_path):
    solid = solid_in_millimetres(ball(2), SCALE)
    assert threemf_bytes(solid, "x") == threemf_bytes(solid, "x")
    (tmp_path / "m.3mf").write_bytes(threemf_bytes(solid, "x"))
    with zipfile.ZipFile(tmp_path / "m.3mf") as package:
        assert package.testzip() is None


def changed(change):
    mesh = ball(2)
    return Mesh(*change(mesh.vertices.clone(), mesh.faces.clone()))


@pytest.mark.parametrize(
    ("mesh", "message"),
    [
        (lambda v, f: (v, f[1:]), "not closed: 3 sides"),
        (lambda v, f: (v, f.flip(1)), "not all wound outwards"),
        (lambda v, f: (v, torch.cat([f[:1].flip(1), f[1:]])), "not all wound outwards"),
        (lambda v, f: (v * torch.tensor([1.0, 0.0, 1.0]), f), "coincide|wound outwards"),
        (lambda v, f: (torch.cat([v, v[:1]]), f), "1 vertices of the mesh coincide"),
    ],
)
def test_what_a_slicer_would_repair_is_refused(mesh, message):
    with pytest.raises(MeshFileError, match=message):
        solid_in_millimetres(changed(mesh), SCALE)
