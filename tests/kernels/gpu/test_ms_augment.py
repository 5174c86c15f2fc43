"""The augmentation warp in Triton against its definition."""

import pytest
import torch

from xbind.config.method import AugmentConfig
from xbind.kernels import ms_augment
from xbind.kernels.augment.reference import taps_per_pixel
from xbind.losses.augment import draw_augmentations

SCALED = {"mean": (0.48, 0.46, 0.41), "std": (0.27, 0.26, 0.28)}


def warps(rng, b, n):
    """Near the identity, with horizons inside the result and windows that cut through it."""
    homography = torch.eye(3) + 0.35 * torch.randn(b, n, 3, 3, generator=rng)
    corner = -1 + 1.2 * torch.rand(b, n, 2, generator=rng)
    window = torch.cat([corner, corner + 0.3 + 1.5 * torch.rand(b, n, 2, generator=rng)], -1)
    return homography, window


def smooth(rng, b, shape):
    """Without noise, which would turn rounding into differences; not contiguous."""
    image = torch.nn.functional.interpolate(torch.rand(b, 3, 4, 4, generator=rng), shape)
    image = (
        torch.nn.functional.avg_pool2d(image, 3, stride=1, padding=1) if min(shape) > 2 else image
    )
    return image.mT.contiguous().mT


@pytest.mark.parametrize(
    ("b", "n", "shape", "size"),
    [(2, 3, (11, 14), 17), (1, 1, (1, 5), 6), (1, 2, (5, 1), 6), (2, 0, (4, 4), 5)],
)
def test_agrees_with_the_definition(b, n, shape, size, device, rng):
    image = smooth(rng, b, shape)
    drawn = [v.transpose(0, 1).contiguous().transpose(0, 1) for v in warps(rng, b, n)]
    bar = torch.randn(b * n, 3, size, size, generator=rng).mT
    results = []
    for impl, where in (("reference", "cpu"), ("triton", device)):
        x = image.to(where).requires_grad_()
        y = ms_augment(x, *drawn, size, **SCALED, impl=impl)
        (x_bar,) = torch.autograd.grad(y, x, bar.to(where))
        results.append((y.detach().cpu(), x_bar.cpu()))
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-4)


def test_warps_that_shrink_agree_with_the_definition(device, rng):
    """Up to eight look-ups along an axis; odd sizes, and G, L and Z of each view."""
    image = smooth(rng, 2, (41, 70))
    drawn = draw_augmentations(2, 2, AugmentConfig(), rng)
    taps = taps_per_pixel(drawn.homography, drawn.window, (41, 70), 13)
    assert taps.unique().numel() > 4
    bar = torch.randn(10, 3, 13, 13, generator=rng)
    results = []
    for impl, where in (("reference", "cpu"), ("triton", device)):
        x = image.to(where).requires_grad_()
        y = ms_augment(x, drawn.homography, drawn.window, 13, **SCALED, impl=impl)
        (x_bar,) = torch.autograd.grad(y, x, bar.to(where))
        results.append((y.detach().cpu(), x_bar.cpu()))
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_storage_rounds_what_it_stores_and_nothing_else(dtype, device, rng):
    image = smooth(rng, 1, (9, 9)).to(dtype)
    drawn = warps(rng, 1, 3)
    bar = torch.randn(3, 3, 8, 8, generator=rng).to(dtype)
    x = image.to(device).requires_grad_()
    y = ms_augment(x, *drawn, 8, **SCALED, impl="triton")
    (x_bar,) = torch.autograd.grad(y, x, bar.to(device))
    exact = image.float().requires_grad_()
    want = ms_augment(exact, *drawn, 8, **SCALED, impl="reference")
    (want_bar,) = torch.autograd.grad(want, exact, bar.float())
    assert y.dtype == x_bar.dtype == dtype
    step = torch.finfo(dtype).eps  # the interpreter cuts bfloat16 off where a GPU rounds
    torch.testing.assert_close(y.float().cpu(), want, rtol=step, atol=1e-4)
    torch.testing.assert_close(x_bar.float().cpu(), want_bar, rtol=step, atol=1e-4)


def test_what_is_not_shown_does_not_matter(device):
    image = torch.full((1, 3, 6, 6), torch.nan)
    image[..., :3] = 0.25
    homography = torch.eye(3).expand(1, 7, 3, 3).clone()
    homography[0, 1, 2] = 0  # 0/0 or 1/0 everywhere
    homography[0, 2, 0, 0] = torch.nan
    window = torch.tensor([-2.0, -2, -0.5, 2]).repeat(1, 7, 1)
    window[0, 3:].fill_diagonal_(torch.nan)
    x = image.to(device).requires_grad_()
    plain = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    y = ms_augment(x, homography, window, 12, **plain, impl="triton")
    assert (y[0, ..., :2] == 0.25).all()
    assert (y[0, ..., 4:] == 1).all()
    assert (y[1:] == 1).all()
    (image_bar,) = torch.autograd.grad(y, x, torch.where(y == 1, torch.nan, 1.0))
    assert image_bar.isfinite().all()
    assert (image_bar[..., 0] > 0).all()
    assert not image_bar[..., 3:].any()
