"""The device's search for the nearest face against the CPU's: the same face at every pixel."""

import pytest
import torch
from scenes import SCENES

from xbind.kernels import rasterize
from xbind.kernels.surface import gpu_rasterize


@pytest.fixture(autouse=True)
def few_programs(device, monkeypatch):
    """The interpreter takes milliseconds for each program of the grid, idle ones included."""
    if device == "cpu":
        monkeypatch.setattr(gpu_rasterize, "LARGE_PROGRAMS", 4)
        monkeypatch.setattr(gpu_rasterize, "SLICES", 1)


UNSEEN = {"behind", "beyond both planes", "edge on"}


def both(clip, faces, size, device):
    """The rasters of numba and of Triton, on the CPU."""
    want = rasterize(clip, faces, size, impl="numba")
    return want, rasterize(clip.to(device), faces.to(device), size, impl="triton").cpu()


@pytest.mark.parametrize("name", SCENES)
def test_sees_the_cpus_face_at_every_pixel(name, device):
    clip, faces, size = SCENES[name]
    want, got = both(clip, faces, size, device)
    assert torch.equal(got[..., 3], want[..., 3])
    torch.testing.assert_close(got[..., :3], want[..., :3], rtol=1e-5, atol=1e-6)
    assert bool(want[..., 3].any()) == (name not in UNSEEN)


@pytest.mark.parametrize("limit", [0, 1, 10**6])
@pytest.mark.parametrize("name", ["loose", "closed surface", "not finite"])
def test_small_and_large_triangles_take_the_same_decisions(name, limit, device, monkeypatch):
    """With a limit of 0 every triangle is large, with 10⁶ every one is small."""
    monkeypatch.setattr(gpu_rasterize, "LANE_PIXELS", limit)
    clip, faces, size = SCENES[name]
    want, got = both(clip, faces, size, device)
    assert torch.equal(got[..., 3], want[..., 3])


@pytest.mark.parametrize("grid", [(3, 2), (40, 5)])
def test_programs_share_the_large_triangles(grid, device, monkeypatch):
    """Fewer programs than large triangles, and more; fewer slices than tiles of a triangle."""
    monkeypatch.setattr(gpu_rasterize, "LARGE_PROGRAMS", grid[0])
    monkeypatch.setattr(gpu_rasterize, "SLICES", grid[1])
    for name in ("covers all", "closed surface"):
        want, got = both(*SCENES[name], device)
        assert torch.equal(got[..., 3], want[..., 3])


def test_the_gradient_passes_through_what_is_seen(device, rng):
    clip, faces, size = SCENES["closed surface"]
    bar = torch.randn(1, *size, 4, generator=rng)
    bars = []
    for impl, where in (("numba", "cpu"), ("triton", device)):
        leaf = clip.to(where).requires_grad_()
        rast = rasterize(leaf, faces.to(where), size, impl=impl)
        bars.append(torch.autograd.grad(rast, leaf, bar.to(where))[0].cpu())
    assert bars[0].abs().max() > 1
    torch.testing.assert_close(bars[1], bars[0], rtol=1e-4, atol=1e-5)


def test_nothing_to_see_and_no_pixels(device):
    clip, faces = torch.ones(2, 3, 4, device=device), torch.tensor([[0, 1, 2]], device=device)
    assert not rasterize(clip, faces[:0], (4, 5), impl="triton").any()
    assert rasterize(clip[:0], faces, (4, 5), impl="triton").shape == (0, 4, 5, 4)
    assert rasterize(clip, faces, (0, 5), impl="triton").shape == (2, 0, 5, 4)
