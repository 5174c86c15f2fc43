import numpy as np
import pytest
import torch

from xbind.mini.world.categories import CATEGORIES, UnknownWorldNameError
from xbind.mini.world.sounds import LENGTH, SAMPLE_RATE, synthesise


def clip(category, seed):
    return synthesise(category, torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def clips():
    return {name: [clip(name, seed) for seed in range(4)] for name in CATEGORIES}


def test_two_seconds_in_range_and_audible(clips):
    assert (LENGTH, SAMPLE_RATE) == (32_000, 16_000)
    for name, waves in clips.items():
        for wave in waves:
            assert wave.shape == (LENGTH,)
            assert wave.dtype == np.float32
            assert 0.4 < np.abs(wave).max() <= 1.0, name
            assert wave.std() > 0.01, name


def test_a_generator_determines_the_sound():
    np.testing.assert_array_equal(clip("duck", 5), clip("duck", 5))
    assert np.abs(clip("duck", 5) - clip("duck", 6)).max() > 0.1


def test_a_clip_is_most_like_the_other_clips_of_its_category(clips):
    def features(wave):
        power = np.abs(np.fft.rfft(wave[: 31 * 1024].reshape(31, 1024) * np.hanning(1024))) ** 2
        edges = np.unique(np.geomspace(3, 512, 24).astype(int))
        bands = np.log(np.add.reduceat(power, edges[:-1], axis=1) + 1e-3)
        return np.concatenate([bands.mean(0), bands.std(0), np.abs(np.diff(bands, axis=0)).mean(0)])

    table = np.array([[features(wave) for wave in clips[name]] for name in CATEGORIES])
    centroids = table[:, :3].mean(1)
    spread = (table[:, :3] - centroids[:, None]).std((0, 1))
    distances = (((table[:, 3, None] - centroids) / spread) ** 2).sum(-1)
    nearest = [CATEGORIES[k] for k in distances.argmin(1)]
    assert sum(a == b for a, b in zip(nearest, CATEGORIES, strict=True)) >= 16


def test_unknown_category():
    with pytest.raises(UnknownWorldNameError, match="choose from mug"):
        clip("sofa", 0)
