"""The occupancy grid against densities whose support is known."""

import logging

import pytest
import torch

from xbind.config.scene import OccupancyConfig
from xbind.scene.nerf.occupancy import OccupancyGrid

RADIUS = 0.8
CONFIG = OccupancyConfig(resolution=16, interval=4, decay=0.5, threshold=1.0)


def grid():
    return OccupancyGrid(CONFIG, radius=RADIUS)


def constant(value):
    return lambda x: torch.full((len(x),), value)


def corners():
    """World positions of the eight corners of every cell, [g, g, g, 8, 3]."""
    edge = torch.linspace(-RADIUS, RADIUS, 17)
    at = torch.stack(torch.meshgrid(edge, edge, edge, indexing="ij"), -1)
    low_high = (slice(None, -1), slice(1, None))
    return torch.stack([at[i, j, k] for i in low_high for j in low_high for k in low_high], -2)


def test_starts_as_the_whole_ball():
    inside = (corners().norm(dim=-1) < RADIUS).any(-1)
    assert torch.equal(grid().cells, inside)


def test_finds_a_half_space(rng):
    occupancy = grid()
    for _ in range(6):
        occupancy.update(lambda x: 50.0 * (x[:, 0] > 0.21), rng)
    ball, x = grid().cells, corners()[..., 0]
    assert occupancy.cells[ball & (x.amin(-1) > 0.21)].all()
    assert not occupancy.cells[~ball | (x.amax(-1) < 0.21)].any()
    assert occupancy.cells[ball & (x.amin(-1) < 0.21) & (x.amax(-1) > 0.21)].any()


def test_forgets_slowly(rng):
    # 7 → 3.5 → 1.75 → 0.875: empty at the third look that finds nothing
    occupancy = grid()
    occupancy.update(lambda x: 7.0 + 0 * x[:, 0], rng)
    count = []
    for _ in range(3):
        occupancy.update(lambda x: 100.0 * (x[:, 0] > 0), rng)
        count.append(bool(occupancy.cells[:8].any()))
    assert count == [True, True, False]
    assert occupancy.cells[8:].any()


def test_an_empty_field_gets_its_ball_back_and_says_so(rng, caplog):
    occupancy = grid()
    with caplog.at_level(logging.WARNING):
        occupancy.update(constant(0.1), rng)
    assert torch.equal(occupancy.cells, grid().cells)
    assert "The field is empty" in caplog.text


def test_looks_every_interval(rng):
    occupancy, looks = grid(), []
    for iteration in range(9):
        occupancy.maintain(
            iteration, lambda x, i=iteration: looks.append(i) or constant(5.0)(x), rng
        )
    assert looks == [0, 4, 8]


def test_looks_anywhere_in_a_cell(rng):
    seen = []
    for _ in range(2):
        grid().update(lambda x: seen.append(x) or constant(5.0)(x), rng)
    place = (seen[0] / RADIUS + 1) / 2 * 16 % 1
    assert seen[0].shape == seen[1].shape
    assert not torch.equal(*seen)
    torch.testing.assert_close(place.mean(0), torch.full((3,), 0.5), rtol=0, atol=0.03)
    assert place.std(0).amin() > 0.25


def test_state_survives_a_checkpoint(rng):
    a, b = grid(), grid()
    a.update(lambda x: 9.0 * x[:, 0].abs(), rng)
    b.load_state_dict(a.state_dict())
    assert torch.equal(a.cells, b.cells)
    assert torch.equal(a.density, b.density)


@pytest.mark.parametrize("wrong", [{"resolution": 0}, {"interval": 0}, {"decay": 1.0}])
def test_config_refuses(wrong):
    with pytest.raises(ValueError, match="must be"):
        OccupancyConfig(**wrong)
