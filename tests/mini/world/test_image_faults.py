"""Faults of pictures: visible, on the object, and the same for the same seed."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from xbind.mini.world.image_faults import (
    IMAGE_FAULTS,
    PATCH_GAP,
    PATCH_SHARE,
    _moved,
    _patch_colour,
    _region,
    blotched,
    blur,
    smeared,
)
from xbind.mini.world.palette import COLOURS

COUNT, SIZE = 24, 64


def discs(colour=(0.12, 0.24, 0.86)):
    """Discs of one colour, anti-aliased, on white: pictures and coverage."""
    axis = torch.arange(SIZE) + 0.5 - SIZE / 2
    alpha = (20.5 - torch.hypot(axis[:, None], axis)).clamp(0, 1).expand(COUNT, 1, SIZE, SIZE)
    return alpha * torch.tensor(colour).view(3, 1, 1) + 1 - alpha, alpha


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def change(x, y, alpha):
    """Root mean square change over the object's pixels, for each picture."""
    total = (alpha * (y - x).square().mean(1, keepdim=True)).sum((1, 2, 3))
    return (total / alpha.sum((1, 2, 3))).sqrt()


@pytest.mark.parametrize("sigma", [1.5, 3.0])
def test_blur_is_scipys(rng, sigma):
    x = torch.rand(2, 3, 32, 32, generator=rng)
    ours = blur(x, sigma).numpy()
    for i in range(2):
        for c in range(3):
            want = gaussian_filter(x[i, c].numpy(), sigma, mode="nearest", truncate=4)
            np.testing.assert_allclose(ours[i, c], want, atol=5e-3)
    np.testing.assert_allclose(blur(torch.full_like(x, 0.4), sigma).numpy(), 0.4, atol=1e-6)


@pytest.mark.parametrize("kind", IMAGE_FAULTS)
def test_a_seed_decides_and_pictures_stay_in_range(kind):
    x, alpha = discs()
    made = IMAGE_FAULTS[kind](x, alpha, seeded())
    assert torch.equal(made, IMAGE_FAULTS[kind](x, alpha, seeded()))
    assert not torch.equal(made, IMAGE_FAULTS[kind](x, alpha, seeded(1)))
    assert made.shape == x.shape
    assert 0 <= made.min() <= made.max() <= 1
    empty = torch.ones_like(x)
    torch.testing.assert_close(IMAGE_FAULTS[kind](empty, 0 * alpha, seeded()), empty)


def test_blotches_are_visible_and_on_the_object_alone():
    x, alpha = discs()
    made = blotched(x, alpha, seeded())
    changes = change(x, made, alpha)
    assert changes.min() > 0.03
    assert changes.max() > 0.2
    background = (alpha == 0).expand_as(x)
    torch.testing.assert_close(made[background], x[background])
    spread = made.std((2, 3)).sum(1)
    assert len(spread.unique()) == COUNT  # each picture has patches of its own


def test_blotches_leave_some_of_the_object_its_colour():
    _, alpha = discs()
    one = PATCH_SHARE[1]
    region = _region(alpha[0], 8, one, 0.5, seeded())
    inside = region[alpha[0] == 1]
    assert (inside > 0.5).float().mean() == pytest.approx(one, abs=0.03)
    assert (inside < 0.05).float().mean() > 0.3


@pytest.mark.parametrize("name", COLOURS)
def test_patches_differ_from_the_object(name):
    mean = torch.tensor(COLOURS[name])
    generator = seeded()
    gaps = torch.stack([(_patch_colour(mean, generator) - mean).norm() for _ in range(40)])
    assert gaps.min() > 0.5 * PATCH_GAP
    assert (gaps > PATCH_GAP).float().mean() > 0.6
    assert len(gaps.unique()) > 5


def test_smears_move_outlines_and_leave_flat_colour():
    x, alpha = discs()
    made = smeared(x, alpha, seeded())
    solid = blur(alpha.expand(-1, 3, -1, -1), 3.0)
    far = solid < 1e-3
    assert (made - x).abs()[far].mean() < 0.02
    edge = ((solid > 0.1) & (solid < 0.9)).any(1, keepdim=True)
    middle = (solid > 0.999).all(1, keepdim=True)
    at_edge = change(x, made, edge.float())
    assert at_edge.min() > 0.04
    assert change(x, made, middle.float()).mean() < 0.5 * at_edge.mean()


def test_pixels_come_from_where_they_are_displaced_to():
    picture = torch.rand(3, 8, 8, generator=seeded())
    shift = torch.zeros(2, 8, 8)
    shift[0], shift[1] = 2, -1
    moved = _moved(picture, shift)
    torch.testing.assert_close(moved[:, 1:, :-2], picture[:, :-1, 2:])
