"""The field: its blob in closed form, its gradient by finite differences, its determinism."""

import math

import pytest
import torch

from xbind.nerf.field import FieldConfig, HashField

SMALL = FieldConfig(levels=3, base_resolution=4, finest_resolution=16, log2_entries=9)


def field(seed=0, config=SMALL):
    return HashField(config, generator=torch.Generator().manual_seed(seed))


def grown(rng):
    """A field whose features are large enough to matter."""
    f = field()
    with torch.no_grad():
        f.table.copy_(torch.randn(f.table.shape, generator=rng))
    return f


def test_without_features_it_is_the_blob(rng):
    f = field()
    torch.nn.init.zeros_(f.table)
    x = torch.rand(20, 3, generator=rng) - 0.5
    density, colour = f(x)
    want = [10 * math.log1p(math.exp(5 * (1 - math.hypot(*p) / 0.4))) for p in x.tolist()]
    torch.testing.assert_close(density, torch.tensor(want), rtol=1e-5, atol=1e-6)
    assert torch.equal(colour, torch.full((20, 3), 0.5))


def test_density_alone_is_the_same(rng):
    f = grown(rng)
    x = torch.rand(31, 3, generator=rng) - 0.5
    torch.testing.assert_close(f.density(x), f(x)[0])
    torch.testing.assert_close(f.density(x), 10 * torch.log1p(f.raw_density(x).exp()))


def test_gradient_in_position_and_parameters(rng):
    f = grown(rng)
    x = (1.6 * torch.rand(40, 3, generator=rng) - 0.8).requires_grad_()
    bars = torch.randn(40, generator=rng), torch.randn(40, 3, generator=rng)

    def scalar(x):
        return sum((out * bar).sum() for out, bar in zip(f(x), bars, strict=True))

    leaves = (x, f.hidden_weight, f.output_weight, f.table)
    grads = torch.autograd.grad(scalar(x), leaves)
    for leaf, grad in zip(leaves, grads, strict=True):
        v = torch.randn(leaf.shape, generator=rng)
        h = 1e-4  # float32: the slope below is good to about 1e-7 / 1e-4 of the sum
        with torch.no_grad():
            leaf += h * v
            up = scalar(x)
            leaf -= 2 * h * v
            down = scalar(x)
            leaf += h * v
        slope = ((up - down) / (2 * h)).item()
        assert (grad * v).sum().item() == pytest.approx(slope, rel=0.03, abs=0.3)


def test_the_cube_is_mapped_by_its_radius(rng):
    # what lies outside the cube sees the features of its nearest face: only the blob still changes
    f = grown(rng)
    y = torch.rand(9, 2, generator=rng) - 0.5
    face, beyond = (torch.cat([torch.full((9, 1), at), y], -1) for at in (0.85, 1.3))
    inside = torch.cat([torch.full((9, 1), 0.7), y], -1)
    torch.testing.assert_close(f(face)[1], f(beyond)[1])
    assert (f(face)[1] - f(inside)[1]).abs().max() > 1e-3


def test_a_seed_means_the_same_field():
    a, b, c = field(1), field(1), field(2)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert not any(torch.equal(p, q) for p, q in zip(a.parameters(), c.parameters(), strict=True))


def test_resolutions_grow_geometrically():
    config = FieldConfig(levels=5, base_resolution=8, finest_resolution=128)
    assert config.resolutions == (8, 16, 32, 64, 128)
    assert FieldConfig(levels=1, base_resolution=8, finest_resolution=64).resolutions == (8,)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"base_resolution": 200}, "finest_resolution"), ({"hidden": 0}, "hidden must be positive")],
)
def test_config_refuses(wrong, message):
    with pytest.raises(ValueError, match=message):
        FieldConfig(**wrong)
