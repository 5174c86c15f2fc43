"""`interpolate`: linear in the attributes, affine in (u, v)."""

import pytest
import torch

from xbind.kernels import interpolate, rasterize
from xbind.kernels.errors import KernelError

impls = pytest.mark.parametrize("impl", ["reference", "numba"])


@pytest.fixture
def scene(rng):
    """A raster of loose triangles in two views."""
    clip = torch.randn(2, 30, 4, generator=rng) * torch.tensor([1, 1, 0.3, 0.2]) + torch.eye(4)[3]
    faces = torch.randperm(30, generator=rng).view(10, 3)
    rast = rasterize(clip, faces, (11, 9), impl="reference")
    assert 0.3 < (rast[..., 3] > 0).float().mean() < 0.95
    return rast, faces


@impls
@pytest.mark.parametrize("shared", [True, False])
def test_forward_matches_a_loop(impl, shared, scene, rng):
    rast, faces = scene
    attributes = torch.randn(*(() if shared else (2,)), 30, 5, generator=rng)
    got = interpolate(attributes, rast, faces, impl=impl)
    for view, row, column in torch.cartesian_prod(*(torch.arange(n) for n in rast.shape[:3])):
        u, v, _, face = rast[view, row, column].double().tolist()
        values = (attributes if shared else attributes[view]).double()
        want = torch.zeros(5)
        if face:
            a, b, c = values[faces[int(face) - 1]]
            want = (c + u * (a - c) + v * (b - c)).float()
        torch.testing.assert_close(got[view, row, column], want, rtol=1e-5, atol=1e-6)


@impls
@pytest.mark.parametrize("shared", [True, False])
def test_gradient_of_attributes_is_the_transpose(impl, shared, scene, rng):
    rast, faces = scene
    attributes, other = torch.randn(2, *(() if shared else (2,)), 30, 5, generator=rng)
    attributes.requires_grad_()
    out_bar = torch.randn(*rast.shape[:3], 5, generator=rng)
    out = interpolate(attributes, rast, faces, impl=impl)
    (attributes_bar,) = torch.autograd.grad(out, attributes, out_bar)
    assert attributes_bar.shape == attributes.shape
    ahead = interpolate(other, rast, faces, impl="reference")  # out is linear: ⟨A x, ȳ⟩ = ⟨x, Aᵀ ȳ⟩
    torch.testing.assert_close((attributes_bar * other).sum(), (ahead * out_bar).sum())


@impls
def test_gradient_of_weights_is_the_slope(impl, scene, rng):
    rast, faces = scene
    attributes = torch.randn(30, 5, generator=rng)
    out_bar = torch.randn(*rast.shape[:3], 5, generator=rng)
    rast.requires_grad_()
    (rast_bar,) = torch.autograd.grad(
        interpolate(attributes, rast, faces, impl=impl), rast, out_bar
    )
    seen = rast.detach()[..., 3] > 0
    for k in range(4):
        step = torch.zeros(4)
        step[k] = 0.25 if k < 2 else 0  # exact for any step: the map is affine in u and v
        ahead, back = (
            interpolate(
                attributes, rast.detach() + s * step * seen[..., None], faces, impl="reference"
            )
            for s in (1, -1)
        )
        slope = ((ahead - back) * out_bar).sum(-1) / 0.5
        torch.testing.assert_close(rast_bar[..., k], slope, rtol=1e-4, atol=1e-4)


@impls
def test_what_is_not_a_number_shows_in_its_own_faces(impl, scene, rng):
    rast, faces = scene
    rast.requires_grad_()
    is_five = rast[..., 3] == 5
    assert is_five.any()
    attributes = torch.randn(30, 2, generator=rng)
    attributes[faces[4, 1], 0] = torch.nan
    attributes.requires_grad_()
    out = interpolate(attributes, rast, faces, impl=impl)
    assert torch.equal(out[..., 0].isnan(), is_five)
    assert out[..., 1].isfinite().all()
    bars = torch.autograd.grad(out, (attributes, rast), torch.ones_like(out), retain_graph=True)
    assert bars[0].isfinite().all()
    assert torch.equal(bars[1][..., :2].isnan().any(-1), is_five)
    out_bar = torch.where(is_five[..., None], torch.nan, 1.0).expand_as(out)
    (attributes_bar,) = torch.autograd.grad(out, attributes, out_bar)
    assert attributes_bar.isnan().all(-1).nonzero()[:, 0].tolist() == sorted(faces[4].tolist())
    assert attributes_bar.isnan().sum() == 6


@impls
def test_nothing_is_seen(impl, rng):
    attributes = torch.randn(3, 2, generator=rng).requires_grad_()
    faces, rast = torch.zeros(0, 3, dtype=torch.int64), torch.zeros(1, 4, 5, 4)
    out = interpolate(attributes, rast.requires_grad_(), faces, impl=impl)
    assert torch.equal(out, torch.zeros(1, 4, 5, 2))
    bars = torch.autograd.grad(out, (attributes, rast), torch.ones_like(out))
    assert not any(bar.any() for bar in bars)


def test_refuses_a_raster_of_other_faces(scene, rng):
    rast, faces = scene
    seen = int(rast[..., 3].max())
    with pytest.raises(KernelError, match=f"shows face {seen - 1}, but there are only {seen - 1}"):
        interpolate(torch.randn(30, 2, generator=rng), rast, faces[: seen - 1])
    broken = rast.clone()
    broken[0, 0, 0, 3] = torch.nan
    with pytest.raises(KernelError, match="shows face nan"):
        interpolate(torch.randn(30, 2, generator=rng), broken, faces)
    with pytest.raises(KernelError, match="name vertices 0 to 19"):
        interpolate(torch.randn(20, 2, generator=rng), rast, faces)
