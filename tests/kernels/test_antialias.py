"""`antialias` against coverage known in closed form."""

import math

import pytest
import torch
from spheres import sphere

from xbind.kernels import antialias, edge_table, rasterize

SIZE = (24, 30)
"""Even, because the ball has corners at x = 0, where an odd image would have pixel centres."""

impls = pytest.mark.parametrize("impl", ["reference", "numba"])


def rectangle(left, right, top, bottom, size, depth=0.0):
    """A rectangle with sides in pixels (pixel 0 spans 0 to 1), tilted in depth for good measure."""
    x = torch.stack([left, right, right, left]) * 2 / size[1] - 1
    y = torch.stack([top, top, bottom, bottom]) * 2 / size[0] - 1
    w = torch.tensor([1.0, 2.0, 1.5, 0.7])
    z = torch.full((4,), depth)
    clip = torch.stack([x, y, z, torch.ones(4)], -1) * w[:, None]
    return clip, torch.tensor([[0, 1, 2], [0, 2, 3]])


def coverage(clip, faces, size, impl, table=None):
    rast = rasterize(clip, faces, size, impl=impl)
    hard = (rast[..., 3:] > 0).to(clip.dtype)
    return antialias(hard, rast, clip, faces, table=table, impl=impl)[..., 0]


@impls
@pytest.mark.parametrize("offset", [0.03, 0.31, 0.5, 0.52, 0.97])
def test_edges_along_the_grid_are_covered_exactly(impl, offset):
    sides = torch.tensor([2.0 + offset, 8.0 - offset / 3, 1.0 + offset / 2, 6.0 + offset])
    clip, faces = rectangle(*sides, (9, 11))
    got = coverage(clip[None], faces, (9, 11), impl)[0]

    def overlap(low, high, count):
        pixel = torch.arange(count)
        return (torch.minimum(high, pixel + 1.0) - torch.maximum(low, pixel * 1.0)).clamp(0, 1)

    left, right, top, bottom = sides
    want = overlap(top, bottom, 9)[:, None] * overlap(left, right, 11)
    # A corner pixel is blended for one of its two edges at most: only the sides are exact.
    for row, column in ((0, slice(3, 7)), (slice(2, 6), slice(None)), (slice(None), slice(3, 7))):
        torch.testing.assert_close(got[row, column], want[row, column], rtol=0, atol=2e-6)


@impls
def test_area_grows_with_an_edge_by_the_edges_length(impl):
    size = (12, 13)
    sides = torch.tensor([2.3, 9.6, 3.0, 10.0], requires_grad=True)  # top and bottom between pixels
    clip, faces = rectangle(*sides, size)
    area = coverage(clip[None], faces, size, impl).sum()
    torch.testing.assert_close(area.detach(), torch.tensor(7.3 * 7.0))
    (sides_bar,) = torch.autograd.grad(area, sides)
    torch.testing.assert_close(sides_bar[:2], torch.tensor([-7.0, 7.0]))


@impls
def test_diagonal_edge_is_blended_once(impl):
    # The half-plane x + y < 10 − ⅛ (in pixels), its edge at exactly 45°.
    clip = torch.tensor([[-60.0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 1]])
    clip[:, :2] = (torch.tensor([[-40.0, -40.0], [49.875, -40.0], [-40.0, 49.875]]) / 5) - 1
    got = coverage(clip[None], torch.tensor([[0, 1, 2]]), (10, 10), impl)[0]
    pixel = torch.arange(10)
    beyond = pixel[:, None] + pixel + 1 - 9.875  # signed distance along x of a centre to the edge
    want = (0.5 - beyond).clamp(0, 1)  # what one pair blends along its row
    # The pixels of the first column have no neighbour on their left to share its colour.
    torch.testing.assert_close(got[:, 1:], want[:, 1:], rtol=0, atol=1e-5)


def project(vertices, distance, focal):
    """Seen from `distance` along +z."""
    x, y, z = vertices.unbind(-1)
    w = distance - z
    return torch.stack([focal * x, focal * y, w - 1 / w.detach(), w], -1)


def test_outline_of_a_sphere_is_a_disc():
    """8192 triangles, most of them far smaller than a pixel."""
    size, distance, focal = 40, 3.0, 2.0
    vertices, faces = sphere(5, 1.0)
    scale = torch.ones((), requires_grad=True)
    clip = project(scale * vertices, distance, focal)[None]
    got = coverage(clip, faces, (size, size), "numba")[0]
    (growth,) = torch.autograd.grad(got.sum(), scale)

    def radius_px(radius):
        return size / 2 * focal * math.tan(math.asin(radius / distance))

    x = (torch.arange(32 * size) + 0.5) / 32 - size / 2
    inside = (x[:, None] ** 2 + x**2 < radius_px(1.0) ** 2).float()
    want = torch.nn.functional.avg_pool2d(inside[None], 32)[0]  # from 32² points per pixel
    edge = (want > 0) & (want < 1)
    error = (got.detach() - want).abs()
    assert error[~edge].max() < 0.02
    assert error[edge].mean() < 0.03  # 0.2 without antialiasing, 0.15 without the walk
    torch.testing.assert_close(got.sum().item(), math.pi * radius_px(1.0) ** 2, rtol=2e-3, atol=0)
    slope = math.pi * (radius_px(1.001) ** 2 - radius_px(0.999) ** 2) / 0.002
    torch.testing.assert_close(growth.item(), slope, rtol=0.05, atol=0)


def scene(rng):
    """Two views of a rough closed ball in front of open, loose triangles."""
    ball, faces = sphere(2, 0.6)
    ball = ball * (1 + 0.15 * torch.randn(len(ball), 1, generator=rng))
    loose = torch.randn(24, 3, generator=rng) * torch.tensor([1, 1, 0.3]) - torch.tensor(
        [0, 0, 1.0]
    )
    vertices = torch.cat([ball, loose])
    faces = torch.cat([faces, len(ball) + torch.arange(24).view(-1, 3)])
    clip = torch.stack([project(vertices, 2.5, 2.0), project(vertices[:, [1, 2, 0]], 2.0, 2.0)])
    clip[:, -1, 3] = -0.5  # one corner behind the camera
    return clip, faces


def test_numba_agrees_with_the_definition(rng):
    clip, faces = scene(rng)
    rast = rasterize(clip, faces, SIZE)
    image = torch.randn(2, *SIZE, 3, generator=rng)
    out_bar = torch.randn(2, *SIZE, 3, generator=rng)
    results = {}
    for impl in ("reference", "numba"):
        inputs = image.clone().requires_grad_(), clip.clone().requires_grad_()
        out = antialias(inputs[0], rast, inputs[1], faces, impl=impl)
        results[impl] = out.detach(), *torch.autograd.grad(out, inputs, out_bar)
    changed = (results["numba"][0] != image).any(-1)
    assert 0.05 < changed.float().mean() < 0.6
    for got, want in zip(results["numba"], results["reference"], strict=True):
        assert want.isfinite().all()
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


@impls
def test_gradient_matches_finite_differences(impl, rng):
    clip, faces = scene(rng)
    rast = rasterize(clip, faces, SIZE)
    image, out_bar = torch.randn(2, 2, *SIZE, 3, generator=rng)
    clip.requires_grad_()

    def loss(at):
        return (antialias(image, rast, at, faces, impl="reference") * out_bar).double().sum()

    got = antialias(image, rast, clip, faces, impl=impl)
    (clip_bar,) = torch.autograd.grad((got * out_bar).sum(), clip)
    image, out_bar, exact = image.double(), out_bar.double(), clip.detach().double()
    step = 1e-6 * torch.randn(clip.shape, generator=rng).double()
    slope = (loss(exact + step) - loss(exact - step)) / 2
    torch.testing.assert_close((clip_bar * step).sum(), slope, rtol=1e-3, atol=0)


@impls
def test_only_silhouettes_change(impl):
    vertices, faces = sphere(2, 1.0)
    clip = project(vertices, 3.0, 2.0)[None]
    rast = rasterize(clip, faces, (24, 24), impl=impl)
    each = torch.rand(len(faces) + 1, 3, generator=torch.Generator().manual_seed(0))
    image = each[rast[..., 3].long()]  # a colour per face: every face's border is a jump
    changed = (antialias(image, rast, clip, faces, impl=impl) != image).any(-1)[0]

    seen = rast[0, ..., 3] > 0
    spread = torch.nn.functional.max_pool2d(
        torch.stack([seen.float(), 1 - seen.float()]), 3, stride=1, padding=1
    )
    assert not changed[spread.min(0).values == 0].any()  # both kinds within a pixel's reach
    assert changed.sum() > 40
    grey = torch.full_like(image, 0.4)
    assert torch.equal(antialias(grey, rast, clip, faces, impl=impl), grey)


@impls
def test_a_ridge_is_a_silhouette_only_where_the_surface_folds_back(impl):
    # Two faces share the edge x = 4.3 px. Flat, it is nothing; folded over, it is an outline.
    size = (9, 9)
    at = torch.tensor([[4.3, 1.0], [4.3, 8.0], [1.0, 4.5], [8.0, 4.5]]) * 2 / 9 - 1
    faces = torch.tensor([[0, 1, 2], [1, 0, 3]])
    flat = torch.cat([at, torch.tensor([[0.0, 1]]).expand(4, -1)], -1)
    folded = flat.clone()
    folded[3, :2], folded[3, 2] = flat[2, :2] * 0.5, 0.5
    row = slice(4, 5)
    for clip, is_outline in ((flat, False), (folded, True)):
        rast = rasterize(clip[None], faces, size, impl=impl)
        image = (rast[..., 3:] == 1).float()
        out = antialias(image, rast, clip[None], faces, impl=impl)
        near = out[0, row, 3:6, 0] - image[0, row, 3:6, 0]
        assert near.any().item() is is_outline


@impls
def test_what_is_hidden_does_not_show(impl):
    size = (9, 9)
    front, faces = rectangle(*torch.tensor([1.2, 7.7, 1.2, 7.7]), size)
    back, _ = rectangle(*torch.tensor([3.3, 5.4, 3.3, 5.4]), size, depth=0.5)
    clip = torch.cat([front, back])[None]
    both = torch.cat([faces, faces + 4])
    torch.testing.assert_close(
        coverage(clip, both, size, impl), coverage(front[None], faces, size, impl)
    )


@impls
def test_an_edge_that_ends_behind_the_camera_is_left_alone(impl):
    # Seen: all above the edge at y = 8.4 px. The third corner's mirror image lies below it.
    clip = torch.tensor([[-0.55, 0.4, 0, 1], [0.61, 0.4, 0, 1], [0.2, -0.54, 0, -0.6]])
    faces = torch.tensor([[0, 1, 2]])
    rast = rasterize(clip[None], faces, (12, 12), impl=impl)
    hard = (rast[..., 3:] > 0).float()
    assert 60 < hard.sum() < 96  # the left edge is in the picture too
    clip.requires_grad_()
    out = antialias(hard, rast, clip[None], faces, impl=impl)
    changed = (out - hard)[0, ..., 0]
    torch.testing.assert_close(changed[8, 3:9], torch.full((6,), 0.4))
    changed[8] = 0
    assert not changed.any()
    (clip_bar,) = torch.autograd.grad(out.sum(), clip)
    assert clip_bar[:2].any()
    assert not clip_bar[2].any()


@impls
def test_nothing_to_smooth(impl):
    clip = torch.ones(2, 3, 4, requires_grad=True)
    faces = torch.zeros(0, 3, dtype=torch.int64)
    image = torch.rand(2, 5, 4, 3, requires_grad=True)
    out = antialias(image, torch.zeros(2, 5, 4, 4), clip, faces, impl=impl)
    assert torch.equal(out, image)
    image_bar, clip_bar = torch.autograd.grad(out.sum(), (image, clip))
    assert (image_bar == 1).all()
    assert not clip_bar.any()


@impls
def test_a_colour_that_is_not_a_number_stays_inside_of_the_surface(impl, rng):
    clip, faces = rectangle(*torch.tensor([2.3, 8.2, 1.2, 6.3]), (9, 11))
    rast = rasterize(clip[None], faces, (9, 11), impl=impl)
    image = torch.rand(1, 9, 11, 1, generator=rng)
    image[0, 4, 5] = torch.nan  # no neighbour of it is on an edge
    clip = clip[None].requires_grad_()
    image.requires_grad_()
    out = antialias(image, rast, clip, faces, impl=impl)
    assert (out != image).sum() > 10
    assert out.isnan().nonzero().tolist() == [[0, 4, 5, 0]]
    out_bar = torch.where(out.isnan(), torch.nan, 1.0)
    image_bar, clip_bar = torch.autograd.grad(out, (image, clip), out_bar)
    assert image_bar.isnan().nonzero().tolist() == [[0, 4, 5, 0]]
    assert clip_bar.isfinite().all()
    assert clip_bar.any()


def test_edge_table_pairs_opposite_corners():
    # Two faces at edge (1, 2); three at (0, 1); the last face names a vertex twice: no neighbour.
    faces = torch.tensor([[0, 1, 2], [2, 1, 3], [0, 1, 4], [1, 0, 5], [1, 2, 2]])
    want = [[5, -1, -1], [-1, -1, 0], [-1, -1, -1], [-1, -1, -1], [-1, -1, -1]]
    assert edge_table(faces).tolist() == want
    assert edge_table(faces[:0]).shape == (0, 3)


def test_edge_table_of_a_closed_surface_leads_back():
    _, faces = sphere(2, 1.0)
    table = edge_table(faces)
    half_edges = torch.arange(faces.numel()).view(-1, 3)
    assert torch.equal(table.flatten()[table], half_edges)
    ends = torch.stack([faces.roll(-1, 1), faces.roll(-2, 1)], -1)
    assert torch.equal(ends.view(-1, 2)[table], ends.flip(-1))  # wound alike: ends in reverse
    assert (faces.flatten()[table] != faces).all()
