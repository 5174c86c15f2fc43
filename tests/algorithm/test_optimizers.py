"""Groups of parameters: their optimiser, rates and decays."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from xbind.algorithm.adan import Adan
from xbind.algorithm.optimizers import Group, Rates, field_groups, make_adam, make_adan
from xbind.config.method import GeometryConfig, TextureConfig
from xbind.config.scene import AdamConfig, FieldConfig
from xbind.config.terms import RatesConfig
from xbind.scene.nerf.field import HashField

FIELD = FieldConfig(resolutions=(4, 8), log2_entries=6, hidden=4)


def numbers(value=2.0):
    return nn.Parameter(torch.full((3,), value))


@pytest.fixture
def field():
    return HashField(FIELD, generator=torch.Generator().manual_seed(0))


def test_without_rates_there_is_one_group(field):
    optimizer = make_adam(field_groups(field, RatesConfig()), 0.02, AdamConfig())
    (group,) = optimizer.param_groups
    assert [id(p) for p in group["params"]] == [id(p) for p in field.parameters()]
    assert group["lr"] == 0.02
    assert type(optimizer) is torch.optim.Adam


def test_a_field_s_network_has_a_rate_of_its_own(field):
    groups = field_groups(field, RatesConfig(network=0.004))
    optimizer = make_adam([*groups, Group([numbers()], 0.1)], 0.02, AdamConfig())
    grid, network, other = optimizer.param_groups
    assert [p is field.table for p in grid["params"]] == [True]
    assert len(network["params"]) == sum(1 for _ in field.heads.parameters())
    assert [g["lr"] for g in (grid, network, other)] == [0.02, 0.004, 0.1]


def test_the_decay_is_decoupled_from_the_gradient():
    """Without a gradient Adam's L2 would move by its rate; AdamW shrinks by rate · decay."""
    x = numbers()
    optimizer = make_adam([Group([x])], 0.1, AdamConfig(weight_decay=0.01))
    x.grad = torch.zeros(3)
    optimizer.step()
    torch.testing.assert_close(x.detach(), torch.full((3,), 2.0 * (1 - 0.1 * 0.01)))


def test_only_a_group_with_a_decay_decays():
    plain, decaying = numbers(), numbers()
    optimizer = make_adam([Group([plain]), Group([decaying], 0.5, 0.2)], 0.1, AdamConfig())
    plain.grad = decaying.grad = torch.zeros(3)
    optimizer.step()
    assert plain.tolist() == [2.0] * 3
    torch.testing.assert_close(decaying.detach(), torch.full((3,), 2.0 * (1 - 0.5 * 0.2)))


def test_all_rates_of_a_stage_fall_together():
    config = replace(TextureConfig(), rate_end=0.2, rate_decay_from=0.6)
    optimizer = make_adam([Group([numbers()]), Group([numbers()], 0.5)], 0.1, config.adam)
    rates = Rates(optimizer, config)
    for progress, share in ((0.0, 1.0), (0.6, 1.0), (0.8, 0.6), (1.0, 0.2)):
        rates.set(progress)
        found = [group["lr"] for group in optimizer.param_groups]
        assert found == pytest.approx([0.1 * share, 0.5 * share])


def test_by_default_the_rates_of_a_surface_are_constant_to_the_bit():
    for config in (GeometryConfig(), TextureConfig()):
        optimizer = make_adam([Group([numbers()])], config.learning_rate, config.adam)
        rates = Rates(optimizer, config)
        for progress in (0.0, 0.3, 0.7, 0.99):
            rates.set(progress)
            assert optimizer.param_groups[0]["lr"] == config.learning_rate


def test_adan_takes_groups_too():
    optimizer = make_adan([Group([numbers()]), Group([numbers()], 0.5)], 0.1, GeometryConfig().adan)
    assert isinstance(optimizer, Adan)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.5]
