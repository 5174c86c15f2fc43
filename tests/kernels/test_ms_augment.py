"""The augmentation warp against a scalar loop, and its forms against each other."""

import itertools
import math
from inspect import unwrap

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from xbind.config.method import AugmentConfig
from xbind.kernels import ms_augment
from xbind.kernels.augment.reference import taps_per_pixel
from xbind.kernels.errors import KernelError
from xbind.losses.augment import draw_augmentations, draw_warps

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
SCALED = {"mean": (0.48, 0.46, 0.41), "std": (0.27, 0.26, 0.28)}

impls = pytest.mark.parametrize("impl", ["reference", "numba"])


def warps(rng, b, n):
    """Near the identity, with horizons inside the result and windows that cut through it."""
    homography = torch.eye(3) + 0.35 * torch.randn(b, n, 3, 3, generator=rng)
    corner = -1 + 1.2 * torch.rand(b, n, 2, generator=rng)
    window = torch.cat([corner, corner + 0.3 + 1.5 * torch.rand(b, n, 2, generator=rng)], -1)
    return homography, window


def taps_by_hand(homography, window, shape, size):
    """Look-ups per pixel along x and y: how far a step of the result leads, by differences."""
    scale, step = np.zeros(2), 1e-6
    for corner in itertools.product(window[::2], window[1::2]):
        at = np.linalg.solve(homography, [*corner, 1.0])
        for axis in range(2):
            ends = []
            for sign in (-1, 1):
                point = at / at[2]
                point[axis] += sign * step
                end = homography @ point
                ends.append(end[:2] / end[2] * np.array([shape[1], shape[0]]) / 2)
            moved = np.linalg.norm(ends[1] - ends[0]) / (2 * step)
            scale[axis] = max(scale[axis], moved * 2 / size)
    return [int(min(max(np.ceil(x - 0.05), 1), 8)) for x in scale]


def pixel_by_hand(view, homography, window, x, y, size):
    """The mean over the parts of a pixel."""
    t_x, t_y = taps_by_hand(homography, window, view.shape, size)
    parts = [
        point_by_hand(view, homography, window, x + dx * 2 / size, y + dy * 2 / size)
        for dx in (np.arange(t_x) + 0.5) / t_x - 0.5
        for dy in (np.arange(t_y) + 0.5) / t_y - 0.5
    ]
    return np.mean(parts)


def point_by_hand(view, homography, window, x, y):
    """One channel at one place, in float64: taps found by search, the crop laid on white."""
    height, width = view.shape
    u, v, w = homography @ np.array([x, y, 1.0])
    p, q = (u / w + 1) * width / 2 - 0.5, (v / w + 1) * height / 2 - 0.5
    sides = np.array([[window[0], window[2]], [window[1], window[3]]])
    low, high = ((sides + 1) * np.array([[width], [height]]) / 2 - 0.5).T
    shown = 1.0
    for at, first, last in zip((p, q), low, high, strict=True):
        shown *= min(max(min(at - first, last - at) + 0.5, 0.0), 1.0)
    p, q = min(max(p, 0.0), width - 1.0), min(max(q, 0.0), height - 1.0)
    value = sum(
        max(1 - abs(p - i), 0.0) * max(1 - abs(q - j), 0.0) * view[j, i]
        for j, i in itertools.product(range(height), range(width))
    )
    return shown * value + 1 - shown


@impls
@pytest.mark.parametrize("shape", [(5, 7), (1, 4), (6, 1)])
def test_matches_a_loop_over_pixels(impl, shape, rng):
    image = torch.rand(2, 3, *shape, generator=rng)
    homography, window = warps(rng, 2, 3)
    got = ms_augment(image, homography, window, 6, **SCALED, impl=impl).view(2, 3, 3, 6, 6)
    places = (np.arange(6) + 0.5) / 3 - 1
    for b, n, c, j, i in itertools.product(range(2), range(3), range(3), range(6), range(6)):
        where = homography[b, n].double().numpy(), window[b, n].tolist(), places[i], places[j]
        value = pixel_by_hand(image[b, c].double().numpy(), *where, 6)
        want = (value - SCALED["mean"][c]) / SCALED["std"][c]
        # a pixel is found to 1e-6 of the view's size over w, and its slope is about 10
        assert got[b, n, c, j, i].item() == pytest.approx(want, abs=3e-4)
    white = (1 - torch.tensor(SCALED["mean"])) / torch.tensor(SCALED["std"])
    is_white = (got - white[:, None, None]).abs().amax(2) < 1e-6
    assert 0.1 < is_white.float().mean() < 0.9


@impls
def test_gradient_is_the_transpose(impl, rng):
    """⟨ȳ, A(x + d) − A(x)⟩ = ⟨x̄, d⟩ for any d: the map is affine in the view."""
    x, d = torch.rand(2, 2, 3, 9, 8, generator=rng)
    x.requires_grad_()
    drawn = warps(rng, 2, 4)
    y = ms_augment(x, *drawn, 7, **SCALED, impl=impl)
    y_bar = torch.randn(y.shape, generator=rng)
    (x_bar,) = torch.autograd.grad(y, x, y_bar)
    exact = [v.double() for v in (x.detach(), d, *drawn)]
    ahead, here = (
        ms_augment(v, *exact[2:], 7, **SCALED, impl="reference")
        for v in (exact[0] + exact[1], exact[0])
    )
    want = ((ahead - here) * y_bar).sum()
    torch.testing.assert_close((x_bar.double() * exact[1]).sum(), want, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("b", "n", "size"), [(3, 2, 16), (1, 5, 9), (2, 0, 4)])
def test_numba_agrees_with_the_definition(b, n, size, rng):
    smooth = torch.rand(b, 3, 4, 4, generator=rng)  # noise would turn rounding into differences
    image = torch.nn.functional.interpolate(smooth, (17, 24), mode="bilinear")
    strided = image.transpose(2, 3).contiguous().transpose(2, 3).requires_grad_()
    drawn = [v.transpose(0, 1).contiguous().transpose(0, 1) for v in warps(rng, b, n)]
    results = []
    for impl in ("reference", "numba"):
        y = ms_augment(strided, *drawn, size, **SCALED, impl=impl)
        bar = torch.linspace(-1, 1, y.numel()).view(y.shape).mT
        results.append((y, *torch.autograd.grad(y, strided, bar)))
    assert results[1][0].shape == (b * n, 3, size, size)
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-4)


def test_numba_agrees_where_warps_shrink(rng):
    """G, L and Z of odd sizes, forward and gradient; up to eight look-ups along an axis."""
    coarse = torch.rand(2, 3, 6, 6, generator=rng)
    image = torch.nn.functional.interpolate(coarse, (53, 90), mode="bilinear").requires_grad_()
    drawn = draw_augmentations(2, 3, AugmentConfig(), rng)
    feeds = drawn.homography, drawn.window
    taps = taps_per_pixel(*feeds, (53, 90), 17)
    assert taps.max() > 5
    assert taps.unique().numel() > 4
    bar = torch.randn(14, 3, 17, 17, generator=rng)
    results = []
    for impl in ("reference", "numba"):
        y = ms_augment(image, *feeds, 17, **SCALED, impl=impl)
        results.append((y, *torch.autograd.grad(y, image, bar)))
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-4)


@impls
def test_what_is_not_shown_does_not_matter(impl, rng):
    """A point that is not a number is white; so is all that the window leaves out.

    A window with one such side leaves out everything.
    """
    image = torch.full((1, 3, 6, 6), torch.nan)
    image[..., :3] = 0.25
    homography = torch.eye(3).expand(1, 7, 3, 3).clone()
    homography[0, 1, 2] = 0  # 0/0 or 1/0 everywhere
    homography[0, 2, 0, 0] = torch.nan
    window = torch.tensor([-2.0, -2, -0.5, 2]).repeat(1, 7, 1)
    window[0, 3:].fill_diagonal_(torch.nan)
    image.requires_grad_()
    y = ms_augment(image, homography, window, 12, **PLAIN, impl=impl)
    assert (y[0, ..., :2] == 0.25).all()
    assert (y[0, ..., 4:] == 1).all()
    assert (y[1:] == 1).all()
    bar = torch.where(y == 1, torch.nan, 1.0)
    (image_bar,) = torch.autograd.grad(y, image, bar)
    assert image_bar.isfinite().all()
    assert (image_bar[..., 0] > 0).all()
    assert not image_bar[..., 3:].any()


@impls
def test_a_hole_in_the_middle_of_a_row(impl, rng):
    """u/w = (x − ¼)/(x − ¼): not a number where x = ¼, a pixel's centre, and only there."""
    homography = torch.tensor([[1.0, 0, -0.25], [0, 1, 0], [1, 0, -0.25]]).expand(1, 1, 3, 3)
    window = torch.tensor([-9.0, -9, 9, 9]).expand(1, 1, 4)
    image = torch.rand(1, 3, 4, 4, generator=rng).requires_grad_()
    y = ms_augment(image, homography, window, 4, **PLAIN, antialias=False, impl=impl)
    is_hole = torch.arange(4) == 2
    assert (y[..., is_hole] == 1).all()
    assert (y[..., ~is_hole] < 1).all()
    (image_bar,) = torch.autograd.grad(y, image, torch.where(is_hole, torch.nan, 1.0).expand_as(y))
    torch.testing.assert_close(image_bar.sum(), torch.tensor(3.0 * 3 * 4))


@impls
def test_identity_at_the_views_own_size_is_the_view(impl, rng):
    image = torch.rand(2, 3, 8, 8, generator=rng)
    homography, window = torch.eye(3).expand(2, 1, 3, 3), torch.tensor([-1.0, -1, 1, 1])
    y = ms_augment(image, homography, window.expand(2, 1, 4), 8, **PLAIN, impl=impl)
    torch.testing.assert_close(y, image, rtol=0, atol=1e-6)
    plain = ms_augment(
        image, homography, window.expand(2, 1, 4), 8, **PLAIN, antialias=False, impl=impl
    )
    assert torch.equal(y, plain)


Z = torch.eye(3).expand(1, 1, 3, 3), torch.tensor([-1.0, -1, 1, 1]).expand(1, 1, 4)


def area_means(view, homography, window, size, parts=24):
    """Mean of what lies under each pixel, by scipy's interpolation at `parts`² points of it."""
    height, width = view.shape
    centres = (np.arange(size * parts) + 0.5) / (size * parts) * 2 - 1
    x, y = np.meshgrid(centres, centres)
    u, v, w = np.einsum("ij,jyx->iyx", homography, np.stack([x, y, np.ones_like(x)]))
    p, q = (u / w + 1) * width / 2 - 0.5, (v / w + 1) * height / 2 - 0.5
    ink = map_coordinates(1 - view, [q, p], order=1, mode="nearest")
    sides = (np.asarray(window) + 1) * np.array([width, height] * 2) / 2 - 0.5
    for at, low, high in ((p, sides[0], sides[2]), (q, sides[1], sides[3])):
        ink *= np.clip(np.minimum(at - low, high - at) + 0.5, 0, 1)
    return 1 - ink.reshape(size, parts, size, parts).mean((1, 3))


@impls
@pytest.mark.parametrize(("shape", "size"), [((64, 64), 28), ((51, 70), 23), ((33, 33), 32)])
def test_warps_that_shrink_are_means_over_areas(impl, shape, size, rng):
    """Of noise, the hardest content; one look-up per pixel is off by .9 and .25."""
    drawn = draw_warps(1, 6, crop_scale=1.0, probability=1.0, distortion=0.5, generator=rng)
    image = torch.rand(1, 3, *shape, generator=rng)
    got = ms_augment(image, drawn.homography, drawn.window, size, **PLAIN, impl=impl)
    for k in range(6):
        where = drawn.homography[0, k].double().numpy(), drawn.window[0, k].tolist()
        want = area_means(image[0, 0].double().numpy(), *where, size)
        difference = got[k, 0].double().numpy() - want
        assert np.abs(difference).max() < 0.2
        assert np.sqrt((difference**2).mean()) < 0.035


@impls
def test_z_of_512_pixels_lets_no_fine_pattern_through(impl):
    """Stripes of 3 pixels, and a pattern of 3 by 3; what one look-up keeps is in brackets."""
    stripes = (torch.arange(512) % 3 == 0).float()
    sine = torch.sin(2 * torch.pi / 3 * torch.arange(512))
    for pattern, kept in (
        (stripes.expand(512, 512), 0.11),  # .33
        (stripes * stripes[:, None], 0.055),  # .19
        ((stripes != stripes[:, None]).float(), 0.06),  # .27
        (0.5 + 0.5 * sine * sine[:, None], 0.015),  # .124
    ):
        image = pattern.expand(1, 3, 512, 512).contiguous()
        y = ms_augment(image, *Z, 224, **PLAIN, impl=impl)
        assert y.std() < kept
        plain = ms_augment(image, *Z, 224, **PLAIN, antialias=False, impl=impl)
        assert plain.std() > 3 * y.std()


@impls
def test_z_is_near_torch_s_antialiased_resize(impl, rng):
    """That weighs with a triangle, this with a box: alike for what is smooth over two pixels."""
    coarse = torch.rand(1, 3, 40, 40, generator=rng)
    image = torch.nn.functional.interpolate(coarse, (512, 512), mode="bicubic").clamp(0, 1)
    want = torch.nn.functional.interpolate(image, (224, 224), mode="bilinear", antialias=True)
    got = ms_augment(image, *Z, 224, **PLAIN, impl=impl)
    difference = (got - want)[..., 1:-1, 1:-1]  # at the border the page shines through
    assert difference.abs().max() < 0.015
    assert difference.square().mean().sqrt() < 0.003
    assert (got - want).abs().max() < 0.1


@impls
def test_every_pixel_of_the_view_has_its_share_of_the_gradient(impl):
    """One look-up per pixel leaves out 23 % of 512 × 512."""
    image = torch.rand(1, 3, 512, 512).requires_grad_()
    y = ms_augment(image, *Z, 224, **PLAIN, impl=impl)
    (image_bar,) = torch.autograd.grad(y.sum(), image)
    even = (224 / 512) ** 2
    assert image_bar.min() > 0.5 * even
    assert image_bar.max() < 1.6 * even
    # the page has a share of the pixels at the border
    torch.testing.assert_close(image_bar.sum(), torch.tensor(3.0 * 224**2), rtol=1e-3, atol=0)


def test_no_drawn_warp_needs_more_look_ups_than_there_are(rng):
    """At 512 → 224: the scale is greatest at a corner of the crop, and the most is enough."""
    for crop_scale in (1.0, 0.1):
        drawn = draw_warps(
            1, 300, crop_scale=crop_scale, probability=1.0, distortion=0.5, generator=rng
        )
        taps = taps_per_pixel(drawn.homography, drawn.window, (512, 512), 224)[0]
        corners = torch.cartesian_prod(*[torch.linspace(0, 1, 33, dtype=torch.float64)] * 2)
        low, high = drawn.window[0, :, None, :2].double(), drawn.window[0, :, None, 2:].double()
        q = low + (high - low) * corners
        back = torch.linalg.inv(drawn.homography[0].double())
        at = torch.einsum("kij,kmj->kmi", back, torch.cat([q, torch.ones(300, 1089, 1)], -1))
        for axis in range(2):
            step = torch.zeros(3, dtype=torch.float64)
            step[axis] = 2 / 224 * 1e-4
            ahead = torch.einsum(
                "kij,kmj->kmi", drawn.homography[0].double(), at / at[..., 2:] + step
            )
            moved = (ahead[..., :2] / ahead[..., 2:] - q).norm(dim=-1) * 256 * 1e4
            scale = moved.amax(1)
            assert (taps[:, axis] >= scale - 0.06).all()
            assert (taps[:, axis] <= scale + 1).all()
    assert taps_per_pixel(*Z, (64, 64), 64).tolist() == [[[1, 1]]]
    assert taps_per_pixel(*Z, (512, 300), 224).tolist() == [[[2, 3]]]


def test_threads_do_not_change_the_result(rng, monkeypatch):
    image = torch.rand(3, 3, 9, 9, generator=rng).requires_grad_()
    drawn = warps(rng, 3, 2)
    results = []
    for threads in (1, 2):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        y = ms_augment(image, *drawn, 8, **PLAIN)
        results.append((y, *torch.autograd.grad(y.square().sum(), image)))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": torch.zeros(2, 3, 3)}, "windows as"),
        ({"homography": torch.zeros(2, 4, 3, 3)}, "homographies as"),
        ({"image": torch.zeros(3, 3, 5, 5)}, r"views as \[2, 3, h, w\]"),
        ({"image": torch.zeros(2, 3, 0, 5)}, "views as"),
        ({"image": torch.zeros(2, 3, 5, 5).double()}, "impl='reference'"),
        ({"size": 0}, "a positive size"),
        (
            {
                "image": torch.zeros(0, 3, 5, 5),
                "homography": torch.zeros(0, 3, 3, 3),
                "window": torch.zeros(0, 3, 4),
            },
            "views as",
        ),
    ],
)
def test_refuses_what_does_not_fit(change, message):
    feeds = {
        "image": torch.zeros(2, 3, 5, 5),
        "homography": torch.zeros(2, 3, 3, 3),
        "window": torch.zeros(2, 3, 4),
        "size": 4,
    }
    with pytest.raises(KernelError, match=message):
        unwrap(ms_augment)(**(feeds | change), **PLAIN)


def test_is_differentiable_once(rng):
    image = torch.rand(1, 3, 4, 4, generator=rng).requires_grad_()
    y = ms_augment(image, *warps(rng, 1, 1), 4, **PLAIN)
    assert math.prod(y.shape) == 48
    (image_bar,) = torch.autograd.grad(y.square().sum(), image, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        image_bar.sum().backward()
