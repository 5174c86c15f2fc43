"""The texture's layout beside Phase III: the same layout, and failures where it is asked for."""

from threading import current_thread, main_thread

import pytest
import torch

from tests.support.spheres import sphere
from xbind.algorithm.surface import FrozenShape
from xbind.algorithm.surface_phase import SurfacePhase
from xbind.config.method import TextureConfig
from xbind.run import unwrap_ahead
from xbind.run.unwrap_ahead import UnwrapAhead
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.mesh.placement import MeshFileError

CONFIG = TextureConfig(texture_px=64)


def phase_of(mesh):
    phase = SurfacePhase.__new__(SurfacePhase)
    phase.shape = FrozenShape(mesh)
    return phase


@pytest.fixture
def threads(monkeypatch):
    """Whether each call was in another thread."""
    seen, unwrap = [], unwrap_ahead.unwrap

    def noting(*words):
        seen.append(current_thread() is not main_thread())
        return unwrap(*words)

    monkeypatch.setattr(unwrap_ahead, "unwrap", noting)
    return seen


def test_two_threads_give_the_layout_of_one(threads):
    mesh, layouts = Mesh(*sphere(2)), []
    for count in (1, 2):
        with UnwrapAhead(CONFIG, count) as ahead:
            ahead.phase_started(phase_of(mesh))
            layouts.append(ahead.result(mesh))
    assert threads == [False, True]
    one, two = layouts
    for name in ("vertices", "faces", "normals", "uv"):
        assert torch.equal(getattr(one, name), getattr(two, name))


def test_a_run_that_goes_on_after_phase_three_is_unwrapped_when_asked(threads):
    mesh = Mesh(*sphere(1))
    with UnwrapAhead(CONFIG, 2) as ahead:
        assert ahead.result(mesh).faces.shape == mesh.faces.shape
    assert threads == [False]


def test_a_mesh_without_faces_is_refused_where_it_is_used():
    empty = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64))
    with UnwrapAhead(CONFIG, 2) as ahead:
        ahead.phase_started(phase_of(empty))
        with pytest.raises(MeshFileError, match="0 faces"):
            ahead.result(empty)
