"""The judge's negatives."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from xbind.errors import XBindError
from xbind.mini.train.convnet import blur, build_judge
from xbind.mini.train.data import load_near_misses
from xbind.mini.world.categories import CATEGORIES, COLOUR_NAMES


@pytest.mark.parametrize("sigma", [1.5, 3.0])
def test_blur_is_scipys(rng, sigma):
    x = torch.rand(2, 3, 32, 32, generator=rng)
    ours = blur(x, sigma).numpy()
    for i in range(2):
        for c in range(3):
            want = gaussian_filter(x[i, c].numpy(), sigma, mode="nearest", truncate=4)
            np.testing.assert_allclose(ours[i, c], want, atol=5e-3)
    np.testing.assert_allclose(blur(torch.full_like(x, 0.4), sigma).numpy(), 0.4, atol=1e-6)


def test_the_judge_has_an_output_for_near_misses():
    assert build_judge().head.out_features == len(CATEGORIES) + 1 + len(COLOUR_NAMES)


def test_near_misses_that_were_not_rendered_are_missed(tmp_path):
    with pytest.raises(XBindError, match=r"mini\.train near_misses"):
        load_near_misses(tmp_path)
