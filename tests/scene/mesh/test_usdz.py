"""USDZ is read back, and validated, by the reference implementation (usd-core)."""

import io
import json
import struct
import warnings
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.finished_runs import ABOUT, ball, gradient
from xbind.scene.mesh.baking import bake, unwrap
from xbind.scene.mesh.files import FileInfo
from xbind.scene.mesh.placement import place, y_up
from xbind.scene.mesh.usdz import usdz_bytes


@pytest.fixture(scope="module")
def surface():
    unwrapped = unwrap(ball(3), 64)
    return unwrapped, bake(unwrapped, gradient, 64)


@pytest.fixture(scope="module")
def pxr():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("pxr.Usd"), pytest.importorskip("pxr.UsdGeom")


def written(path, surface, material="unlit"):
    placement = place(surface[0].vertices, "base", 0.2)
    path.write_bytes(usdz_bytes(*surface, FileInfo(material, placement, ABOUT)))
    return placement


def test_the_reference_implementation_reads_what_was_written(tmp_path, surface, pxr):
    usd, geom = pxr
    placement = written(tmp_path / "m.usdz", surface)
    stage = usd.Stage.Open(str(tmp_path / "m.usdz"))
    assert geom.GetStageUpAxis(stage) == "Y"
    assert geom.GetStageMetersPerUnit(stage) == 1
    mesh = geom.Mesh(stage.GetDefaultPrim().GetChild("Surface"))
    unwrapped = surface[0]
    points = np.array(mesh.GetPointsAttr().Get())
    np.testing.assert_array_equal(points, placement.apply(y_up(unwrapped.vertices)))
    np.testing.assert_allclose(np.ptp(points, axis=0), [0.12, 0.2, 0.16], rtol=1e-5)
    faces = np.array(mesh.GetFaceVertexIndicesAttr().Get()).reshape(-1, 3)
    np.testing.assert_array_equal(faces, unwrapped.faces.numpy())
    places = np.array(geom.PrimvarsAPI(mesh).GetPrimvar("st").Get())
    np.testing.assert_allclose(places, unwrapped.uv.numpy() * [1, -1] + [0, 1], atol=1e-6)
    about = json.loads(stage.GetRootLayer().customLayerData["xbind"])
    assert about == {**ABOUT, "material": "unlit"}


@pytest.mark.parametrize("material", ["unlit", "lit"])
def test_every_validator_of_the_reference_implementation_passes(tmp_path, surface, pxr, material):
    usd, _ = pxr
    validation = pytest.importorskip("pxr.UsdValidation")
    written(tmp_path / "m.usdz", surface, material)
    stage = usd.Stage.Open(str(tmp_path / "m.usdz"))
    validators = validation.ValidationRegistry().GetOrLoadAllValidators()
    assert len(validators) > 20
    found = validation.ValidationContext(validators).Validate(stage)
    assert [error.GetErrorAsString() for error in found] == []
    shader = stage.GetPrimAtPath("/Root/Look/Shader")
    emits = shader.GetAttribute("inputs:emissiveColor").HasAuthoredConnections()
    assert emits == (material == "unlit")


def test_files_are_not_compressed_and_start_at_multiples_of_64(tmp_path, surface):
    written(tmp_path / "m.usdz", surface)
    data = (tmp_path / "m.usdz").read_bytes()
    with zipfile.ZipFile(tmp_path / "m.usdz") as package:
        entries = package.infolist()
        texture = np.array(Image.open(io.BytesIO(package.read(entries[1]))))
    assert entries[0].filename.endswith(".usda")
    for entry in entries:
        name, extra = struct.unpack_from("<HH", data, entry.header_offset + 26)
        assert (entry.header_offset + 30 + name + extra) % 64 == 0
        assert entry.compress_type == zipfile.ZIP_STORED
    assert torch.equal(torch.from_numpy(texture), surface[1])
