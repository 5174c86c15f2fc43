"""Figures of the 2D prior's samples: closed forms, and real views beside the shipped prior's."""

import math
from dataclasses import replace

import pytest
import torch

from xbind.config.presets import default
from xbind.mini.sample_quality import measure_samples, sharpness
from xbind.networks.load import load_bundle, load_convnet
from xbind.networks.manifest import load_manifest


@pytest.mark.parametrize(("height", "width"), [(0.6, 1), (0.6, 4), (0.2, 4)])
def test_sharpness_is_the_slope_of_an_edge(height, width):
    ramp = ((torch.arange(32) - 10) / width).clamp(0, 1) * height
    image = ramp.expand(1, 3, 32, 32)
    assert sharpness(image).item() == pytest.approx(math.sqrt(3) * height / width, rel=1e-4)
    assert sharpness(image.mT).item() == pytest.approx(sharpness(image).item(), rel=1e-5)


def test_a_plain_picture_has_no_sharpness():
    assert sharpness(torch.ones(2, 3, 8, 8)).tolist() == [0.0, 0.0]


def test_samples_are_farther_from_real_views_than_real_ones_and_less_sharp():
    manifest = load_manifest("mini")
    bundle, judge = load_bundle(manifest), load_convnet(manifest.part("judge"))
    config = replace(default().reference, candidates=3, steps=6)
    figures, sheet = measure_samples(bundle, judge, config, categories=("mug", "tree", "duck"))
    assert sheet.shape == (3, 1 + 3, 3, 64, 64)
    for taken, *drawn in sheet:
        assert any(torch.equal(taken, image) for image in drawn)
    assert figures["real_nearest_distance"] < figures["samples_nearest_distance"]
    assert min(figures.values()) > 0
    assert figures["samples_sharpness"] < figures["real_vae_sharpness"] < figures["real_sharpness"]
    assert figures["chosen_sharpness"] == pytest.approx(sharpness(sheet[:, 0]).mean().item())
