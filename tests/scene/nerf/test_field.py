"""The field: its blob in closed form, its gradient by finite differences, its determinism."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch

from xbind.config.scene import FieldConfig, level_resolutions
from xbind.kernels import hash_encode
from xbind.scene.nerf import field as module
from xbind.scene.nerf.field import HashField

SMALL = FieldConfig(resolutions=(4, 8, 16), log2_entries=9)
DEEP = replace(SMALL, hidden_layers=2, hidden=16)
TWO_HEADS = replace(DEEP, separate_heads=True)


def field(seed=0, config=SMALL):
    return HashField(config, generator=torch.Generator().manual_seed(seed))


def grown(rng, config=SMALL):
    """A field whose features are large enough to matter."""
    f = field(config=config)
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


@pytest.mark.parametrize("config", [SMALL, DEEP, TWO_HEADS], ids=["one", "deep", "heads"])
def test_density_alone_is_the_same(rng, config):
    f = grown(rng, config)
    x = torch.rand(31, 3, generator=rng) - 0.5
    torch.testing.assert_close(f.density(x), f(x)[0])
    torch.testing.assert_close(f.density(x), 10 * torch.log1p(f.raw_density(x).exp()))


@pytest.mark.parametrize("config", [SMALL, DEEP, TWO_HEADS], ids=["one", "deep", "heads"])
def test_gradient_in_position_and_parameters(rng, config, monkeypatch):
    for name in ("grid_mlp", "hash_encode"):  # the reference takes float64
        monkeypatch.setattr(module, name, partial(getattr(module, name), impl="reference"))
    f = grown(rng, config).double()
    x = (1.6 * torch.rand(40, 3, generator=rng) - 0.8).double().requires_grad_()
    bars = torch.randn(40, generator=rng), torch.randn(40, 3, generator=rng)

    def scalar(x):
        return sum((out * bar).sum() for out, bar in zip(f(x), bars, strict=True))

    leaves = (x, *f.parameters())
    grads = torch.autograd.grad(scalar(x), leaves)
    for leaf, grad in zip(leaves, grads, strict=True):
        v = torch.randn(leaf.shape, generator=rng)
        h = 1e-7
        with torch.no_grad():
            leaf += h * v
            up = scalar(x)
            leaf -= 2 * h * v
            down = scalar(x)
            leaf += h * v
        slope = ((up - down) / (2 * h)).item()
        assert (grad * v).sum().item() == pytest.approx(slope, rel=1e-4, abs=1e-4)


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


def test_a_deep_head_is_a_chain_of_products(rng):
    f = grown(rng, TWO_HEADS)
    x = torch.rand(7, 3, generator=rng) - 0.5
    encoded = hash_encode(x / (2 * 0.85) + 0.5, f.table, (4, 8, 16))
    found = []
    for first, second, last in f.heads:
        found.append(((encoded @ first.T).clamp_min(0) @ second.T).clamp_min(0) @ last.T)
    raw = found[0][:, 0] + 5 * (1 - x.norm(dim=1) / 0.4)
    density, colour = f(x)
    torch.testing.assert_close(density, 10 * torch.log1p(raw.exp()))
    torch.testing.assert_close(colour, found[1].sigmoid())


def test_heads_of_their_own_share_the_grid_only(rng):
    f = grown(rng, TWO_HEADS)
    f(torch.rand(5, 3, generator=rng) - 0.5)[1].sum().backward()
    assert f.table.grad.abs().sum() > 0
    assert all(weight.grad is None or not weight.grad.any() for weight in f.heads[0])
    assert all(weight.grad.any() for weight in f.heads[1])


def test_resolutions_grow_geometrically_and_are_floored():
    assert level_resolutions(5, 8, 128) == (8, 16, 32, 64, 128)
    assert level_resolutions(1, 8, 64) == (8,)
    ngp = level_resolutions(16, 16, 4096)
    growth = math.exp((math.log(4096) - math.log(16)) / 15)  # Instant-NGP, Eq. 3
    assert ngp == tuple(math.floor(16 * growth**k + 1e-9) for k in range(16))
    assert ngp[7] == 212  # 212.8: floored, not rounded
    assert FieldConfig().resolutions == tuple(round(12 * 8 ** (k / 5)) for k in range(6))


@pytest.mark.parametrize("wrong", [(0, 8, 16), (3, 0, 16), (3, 16, 8)])
def test_resolutions_refuse(wrong):
    with pytest.raises(ValueError, match="levels ≥ 1 and 1 ≤ coarsest ≤ finest"):
        level_resolutions(*wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"resolutions": (8, 0)}, "resolutions must be at least 1, each"),
        ({"resolutions": ()}, "resolutions must be a list of one or more whole numbers"),
        ({"hidden": 0}, "hidden must be at least 1"),
        ({"hidden_layers": 0}, "hidden_layers must be at least 1"),
    ],
)
def test_config_refuses(wrong, message):
    with pytest.raises(ValueError, match=message):
        FieldConfig(**wrong)
