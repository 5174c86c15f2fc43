"""A GLB as a viewer shows it."""

import pytest
import torch
from PIL import Image

from tests.support.spheres import sphere
from xbind.scene.cameras import orbit
from xbind.scene.mesh.baking import bake, unwrap
from xbind.scene.mesh.files import write_glb
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.mesh.textured import UnreadableMesh, read_glb

VIEWS = 8


def compass(points):
    """Red towards +x (the front), green towards +y, blue elsewhere; a white top."""
    x, y, z = points.unbind(1)
    colour = torch.zeros(len(points), 3)
    colour[:, 2] = 1
    colour[x > 0.25] = torch.tensor([1.0, 0, 0])
    colour[y > 0.25] = torch.tensor([0.0, 1, 0])
    colour[z > 0.4] = 1.0
    return colour


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    path = tmp_path_factory.mktemp("mesh") / "mesh.glb"
    unwrapped = unwrap(Mesh(*sphere(3, 0.5)), 256)
    write_glb(path, unwrapped, bake(unwrapped, compass, 256))
    return read_glb(path)


def test_a_glb_is_seen_the_right_way_round(seen):
    image = seen.views(orbit(VIEWS, elevation_deg=15.0), 64).image
    middle = image[:, :, 32, 32]
    want = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]])
    torch.testing.assert_close(middle[:: VIEWS // 4], want, atol=0.02, rtol=0)
    above = image[0, :, 17, 32]  # row 0 is the top
    torch.testing.assert_close(above, torch.ones(3), atol=0.02, rtol=0)
    assert torch.equal(image[:, :, 0, 0], torch.ones(VIEWS, 3))


def test_faces_are_counted_and_seams_are_no_gaps(seen):
    assert len(seen.mesh.faces) == 8 * 4**3
    assert seen.components == 1


def test_every_other_view(seen):
    views = seen.views(orbit(VIEWS), 32)
    assert torch.equal(views.every(2).image, views.image[[0, 2, 4, 6]])
    assert torch.equal(views.every(2).mask, views.mask[[0, 2, 4, 6]])


def test_what_is_no_textured_mesh_is_refused(tmp_path):
    bad = tmp_path / "mesh.glb"
    with pytest.raises(UnreadableMesh, match="does not exist"):
        read_glb(bad)
    bad.write_bytes(b"glTF nonsense")
    with pytest.raises(UnreadableMesh, match=r"not a mesh with a texture(.|\n)*--resume"):
        read_glb(bad)
    Image.new("RGB", (4, 4)).save(tmp_path / "picture.png")
    (tmp_path / "picture.png").rename(bad)
    with pytest.raises(UnreadableMesh):
        read_glb(bad)
