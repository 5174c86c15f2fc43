"""VSD's estimator: the frozen network at its start, low-rank changes written out, its gradient."""

import copy

import pytest
import torch
from guidance_fakes import tiny_unet

from xbind.diffusion.errors import GuidanceError
from xbind.diffusion.estimator import Estimator

RANK = 3
T = torch.tensor([300, 700])


@pytest.fixture(scope="module")
def unet():
    return tiny_unet().double().eval().requires_grad_(False)


def draw(rng, *shape):
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


@pytest.fixture
def told(rng):
    return (
        draw(rng, 2, 4, 8, 8), T, draw(rng, 1, 12), draw(rng, 1, 3, 12), draw(rng, 2, 16)
    )  # fmt: skip


def trained(estimator, rng):
    """A θ without zeros."""
    return 0.1 * draw(rng, estimator.size(RANK))


def plain(unet, z_t, t, labels, context, _camera):
    both = len(z_t)
    return unet(
        z_t, t, context.expand(both, -1, -1), class_labels=labels.expand(both, -1),
        return_dict=False,
    )[0]  # fmt: skip


@pytest.mark.parametrize("cross_attention", [False, True])
def test_at_its_start_it_is_the_prior(unet, told, rng, cross_attention):
    estimator = Estimator(unet, cross_attention=cross_attention)
    theta = estimator.start(RANK, rng).double()
    assert torch.equal(estimator(theta, *told), plain(unet, *told))
    assert 0 < (theta == 0).sum() < len(theta)


@pytest.mark.parametrize("cross_attention", [False, True])
def test_it_is_the_network_with_the_changes_added_to_its_weights(unet, told, rng, cross_attention):
    estimator = Estimator(unet, cross_attention=cross_attention)
    theta = trained(estimator, rng)
    camera = told[-1]
    changed, rest = copy.deepcopy(unet), theta
    ends = ("attn1", "attn2") if cross_attention else ("attn1",)
    layers = 0
    for name, layer in changed.named_modules():
        parts = name.split(".")
        if not isinstance(layer, torch.nn.Linear) or not any(end in parts for end in ends):
            continue
        (o, i), layers = layer.weight.shape, layers + 1
        a, rest = rest[: RANK * i].view(RANK, i), rest[RANK * i :]
        b, rest = rest[: o * RANK].view(o, RANK), rest[o * RANK :]
        layer.weight += b @ a
    assert layers == 4 * len(ends) * 4  # four transformer blocks: one down, one middle, two up
    first, last = rest[: 8 * 16].view(8, 16), rest[8 * 16 :].view(32, 8)
    hidden = camera @ first.T
    embedding = (hidden * torch.sigmoid(hidden)) @ last.T
    time = changed.time_embedding.forward
    changed.time_embedding.forward = lambda *given: time(*given) + embedding
    torch.testing.assert_close(estimator(theta, *told), plain(changed, *told))


def test_the_network_is_as_before_afterwards(unet, told, rng):
    before = plain(unet, *told)
    estimator = Estimator(unet, cross_attention=True)
    changed = estimator(trained(estimator, rng), *told)
    assert (changed - before).abs().max() > 1e-3
    assert torch.equal(plain(unet, *told), before)
    with pytest.raises(RuntimeError):
        estimator(trained(estimator, rng), torch.zeros(2, 3, 8, 8).double(), *told[1:])
    assert torch.equal(plain(unet, *told), before)


def test_its_gradient_is_that_of_finite_differences(unet, told, rng):
    estimator = Estimator(unet, cross_attention=True)
    theta, cotangent = trained(estimator, rng), draw(rng, 2, 4, 8, 8)
    theta.requires_grad_()
    (theta_bar,) = torch.autograd.grad((cotangent * estimator(theta, *told)).sum(), theta)
    theta.requires_grad_(False)
    assert (theta_bar != 0).all()
    for _ in range(4):
        direction = draw(rng, len(theta))
        ahead, behind = (
            (cotangent * estimator(theta + step * direction, *told)).sum() for step in (1e-5, -1e-5)
        )
        slope = float(ahead - behind) / 2e-5
        assert float(theta_bar @ direction) == pytest.approx(slope, rel=1e-6)


def test_no_camera_is_a_camera_of_zeros(unet, told, rng):
    estimator = Estimator(unet, cross_attention=False)
    theta, without = trained(estimator, rng), told[:-1]
    one = estimator(theta, *without, torch.zeros(2, 16, dtype=torch.float64))
    theta[-(8 * 16 + 32 * 8) :] = 0.0
    assert torch.equal(estimator(theta, *told), one)


def test_a_theta_of_another_network_is_refused(unet, told):
    estimator = Estimator(unet, cross_attention=False)
    assert estimator.rank_of(torch.zeros(estimator.size(5))) == 5
    for length in (3, estimator.size(0), estimator.size(2) + 1):
        with pytest.raises(GuidanceError, match=rf"at rank 1, and .* got {length}\."):
            estimator(torch.zeros(length), *told)


def test_the_same_seed_is_the_same_start(unet):
    estimator = Estimator(unet, cross_attention=False)
    one, same, other = (
        estimator.start(RANK, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
