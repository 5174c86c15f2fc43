"""`rasterize` against a ray tracer in float64."""

import importlib.util

import numpy as np
import pytest
import torch
from raycast import raycast

from xbind.kernels import rasterize
from xbind.kernels.errors import KernelError

impls = pytest.mark.parametrize("impl", ["reference", "numba"])
SIZE = (13, 18)
DECIDED = 1e-4
"""Pixels that float32 vertices decide by less than this are not compared."""


def soup(seed, triangles=24):
    """Loose triangles; a third reach behind the camera, some lie beyond z/w = ±1."""
    rng = torch.Generator().manual_seed(seed)
    corners = torch.randn(3 * triangles, 4, generator=rng)
    corners[:, 3] += 1.0
    corners[:, 2] *= corners[:, 3].abs()
    return corners, torch.arange(3 * triangles).view(-1, 3)


def views(*seeds):
    clip = torch.stack([soup(seed)[0] for seed in seeds])
    return clip, soup(0)[1]


@impls
def test_sees_what_rays_hit(impl):
    clip, faces = views(0, 1, 2)
    # Nothing of these is to be seen: repeated corner, no area in the image, not finite, behind.
    behind = torch.tensor([[0.0, 0, 0, -1], [1, 0, 0, -1], [0, 1, 0, -2]])
    line = torch.tensor([[-0.5, -0.5, 0, 1], [0, 0, 0, 1], [0.5, 0.5, 0, 1]])
    broken = torch.tensor([[torch.nan, 0, 0, 1], [1, 0, 0, 1], [torch.inf, 1, 0, 1]])
    extra = torch.cat([behind, line, broken]).expand(3, -1, -1)
    clip = torch.cat([extra, clip], 1)
    faces = torch.cat([torch.tensor([[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 10]]), faces + 9])

    rast = rasterize(clip, faces, SIZE, impl=impl)

    want, margin = (np.stack(x) for x in zip(*(raycast(c, faces, SIZE) for c in clip), strict=True))
    decided = torch.from_numpy(margin > DECIDED)
    assert decided.float().mean() > 0.9
    assert (rast[..., 3] > 4).float().mean() > 0.3
    torch.testing.assert_close(
        rast[decided], torch.from_numpy(want[decided]).float(), rtol=0, atol=2e-5
    )
    background = rast[..., 3] == 0
    assert not rast[background].any()


@impls
def test_gradient_matches_finite_differences_of_rays(impl):
    clip, faces = views(3)
    _, margin = raycast(clip[0], faces, SIZE)
    rng = torch.Generator().manual_seed(4)
    bar = torch.randn(*SIZE, 4, generator=rng).double()
    bar[torch.from_numpy(margin < 0.02)] = 0  # there, a step could change who is seen
    bar[..., 3] = 0

    clip.requires_grad_()
    (clip_bar,) = torch.autograd.grad(
        rasterize(clip, faces, SIZE, impl=impl), clip, bar[None].float()
    )

    seen = clip_bar[0].abs().sum(-1).argsort(descending=True)[:4]
    for vertex in seen.tolist():
        for k in range(4):
            step = np.zeros((len(clip[0]), 4))
            step[vertex, k] = 1e-6
            exact = clip[0].detach().double().numpy()
            ahead, back = (raycast(exact + s * step, faces, SIZE)[0] for s in (1, -1))
            slope = (torch.from_numpy(ahead - back) / 2e-6 * bar).sum()
            torch.testing.assert_close(clip_bar[0, vertex, k].double(), slope, rtol=2e-4, atol=1e-3)


@impls
def test_row_zero_is_at_negative_y_and_pixels_are_sampled_at_centres(impl):
    # A rectangle over columns 1 and 2 of row 0 that stops short of the next centres.
    x0, x1, y0, y1 = -0.26, 0.74, -1.0, -0.51  # centres at −0.75, −0.25, 0.25, 0.75
    clip = torch.tensor([[x0, y0, 0, 1], [x1, y0, 0, 1], [x1, y1, 0, 1], [x0, y1, 0, 1]])
    rast = rasterize(clip[None], torch.tensor([[0, 1, 2], [0, 2, 3]]), (4, 4), impl=impl)
    want = torch.zeros(4, 4, dtype=torch.bool)
    want[0, 1:3] = True
    assert torch.equal(rast[0, ..., 3] > 0, want)


@impls
def test_floor_that_reaches_behind_the_camera_fills_the_image_to_its_horizon(impl):
    clip = torch.tensor([[0.0, -100.0, 0, -300], [-900, 75, 0, 150], [900, 75, 0, 150]])
    rast = rasterize(clip[None], torch.tensor([[0, 1, 2]]), (9, 9), impl=impl)
    want, margin = raycast(clip, [[0, 1, 2]], (9, 9))
    assert margin.min() > 1e-3
    assert 0 < (want[..., 3] > 0).sum() < 81
    torch.testing.assert_close(rast[0], torch.from_numpy(want).float(), rtol=0, atol=1e-6)


@impls
def test_triangle_seen_exactly_edge_on_is_not_drawn(impl, rng):
    # Corners that add up to zero, exactly: they lie in one plane with the eye, one of them behind
    # it. The weights ⅓, ⅓, ⅓ are then all positive at every pixel and only rounding is left of w.
    first = torch.randint(-(2**22), 2**22, (20, 2, 4), generator=rng).float() / 2**21
    clip = torch.cat([first, -first.sum(1, keepdim=True)], 1) * torch.tensor([1, 1, 0, 1])
    rast = rasterize(clip.view(1, 60, 4), torch.arange(60).view(20, 3), (8, 8), impl=impl)
    assert not rast.any()


@impls
def test_a_sheet_of_triangles_has_no_gaps(impl):
    n = 8  # every corner on a pixel centre: all sides pass through centres
    grid = torch.stack(torch.meshgrid(torch.arange(n + 1), torch.arange(n + 1), indexing="ij"), -1)
    at = (2 * grid.reshape(-1, 2) + 1) / (n + 1) - 1
    w = 1 + 0.3 * torch.rand(len(at), 1, generator=torch.Generator().manual_seed(0))
    clip = torch.cat([at * w, 0 * w, w], -1)
    corner = (torch.arange(n)[:, None] * (n + 1) + torch.arange(n)).flatten()
    quads = corner[:, None] + torch.tensor([0, 1, n + 2, n + 1])
    faces = torch.cat([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    for height, width in ((n + 1, n + 1), (n, n), (31, 37)):
        rast = rasterize(clip[None], faces, (height, width), impl=impl)
        row, column = (
            ((2 * torch.arange(pixels) + 1) / pixels - 1).abs() < at.max() - 1e-5
            for pixels in (height, width)
        )
        assert (rast[0, ..., 3] > 0)[row][:, column].all()


@impls
def test_lower_face_wins_a_tie(impl):
    clip = torch.tensor([[-3.0, -3, 0, 1], [3, -3, 0, 1], [0, 3, 0, 1]])
    faces = torch.tensor([[0, 1, 2], [1, 2, 0], [2, 1, 0]])
    rast = rasterize(clip[None], faces, (3, 3), impl=impl)
    assert set(rast[..., 3].unique().tolist()) <= {0.0, 1.0}
    assert rast[0, 1, 1, 3] == 1


@impls
@pytest.mark.parametrize(("b", "v", "f"), [(2, 0, 0), (1, 3, 0)])
def test_nothing_to_see(impl, b, v, f):
    clip = torch.ones(b, v, 4, requires_grad=True)
    rast = rasterize(clip, torch.arange(3 * f).view(f, 3), (4, 5), impl=impl)
    assert rast.shape == (b, 4, 5, 4)
    assert not rast.any()
    (clip_bar,) = torch.autograd.grad(rast.sum(), clip)
    assert not clip_bar.any()


@pytest.mark.parametrize("threads", [1, 2])
def test_views_do_not_depend_on_each_other(threads, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    clip, faces = views(5, 6, 7)
    clip.requires_grad_()
    bar = torch.randn(3, *SIZE, 4, generator=torch.Generator().manual_seed(0))
    together = rasterize(clip, faces, SIZE)
    (bar_together,) = torch.autograd.grad(together, clip, bar)
    for k in range(3):
        alone = rasterize(clip[k : k + 1], faces.int(), SIZE)
        (bar_alone,) = torch.autograd.grad(alone, clip, bar[k : k + 1])
        assert torch.equal(together[k], alone[0])
        assert torch.equal(bar_together[k], bar_alone[k])


def test_refuses_what_it_cannot_do(monkeypatch):
    clip, faces = views(0)
    with pytest.raises(KernelError, match="name vertices 0 to 71, but they name 1 to 72"):
        rasterize(clip, faces + 1, SIZE)
    with pytest.raises(KernelError, match=r"float32 on the CPU, found torch\.float64"):
        rasterize(clip.double(), faces, SIZE)
    with pytest.raises(KernelError, match="in float32 or float64, found"):
        rasterize(clip.half(), faces, SIZE)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(KernelError, match=r"(?s)is not installed.*pip install .*nvdiffrast"):
        rasterize(clip, faces, SIZE, impl="nvdiffrast")
    with pytest.raises(KernelError, match=r"(?s)triton is not installed.*pip install triton"):
        rasterize(clip, faces, SIZE, impl="triton")
