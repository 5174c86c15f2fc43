"""The warps against an 8×8 system, a loop over pixels, and the statistics they promise."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d, interpolate

from xbind.config.method import AugmentConfig
from xbind.losses.augment import (
    CLIP_MEAN,
    CLIP_STD,
    Augmentations,
    augment,
    draw_augmentations,
    draw_warps,
    homography,
    identity,
)

SQUARE = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]], dtype=torch.float64)
PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "impl": "reference"}
"""No normalisation, in any floating-point type."""


def test_homography_solves_the_eight_equations(rng):
    moves = torch.rand(20, 4, 2, generator=rng, dtype=torch.float64)
    source, target = SQUARE * (1 - 0.5 * moves), SQUARE * (1 - 0.3 * moves.flip(0))
    for got, p, q in zip(homography(source, target), source, target, strict=True):
        rows, right = [], []
        for (x, y), (u, v) in zip(p.tolist(), q.tolist(), strict=True):
            rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
            right += [u, v]
        want = np.append(np.linalg.solve(np.array(rows), np.array(right)), 1.0)
        np.testing.assert_allclose(got.flatten(), want, rtol=1e-9, atol=1e-12)


def bilinear_on_white(view, px, py, window):
    """One channel's value at pixel coordinates, the crop lying on a white page."""
    h, w = view.shape
    x0, y0 = int(np.floor(px)), int(np.floor(py))
    value = 0.0
    for i, j in itertools.product((0, 1), (0, 1)):
        share = abs(1 - i - (px - x0)) * abs(1 - j - (py - y0))
        value += share * view[min(max(y0 + j, 0), h - 1), min(max(x0 + i, 0), w - 1)]
    left, top, right, bottom = window
    edges = [
        min(px - ((left + 1) * w - 1) / 2, ((right + 1) * w - 1) / 2 - px),
        min(py - ((top + 1) * h - 1) / 2, ((bottom + 1) * h - 1) / 2 - py),
    ]
    shown = np.prod([min(max(edge + 0.5, 0.0), 1.0) for edge in edges])
    return shown * value + (1 - shown)


@pytest.mark.parametrize("crop_scale", [1.0, 0.3])
def test_warp_matches_a_loop_over_pixels(rng, crop_scale):
    image = torch.rand(2, 3, 9, 7, generator=rng, dtype=torch.float64)
    drawn = draw_warps(2, 3, crop_scale=crop_scale, probability=1.0, distortion=0.5, generator=rng)
    got = augment(image, drawn, 6, **PLAIN, antialias=False).view(2, 3, 3, 6, 6)
    for b, n, row, column in itertools.product(range(2), range(3), range(6), range(6)):
        x, y = (2 * column + 1) / 6 - 1, (2 * row + 1) / 6 - 1
        u, v, k = drawn.homography[b, n].double().numpy() @ np.array([x, y, 1.0])
        px, py = ((u / k + 1) * 7 - 1) / 2, ((v / k + 1) * 9 - 1) / 2
        for c in range(3):
            want = bilinear_on_white(image[b, c].numpy(), px, py, drawn.window[b, n].tolist())
            assert got[b, n, c, row, column].item() == pytest.approx(want, abs=1e-6)


def test_full_crops_are_the_view_composited_on_white(rng):
    """With the window at the border, shrinking is zero padding of 1 − x."""
    image = torch.rand(1, 3, 8, 8, generator=rng, dtype=torch.float64)
    shrink = torch.diag(torch.tensor([2.0, 2.0, 1.0])).expand(1, 1, 3, 3)
    got = augment(image, Augmentations(shrink, identity(1).window), 16, **PLAIN)
    torch.testing.assert_close(got[..., 4:12, 4:12], image)
    assert (got[..., :3, :] == 1).all()
    assert (got[..., 13:] == 1).all()


@pytest.mark.parametrize("size", [8, 12])
def test_z_is_resize_and_normalise(rng, size):
    image = torch.rand(2, 3, 8, 8, generator=rng, dtype=torch.float64)
    got = augment(image, identity(2), size, impl="reference")
    mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (CLIP_MEAN, CLIP_STD))
    small = interpolate(image, (size, size), mode="bilinear", align_corners=False)
    # An upsampled border pixel lies up to half a pixel outside, where the page shines through.
    inner = slice(1, -1) if size > 8 else slice(None)
    want = ((small - mean) / std)[..., inner, inner]
    torch.testing.assert_close(got[..., inner, inner], want)


def test_z_of_a_larger_view_is_the_mean_over_each_pixel(rng):
    image = torch.rand(2, 3, 8, 8, generator=rng, dtype=torch.float64)
    got = augment(image, identity(2), 4, **PLAIN)
    torch.testing.assert_close(got, avg_pool2d(image, 2))


def test_local_crops_show_a_tenth_of_the_view(rng):
    """A view that is its own coordinates tells where each crop looked."""
    drawn = draw_warps(50, 20, crop_scale=0.1, probability=0.0, distortion=0.5, generator=rng)
    extent = drawn.window[..., 2:] - drawn.window[..., :2]
    torch.testing.assert_close(extent, torch.full_like(extent, 2 * 0.1**0.5))
    assert drawn.window.abs().max() <= 1
    low, high = drawn.window[..., :2].min(), drawn.window[..., 2:].max()
    assert low < -0.97
    assert high > 0.97

    ramp = torch.linspace(-1, 1, 65)[:-1] + 1 / 64
    image = torch.stack(torch.broadcast_tensors(ramp, ramp[:, None], 0 * ramp))[None]
    seen = augment(image, Augmentations(drawn.homography[:1], drawn.window[:1]), 2, **PLAIN)
    corners = drawn.window[0]
    quarter = extent[0] / 4
    torch.testing.assert_close(seen[:, 0, 0, 0], corners[:, 0] + quarter[:, 0], rtol=0, atol=1e-4)
    torch.testing.assert_close(seen[:, 1, 1, 1], corners[:, 3] - quarter[:, 1], rtol=0, atol=1e-4)


def test_perspective_comes_with_its_probability_to_each_view_alone(rng):
    drawn = draw_warps(300, 10, crop_scale=1.0, probability=0.8, distortion=0.5, generator=rng)
    flat = drawn.homography.flatten(0, 1)
    plain = (flat - torch.eye(3)).abs().amax((1, 2)) < 1e-6
    assert abs(plain.double().mean() - 0.2) < 0.03
    moved = flat[~plain]
    assert torch.unique(moved, dim=0).shape == moved.shape


def test_corners_move_up_to_a_quarter_of_the_image(rng):
    """The inverse warp shows where a view's corners went."""
    drawn = draw_warps(100, 10, crop_scale=1.0, probability=1.0, distortion=0.5, generator=rng)
    back = torch.linalg.inv(drawn.homography.double())
    corners = torch.cat([SQUARE, torch.ones(4, 1, dtype=torch.float64)], 1)
    landed = torch.einsum("bnij,kj->bnki", back, corners)
    inward = (1 - landed[..., :2] / landed[..., 2:] * SQUARE).flatten(0, 1)
    assert inward.min() > -1e-6
    assert 0.49 < inward.max() < 0.5 + 1e-6
    assert (inward.mean(0) - 0.25).abs().max() < 0.02
    correlation = torch.corrcoef(inward.flatten(1).T) - torch.eye(8)
    assert correlation.abs().max() < 0.12


def test_the_most_extreme_warps_draw_their_quadrilateral():
    """A black view appears where its corners were moved to, and nowhere else.

    Beyond the horizon of a warp the denominator is negative; nothing may come back from there.
    """
    moved = SQUARE * torch.tensor(list(itertools.product((0.5, 1.0), repeat=8))).view(-1, 1, 4, 2)
    warp = homography(moved, SQUARE.expand_as(moved)).float()
    drawn = Augmentations(warp, identity(256).window)
    got = augment(torch.zeros(256, 3, 64, 64), drawn, 32, **PLAIN)[:, 0]

    centres = (torch.arange(32, dtype=torch.float64) + 0.5) / 16 - 1
    pixels = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1)
    edge = moved.roll(-1, 2) - moved  # [256, 1, 4, 2], with the inside on its right hand
    offset = pixels[None, :, :, None] - moved[:, None]
    across = (edge[:, None, ..., 0] * offset[..., 1] - edge[:, None, ..., 1] * offset[..., 0]) / (
        edge.norm(dim=-1)[:, None]
    )
    depth = across.amin(-1)  # signed distance to the nearest edge's line
    assert got[depth > 0.1].abs().max() < 1e-6
    assert (got[depth < -0.1] == 1).all()
    assert (depth > 0.1).sum() > 1000


def test_gradient_is_that_of_a_linear_map(rng):
    """In x̄: ⟨ȳ, A(x + d) − A(x)⟩ = ⟨x̄, d⟩ for a large d, since warping is affine in the view."""
    drawn = draw_augmentations(2, 2, AugmentConfig(), rng)
    x, d = torch.rand(2, 2, 3, 6, 6, generator=rng, dtype=torch.float64)
    x.requires_grad_()
    y = augment(x, drawn, 5, impl="reference")
    y_bar = torch.randn(y.shape, generator=rng, dtype=torch.float64)
    (x_bar,) = torch.autograd.grad(y, x, y_bar)
    change = ((augment(x + d, drawn, 5, impl="reference") - y) * y_bar).sum()
    torch.testing.assert_close((x_bar * d).sum(), change.detach())


def test_kinds_come_view_by_view(rng):
    drawn = draw_augmentations(3, 2, AugmentConfig(), rng)
    assert drawn.homography.shape == (3, 5, 3, 3)
    area = (drawn.window[..., 2:] - drawn.window[..., :2]).prod(-1) / 4
    torch.testing.assert_close(area, torch.tensor([1.0, 1.0, 0.1, 0.1, 1.0]).expand(3, 5))
    assert torch.equal(drawn.homography[:, 4], torch.eye(3).expand(3, 3, 3))

    views = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 3, 4, 4)
    centre = augment(views, drawn, 9, **PLAIN).view(3, 5, 3, 9, 9)[:, 4, 0, 4, 4]
    assert centre.tolist() == [0.0, 1.0, 2.0]
