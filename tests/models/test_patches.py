"""Patch embeddings as products: the convolution's numbers, and nothing else is replaced."""

import copy

import pytest
import torch
from torch import nn

from xbind.models.patches import PatchProjection, project_patches
from xbind.networks.load import load_bundle
from xbind.networks.manifest import load_manifest


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("side", [12, 14])
def test_values_and_gradient_are_the_convolutions(bias, side, rng):
    convolution = nn.Conv2d(3, 5, 4, stride=4, bias=bias).double()
    x = torch.randn(2, 3, side, side + 4, generator=rng, dtype=torch.double, requires_grad=True)
    results = []
    for form in (convolution, PatchProjection(convolution)):
        y = form(x)
        results.append((y, torch.autograd.grad(y.sin().sum(), x)[0]))
    for got, want in zip(*results, strict=True):
        torch.testing.assert_close(got, want)


def test_only_patch_convolutions_are_replaced():
    net = nn.Sequential(
        nn.Conv2d(3, 4, 2, stride=2), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, stride=2, padding=1),
        nn.Conv2d(4, 4, 2, stride=2, groups=2), nn.Conv2d(4, 4, 2), nn.Conv2d(4, 4, (2, 4), 2),
        nn.Conv2d(4, 4, 2, stride=2, padding=1), nn.Conv2d(4, 4, 2, stride=2, dilation=2),
    )  # fmt: skip
    project_patches(net)
    assert [isinstance(layer, PatchProjection) for layer in net] == [True] + 7 * [False]


def test_the_ms_encoder_embeds_as_before(rng):
    clip = load_bundle(load_manifest("mini")).clip
    pixels = torch.randn(2, 3, 64, 64, generator=rng)
    replaced = copy.deepcopy(clip)
    project_patches(replaced)
    assert any(isinstance(layer, PatchProjection) for layer in replaced.modules())
    want, got = (net(pixel_values=pixels).image_embeds for net in (clip, replaced))
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
