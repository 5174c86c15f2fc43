"""Backgrounds: functions of the direction alone, learned or random."""

import pytest
import torch

from xbind.config.terms import BackgroundConfig
from xbind.scene.cameras import Cameras, orbit
from xbind.scene.nerf.background import LearnedBackground, draw_background

LEARNED = BackgroundConfig(kind="learned")
EITHER = BackgroundConfig(kind="learned_or_random", p_random=0.4)


def test_a_direction_has_one_colour_from_everywhere(rng):
    background = LearnedBackground(LEARNED, generator=rng)
    near, far = (
        Cameras(*(torch.tensor([x]) for x in (20.0, 30.0, distance, 50.0)))
        for distance in (1.0, 9.0)
    )
    torch.testing.assert_close(background.image(near, 6), background.image(far, 6))
    image = background.image(near, 6)
    assert image.shape == (1, 3, 6, 6)
    _, directions = near.rays(6)
    torch.testing.assert_close(image[0, :, 1, 4], background(directions[0, 1, 4]))
    assert 0 < image.min() < image.max() < 1


def test_degree_one_knows_no_direction(rng):
    one = LearnedBackground(BackgroundConfig(kind="learned", degree=1), generator=rng)
    image = one.image(orbit(3), 4)
    assert torch.equal(image, image[:1, :, :1, :1].expand_as(image))
    three = LearnedBackground(LEARNED, generator=rng).image(orbit(3), 4)
    assert three.std() > 1e-3


def test_it_is_differentiable_and_has_the_configured_layers(rng):
    config = BackgroundConfig(kind="learned", hidden=5, hidden_layers=3)
    background = LearnedBackground(config, generator=rng)
    shapes = [tuple(w.shape) for w in background.parameters()]
    assert shapes == [(5, 9), (5, 5), (5, 5), (3, 5)]
    background.image(orbit(1), 4).sum().backward()
    assert all(w.grad.abs().sum() > 0 for w in background.parameters())


def test_the_same_seed_has_the_same_colours():
    images = [
        LearnedBackground(LEARNED, generator=torch.Generator().manual_seed(s)).image(orbit(1), 4)
        for s in (1, 1, 2)
    ]
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])


@pytest.mark.parametrize("config", [BackgroundConfig(), LEARNED])
def test_nothing_is_drawn_for_fixed_backgrounds(rng, config):
    learned = LearnedBackground(LEARNED, generator=rng)
    before = rng.get_state()
    drawn = draw_background(config, learned, orbit(2), 4, rng)
    assert torch.equal(rng.get_state(), before)
    if config.kind == "white":
        assert drawn == 1.0
    else:
        assert torch.equal(drawn, learned.image(orbit(2), 4))


def test_some_views_have_one_random_colour(rng):
    learned = LearnedBackground(LEARNED, generator=rng)
    image = draw_background(EITHER, learned, orbit(500), 3, rng)
    flat = (image == image[:, :, :1, :1]).all((1, 2, 3))
    assert flat.float().mean().item() == pytest.approx(0.4, abs=0.06)
    colours = image[flat][:, :, 0, 0]
    assert len(colours.unique(dim=0)) == len(colours)
    torch.testing.assert_close(colours.mean(0), torch.full((3,), 0.5), atol=0.08, rtol=0)
    assert torch.equal(image[~flat], learned.image(orbit(500), 3)[~flat])
