"""Anneals at their ends and at one point between; draws over their whole support."""

import pytest
import torch

from xbind.config.method import CdsConfig
from xbind.diffusion import timesteps


def test_sqrt_anneal_is_half_way_at_a_quarter():
    values = [timesteps.sqrt_anneal(p, 300.0, 20.0) for p in (0.0, 0.25, 1.0)]
    assert values == [300.0, 160.0, 20.0]


def test_hifa_timesteps_fall_from_the_largest_to_the_smallest(rng):
    def at(progress):
        return timesteps.annealed_timesteps(progress, 2, t_min=0.25, t_max=0.75, generator=rng)

    assert [at(p).tolist() for p in (0.0, 0.25, 1.0)] == [[750] * 2, [500] * 2, [250] * 2]


def test_jitter_stays_in_the_range_and_differs_between_views(rng):
    t = timesteps.annealed_timesteps(0.25, 4000, t_min=0.3, t_max=0.7, jitter=0.3, generator=rng)
    assert t.dtype == torch.int64
    assert (t.min(), t.max()) == (300, 700)
    # A quarter of the draws around 0.5 falls beyond each end and is held there.
    assert torch.unique(t).numel() > 300
    assert abs(t.double().mean() - 500) < 10


def test_uniform_timesteps_cover_the_range(rng):
    t = timesteps.uniform_timesteps(20_000, t_min=0.2, t_max=0.6, generator=rng)
    assert (t.min(), t.max()) == (200, 599)
    assert abs(t.double().mean() - 399.5) < 3


def test_the_whole_schedule_ends_at_its_last_step(rng):
    last = timesteps.annealed_timesteps(0.0, 1, t_min=0.0, t_max=1.0, generator=rng)
    assert last.tolist() == [999]


@pytest.mark.parametrize(("progress", "second"), [(0.0, 300), (0.25, 160), (1.0, 20)])
def test_cds_timesteps_are_a_gap_apart(rng, progress, second):
    t_1, t_2 = timesteps.cds_timesteps(progress, 5000, config=CdsConfig(), generator=rng)
    assert torch.equal(t_2, torch.full((5000,), second))
    assert (t_1 - t_2).min() == 100
    assert t_1.max() == min(second + 199, 500)


def test_cds_timesteps_never_pass_the_noisiest(rng):
    t_1, _ = timesteps.cds_timesteps(0.0, 1000, config=CdsConfig(t_2=(380.0, 20.0)), generator=rng)
    assert t_1.max() == 500


def test_cds_clamp_loosens():
    assert [timesteps.cds_clamp(p, CdsConfig()) for p in (0.0, 0.5, 1.0)] == [2.0, 5.0, 8.0]
