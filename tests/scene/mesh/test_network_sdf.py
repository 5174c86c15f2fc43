"""A network of signed distances: its ellipsoid in closed form, its gradient by differences."""

import math

import numpy as np
import pytest
import torch

from xbind.config.scene import FieldConfig
from xbind.scene.mesh.network_sdf import NetworkSdf, ellipsoid_distance
from xbind.scene.mesh.tet_shape import EmptySurface

FIELD = FieldConfig(resolutions=(4, 8), log2_entries=10, hidden=8)
RADII = (0.5, 0.4, 0.3)


def shape(rng, *, radii=RADII, resolution=20, field=FIELD):
    return NetworkSdf(field, radii, 0.7, resolution, generator=rng)


def test_it_begins_as_the_ellipsoid(rng):
    mesh = shape(rng, resolution=28).extract()
    assert mesh.volume().item() == pytest.approx(4 / 3 * math.pi * 0.5 * 0.4 * 0.3, rel=0.02)
    want = torch.nn.functional.normalize(mesh.vertices / torch.tensor(RADII) ** 2, dim=1)
    cosine = (mesh.vertex_normals() * want).sum(1)
    assert cosine.mean() > 0.995
    assert (cosine > 0.97).float().mean() > 0.99
    scaled = (mesh.vertices / torch.tensor(RADII)).norm(dim=1)
    torch.testing.assert_close(scaled, torch.ones_like(scaled), atol=0.02, rtol=0)


def test_the_distance_to_a_sphere_is_exact(rng):
    x = torch.randn(100, 3, generator=rng, dtype=torch.float64)
    torch.testing.assert_close(ellipsoid_distance(x, (0.4,) * 3), x.norm(dim=1) - 0.4)
    centre = ellipsoid_distance(torch.zeros(1, 3), RADII)
    assert centre.item() == pytest.approx(-0.3)


def test_the_distance_to_an_ellipsoid_is_right_near_it(rng):
    """The nearest of many points of the surface is as far away as the formula says."""
    unit = np.random.default_rng(0).normal(size=(400_000, 3))
    surface = unit / np.linalg.norm(unit, axis=1, keepdims=True) * RADII
    on, normal = surface[:20], surface[:20] / np.square(RADII)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    for offset in (-0.03, 0.03):
        x = on + offset * normal
        true = [np.linalg.norm(surface - p, axis=1).min() for p in x]
        found = ellipsoid_distance(torch.from_numpy(x), RADII).numpy()
        assert (np.sign(found) == np.sign(offset)).all()
        np.testing.assert_allclose(np.abs(found), true, atol=0.004)


def test_the_centre_does_not_stop_the_gradient():
    x = torch.zeros(1, 3, requires_grad=True)
    (bar,) = torch.autograd.grad(ellipsoid_distance(x, RADII).sum(), x)
    assert bar.isfinite().all()


def test_the_volume_s_gradient_reaches_the_network(rng):
    module = shape(rng)
    with torch.no_grad():
        module.network.table.mul_(2000)
    last = module.network.heads[0][-1]

    def volume():
        return module.extract().volume()

    (bar,) = torch.autograd.grad(volume(), last)
    change = torch.zeros_like(last)
    for row in range(4):
        change[row] = torch.randn(change.shape[1], generator=rng)
        step = 2e-3 / change.abs().max()
        with torch.no_grad():
            last.add_(step * change)
            ahead = volume()
            last.sub_(2 * step * change)
            behind = volume()
            last.add_(step * change)
        want = ((ahead - behind) / (2 * step)).item()
        found = (bar * change).sum().item()
        assert found == pytest.approx(want, rel=0.05, abs=2e-4)
        change.zero_()


def test_signed_values_are_counted_in_cells(rng):
    """A first output of 1 moves the surface inwards by a cell."""
    module = shape(rng, radii=(0.5,) * 3)
    before = module.extract().vertices.norm(dim=1).mean()
    module.network.raw = lambda x, outputs: torch.tensor([1.0, 0, 0, 0]).expand(len(x), -1)
    after = module.extract().vertices.norm(dim=1).mean()
    assert (before - after).item() == pytest.approx(1.4 / 20, rel=0.02)
    module.network.raw = lambda x, outputs: torch.tensor([99.0, 0, 0, 0]).expand(len(x), -1)
    with pytest.raises(EmptySurface, match="Phase II, step 3"):
        module.extract("Phase II, step 3")


def test_a_state_is_loaded_again(rng):
    module = shape(rng)
    with torch.no_grad():
        module.network.table.mul_(3000)
    other = shape(rng)
    other.load_state_dict(module.state_dict())
    assert torch.equal(other.extract().vertices, module.extract().vertices)


@pytest.mark.parametrize(
    ("radii", "half_side", "match"),
    [((0.5, 0.5, 0.8), 0.7, "radii"), ((0.5,) * 3, 0.9, "half_side")],
)
def test_shapes_that_do_not_fit_are_refused(rng, radii, half_side, match):
    with pytest.raises(ValueError, match=match):
        NetworkSdf(FIELD, radii, half_side, 8, generator=rng)


@pytest.mark.parametrize("separate", [False, True])
def test_heads_may_be_separate(rng, separate):
    field = FieldConfig(
        resolutions=(4, 8), log2_entries=8, hidden=8, hidden_layers=2, separate_heads=separate
    )
    module = shape(rng, field=field)
    module.extract().volume().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())
