"""Reframing: a disc stays a disc, of the size that is returned with it."""

import torch

from xbind.mini.train.augment import reframe


def test_reframing_returns_how_much_larger_the_original_was():
    axis = torch.arange(64) - 31.5
    disc = (axis[:, None] ** 2 + axis**2 < 16**2).float()
    x = 1 - disc.expand(50, 3, -1, -1)
    moved, zoom = reframe(x, torch.Generator().manual_seed(0))
    assert zoom.min() < 0.85
    assert zoom.max() > 1.15
    area = (1 - moved[:, 0]).sum((1, 2))
    torch.testing.assert_close((disc.sum() / area).sqrt(), zoom, rtol=0.02, atol=0)
    corner = moved[:, :, :2, :2]
    torch.testing.assert_close(corner, torch.ones_like(corner))


def test_the_object_moves_about_the_middle():
    x = torch.ones(200, 3, 64, 64)
    x[:, :, 30:34, 30:34] = 0
    moved, _ = reframe(x, torch.Generator().manual_seed(1))
    dark = 1 - moved[:, 0]
    centre = (dark.sum(1) * torch.arange(64)).sum(1) / dark.sum((1, 2)) - 31.5
    assert centre.mean().abs() < 0.6
    assert 1.5 < centre.std() < 3.5  # ± 0.12 of 32 pixels, uniform, over a zoom around 1
