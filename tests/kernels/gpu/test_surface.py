"""The surface operators on a GPU without nvdiffrast, against their definitions."""

import pytest
import torch
from spheres import sphere

from xbind.kernels import antialias, interpolate, rasterize

SIZE = (20, 26)
SMALL = (9, 14)
"""For what need not be tried on many pixels: the interpreter is slow."""


def project(vertices, distance, focal):
    """Seen from `distance` along +z."""
    x, y, z = vertices.unbind(-1)
    w = distance - z
    return torch.stack([focal * x, focal * y, w - 1 / w, w], -1)


@pytest.fixture
def scene(rng):
    """Two views of a rough closed ball in front of open, loose triangles: clip, faces."""
    ball, faces = sphere(1, 0.6)
    ball = ball * (1 + 0.15 * torch.randn(len(ball), 1, generator=rng))
    loose = torch.randn(24, 3, generator=rng) * torch.tensor([1, 1, 0.3]) - torch.tensor([0, 0, 1])
    vertices = torch.cat([ball, loose])
    faces = torch.cat([faces, len(ball) + torch.arange(24).view(-1, 3)])
    clip = torch.stack([project(vertices, 2.5, 2.0), project(vertices[:, [1, 2, 0]], 2.0, 2.0)])
    clip[:, -1, 3] = -0.5  # one corner behind the camera
    return clip, faces


def both(operator, inputs, others, bar, device, **options):
    """Value and gradients of the definition and of the form for `device`, on the CPU."""
    results = []
    for impl, where in (("reference", "cpu"), ("triton", device)):
        leaves = [x.detach().to(where).requires_grad_() for x in inputs]
        fixed = [x.to(where) if isinstance(x, torch.Tensor) else x for x in others]
        value = operator(*leaves, *fixed, impl=impl, **options)
        bars = torch.autograd.grad(value, leaves, bar.to(where))
        results.append([x.detach().cpu() for x in (value, *bars)])
    return results


def test_rasterize(scene, device, rng):
    clip, faces = scene
    bar = torch.randn(2, *SIZE, 4, generator=rng)
    want, got = both(rasterize, [clip], [faces, SIZE], bar, device)
    assert torch.equal(got[0][..., 3], want[0][..., 3])
    assert (got[0][..., 3] > 0).float().mean() > 0.2
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 5])
@pytest.mark.parametrize("shared", [True, False])
def test_interpolate(channels, shared, scene, device, rng):
    clip, faces = scene
    rast = rasterize(clip, faces, SIZE)
    rast = rast.transpose(1, 2).contiguous().transpose(1, 2)
    attributes = torch.randn(channels, clip.shape[1], generator=rng).T
    attributes = attributes if shared else torch.stack([attributes, attributes.flip(0)])

    def operator(attributes, rast, faces, impl):
        return interpolate(attributes, rast, faces, impl=impl)

    bar = torch.randn(channels, 2, *SIZE, generator=rng).permute(1, 2, 3, 0)
    want, got = both(operator, [attributes, rast], [faces], bar, device)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_antialias(channels, scene, device, rng):
    clip, faces = scene
    rast = rasterize(clip, faces, SIZE)
    image = torch.randn(channels, 2, *SIZE, generator=rng).permute(1, 2, 3, 0)

    def operator(image, clip, rast, faces, impl):
        return antialias(image, rast, clip, faces, impl=impl)

    bar = torch.randn(2, *SIZE, channels, generator=rng)
    want, got = both(operator, [image, clip], [rast, faces], bar, device)
    assert 0.05 < (got[0] != image).any(-1).float().mean() < 0.6
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


def test_antialias_gives_the_same_image_every_time(scene, device, rng):
    clip, faces = scene
    rast = rasterize(clip, faces, SMALL)
    image = torch.rand(2, *SMALL, 3, generator=rng).to(device).requires_grad_()
    inputs = [x.to(device) for x in (rast, clip, faces)]
    results = []
    for _ in range(2):
        out = antialias(image, *inputs, impl="triton")
        results.append((out, *torch.autograd.grad(out.square().sum(), image)))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_storage_of_colours(dtype, scene, device, rng):
    clip, faces = scene
    rast = rasterize(clip, faces, SMALL).to(device)
    attributes = torch.rand(clip.shape[1], 3, generator=rng).to(dtype).to(device)
    image = torch.rand(2, *SMALL, 3, generator=rng).to(dtype).to(device)
    clip, faces = clip.to(device), faces.to(device)
    step = torch.finfo(dtype).eps  # the interpreter cuts bfloat16 off where a GPU rounds
    attributes.requires_grad_()
    image.requires_grad_()

    value = interpolate(attributes, rast, faces, impl="triton")
    (bar,) = torch.autograd.grad(value.sum(), attributes)
    exact = attributes.detach().float().requires_grad_()
    want = interpolate(exact, rast, faces, impl="reference")
    (want_bar,) = torch.autograd.grad(want.sum(), exact)
    assert (value.dtype, bar.dtype) == (torch.float32, dtype)
    torch.testing.assert_close(value, want, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(bar.float(), want_bar, rtol=step, atol=1e-5)

    smooth = antialias(image, rast, clip, faces, impl="triton")
    (bar,) = torch.autograd.grad(smooth.float().square().sum(), image)
    exact = image.detach().float().requires_grad_()
    want = antialias(exact, rast, clip, faces, impl="reference")
    assert smooth.dtype == bar.dtype == dtype
    torch.testing.assert_close(smooth.float(), want, rtol=step, atol=1e-5)
    out_bar = (2 * smooth.detach().float()).to(dtype).float()
    (want_bar,) = torch.autograd.grad(want, exact, out_bar)
    torch.testing.assert_close(bar.float(), want_bar, rtol=2 * step, atol=2 * step)


def test_nothing_to_see(device):
    clip = torch.ones(2, 3, 4, device=device, requires_grad=True)
    faces = torch.zeros(0, 3, dtype=torch.int64, device=device)
    rast = rasterize(clip, faces, (4, 5), impl="triton")
    assert not rast.any()
    attributes = torch.ones(3, 2, device=device, requires_grad=True)
    values = interpolate(attributes, rast, faces, impl="triton")
    image = torch.rand(2, 4, 5, 3, device=device, requires_grad=True)
    out = antialias(image, rast, clip, faces, impl="triton")
    assert not values.any()
    assert torch.equal(out, image)
    bars = torch.autograd.grad(values.sum() + out.sum(), (attributes, image, clip))
    assert not bars[0].any()
    assert (bars[1] == 1).all()
    assert not bars[2].any()


def test_no_channels_and_no_views(device):
    clip, faces = torch.zeros(0, 3, 4, device=device), torch.tensor([[0, 1, 2]], device=device)
    rast = torch.zeros(0, 4, 5, 4, device=device)
    assert interpolate(torch.ones(3, 2, device=device), rast, faces, impl="triton").shape[0] == 0
    out = antialias(torch.zeros(0, 4, 5, 3, device=device), rast, clip, faces, impl="triton")
    assert out.shape == (0, 4, 5, 3)
    rast = torch.ones(1, 2, 2, 4, device=device, requires_grad=True)
    values = interpolate(torch.ones(3, 0, device=device), rast, faces, impl="triton")
    assert values.shape == (1, 2, 2, 0)
    (rast_bar,) = torch.autograd.grad(values.sum(), rast)
    assert not rast_bar.any()
