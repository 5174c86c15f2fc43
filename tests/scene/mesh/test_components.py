"""Connected parts, on shapes that are put together from known ones."""

import torch
from surfaces import cube, icosahedron

from xbind.scene.mesh.components import component_report, keep_dominant_component
from xbind.scene.mesh.mesh import Mesh


def union(*meshes):
    offsets = [sum(len(m.vertices) for m in meshes[:k]) for k in range(len(meshes))]
    return Mesh(
        torch.cat([m.vertices for m in meshes]),
        torch.cat([m.faces + n for m, n in zip(meshes, offsets, strict=True)]),
    )


def scattered():
    """A cube with a cavity, a floater beside it, and a vertex that nothing uses."""
    floater = Mesh(0.1 * icosahedron().vertices + 3, icosahedron().faces)
    cavity = Mesh(0.5 * cube().vertices, cube().faces.flip(1))
    unused = Mesh(torch.zeros(1, 3, dtype=torch.float64), torch.zeros(0, 3, dtype=torch.int64))
    return union(floater, unused, cavity, cube())


def test_report_is_sorted_and_signed():
    outer, cavity, floater = component_report(scattered())
    assert (outer.faces, outer.area, outer.volume) == (12, 24.0, 8.0)
    assert (cavity.faces, cavity.area, cavity.volume) == (12, 6.0, -1.0)
    assert floater.faces == 20
    torch.testing.assert_close(floater.volume, icosahedron().volume().item() * 1e-3)


def test_keeps_the_largest_area_and_its_gradient():
    mesh = scattered()
    mesh.vertices.requires_grad_()
    kept = keep_dominant_component(mesh)
    assert torch.equal(kept.vertices, cube().vertices)
    assert torch.equal(kept.faces, cube().faces)
    (gradient,) = torch.autograd.grad(kept.volume(), mesh.vertices)
    assert torch.equal(gradient.abs().sum(1).nonzero()[:, 0], torch.arange(21, 29))


def test_an_empty_mesh_stays_empty():
    empty = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64))
    assert keep_dominant_component(empty).is_empty
    assert component_report(empty) == ()
