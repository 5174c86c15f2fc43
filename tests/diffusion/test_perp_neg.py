"""Perp-Neg: projections, its guidance beside a plain loop, and its weights over the azimuth."""

import math

import numpy as np
import pytest
import torch

from xbind.config.terms import PerpNegConfig
from xbind.diffusion.perp_neg import perp_neg, perp_neg_feeds, perpendicular
from xbind.diffusion.schedule import NoiseSchedule
from xbind.diffusion.view_words import VIEW_WORDS

CONTEXTS = torch.eye(len(VIEW_WORDS), dtype=torch.float64)[:, None]
"""One token each, so that a mixture of words reads as its shares."""


def draw(rng, *shape):
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def feeds(azimuth, elevation=0.0, factor=1.0):
    azimuth, elevation = (torch.tensor([float(x)]) for x in (azimuth, elevation))
    return perp_neg_feeds(
        CONTEXTS, elevation, azimuth, overhead_deg=60.0, factor=factor, config=PerpNegConfig()
    )


def shares(context):
    return {VIEW_WORDS[i]: x for i, x in enumerate(context.flatten().tolist()) if x}


def test_what_is_perpendicular_has_no_part_along(rng):
    x, to = draw(rng, 2, 3, 4, 4, 4)
    found = perpendicular(x, to)
    assert (found * to).sum((1, 2, 3)).abs().max() < 1e-12
    along = x - found
    cosine = torch.nn.functional.cosine_similarity(along.flatten(1), to.flatten(1))
    torch.testing.assert_close(cosine.abs(), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(perpendicular(found, to), found)


def test_nothing_is_lost_where_there_is_no_direction(rng):
    x = draw(rng, 1, 4, 4, 4)
    assert perpendicular(x, torch.zeros_like(x)).equal(x)
    assert perpendicular(x, x).abs().max() < 1e-12


def test_guidance_is_that_of_a_loop_over_views(rng):
    cond, uncond, first, second = draw(rng, 4, 3, 4, 2, 2)
    weights, scale = draw(rng, 3, 2), torch.tensor(7.5, dtype=torch.float64)
    got = perp_neg(cond, uncond, [first, second], weights, scale)
    for b in range(3):
        e = (cond[b] - uncond[b]).numpy().ravel()
        total = e.copy()
        for i, negative in enumerate((first, second)):
            away = (negative[b] - uncond[b]).numpy().ravel()
            total += weights[b, i].item() * (away - (away @ e) / (e @ e) * e)
        want = uncond[b].numpy().ravel() + 7.5 * total
        np.testing.assert_allclose(got[b].numpy().ravel(), want, rtol=1e-10)


def test_guidance_commutes_with_the_prediction_type(rng):
    alphas = torch.linspace(0.95, 0.1, 10, dtype=torch.float64)
    z_t, t = draw(rng, 2, 4, 2, 2), torch.tensor([3, 8])
    noises = draw(rng, 4, 2, 4, 2, 2)
    weights, scale = draw(rng, 2, 2), torch.tensor(5.0, dtype=torch.float64)

    def guided(parts):
        cond, uncond, *negatives = parts
        return perp_neg(cond, uncond, negatives, weights, scale)

    for kind in ("epsilon", "v_prediction", "sample"):
        schedule = NoiseSchedule(alphas, kind)
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        z = [(z_t - sigma * e) / alpha for e in noises]
        said = {
            "epsilon": list(noises),
            "sample": z,
            "v_prediction": [alpha * e - sigma * x for e, x in zip(noises, z, strict=True)],
        }[kind]
        got = schedule.noise_of(guided(said), z_t, t)
        torch.testing.assert_close(got, guided(list(noises)))


@pytest.mark.parametrize(
    ("azimuth", "context", "negatives", "weights"),
    [
        (0, {"front": 1}, ("front", "side"), (2.426 - 4 * math.exp(-0.5), 2.426 - 4)),
        (45, {"front": 0.5, "side": 0.5}, ("front", "side"), (2.426 - 4 * math.exp(-0.25),) * 2),
        (-45, {"front": 0.5, "side": 0.5}, ("front", "side"), (2.426 - 4 * math.exp(-0.25),) * 2),
        (90, {"side": 1}, ("side", "front"), (0.606 - math.exp(-0.5), -0.967 - math.exp(-0.5))),
        (135, {"side": 0.5, "back": 0.5}, ("side", "front"),
         (0.606 - math.exp(-0.25), -0.967 - math.exp(-0.25))),
        (180, {"back": 1}, ("side", "front"), (0.606 - 1, -0.967 - 1)),
    ],
)  # fmt: skip
def test_words_and_weights_over_the_azimuth(azimuth, context, negatives, weights):
    found = feeds(azimuth)
    assert shares(found.context) == pytest.approx(context)
    assert [shares(x) for x in found.negatives[0]] == [{name: 1.0} for name in negatives]
    assert found.weights.tolist()[0] == pytest.approx(weights, abs=1e-6)
    assert feeds(azimuth, factor=0.5).weights.tolist()[0] == pytest.approx(
        [w / 2 for w in weights], abs=1e-6
    )


def test_weights_do_not_jump_at_the_side():
    before, after = feeds(89.999), feeds(90.001)
    by_name = [
        {next(iter(shares(x))): w for x, w in zip(f.negatives[0], f.weights[0], strict=True)}
        for f in (before, after)
    ]
    for name in ("front", "side"):
        assert float(by_name[0][name]) == pytest.approx(float(by_name[1][name]), abs=2e-3)


def test_overhead_views_have_a_word_and_no_negative():
    found = feeds(10, elevation=70)
    assert shares(found.context) == {"overhead": 1.0}
    assert found.weights.tolist() == [[0.0, 0.0]]
    assert [shares(x) for x in found.negatives[0]] == [{"none": 1.0}] * 2
