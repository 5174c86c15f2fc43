"""What the priors are trained on, against the same draws written out one sample at a time."""

import math

import pytest
import torch

from xbind.mini.train.captions import ADJECTIVES, PER_CELL, build_bank, caption_table
from xbind.mini.train.latents import Latents, draw_targets
from xbind.mini.train.priors import (
    FAR,
    REFINE_T,
    SAID,
    draw_conditions,
    draw_timesteps,
    far_views,
)
from xbind.mini.world.categories import CATEGORIES, COLOUR_NAMES

OBJECTS, VIEWS, NORMALS, SOUNDS, D, COUNT = 40, 6, 2, 5, 8, 300


@pytest.fixture(scope="module")
def bank():
    return build_bank()


@pytest.fixture(scope="module")
def data(bank):
    g = torch.Generator().manual_seed(1)

    def normal(*shape):
        return torch.randn(shape, generator=g)

    pose = normal(OBJECTS, VIEWS, 4)
    pose[..., 2] = 1.5 + torch.rand(OBJECTS, VIEWS, generator=g)
    pose[..., 2][torch.rand(OBJECTS, VIEWS, generator=g) < 0.5] = 2.5
    pose[0, :, 2] = torch.tensor([1.5, 1.9, 1.6, 1.7, 1.9, 1.8])  # never seen whole
    labels = [torch.randint(len(x), (OBJECTS,), generator=g) for x in (CATEGORIES, COLOUR_NAMES)]
    return Latents(
        normal(OBJECTS, VIEWS, 4, 2, 2).half(),
        normal(OBJECTS, NORMALS, 4, 2, 2).half(),
        normal(OBJECTS, VIEWS, D).half(),
        normal(len(bank.ids), D),
        normal(len(CATEGORIES), SOUNDS, D),
        pose,
        torch.stack(labels, 1),
        torch.randint(len(ADJECTIVES), (OBJECTS,), generator=g),
    )


@pytest.fixture(scope="module")
def drawn(data):
    return draw_targets(data, COUNT, torch.Generator().manual_seed(2), normal_share=0.3)


def test_targets_are_the_latents_of_the_drawn_views(data, drawn):
    assert 0.2 < drawn.is_normal.float().mean() < 0.4
    assert set(drawn.views[drawn.is_normal].tolist()) == set(range(NORMALS))
    assert set(drawn.views[~drawn.is_normal].tolist()) == set(range(VIEWS))
    for i, (o, v) in enumerate(zip(drawn.objects, drawn.views, strict=True)):
        latent = data.normal[o, v] if drawn.is_normal[i] else data.colour[o, v]
        assert torch.equal(drawn.z[i], latent.float())


def test_normal_maps_and_close_views_stay_below_their_timestep(data, drawn):
    t = draw_timesteps(data, drawn, torch.Generator().manual_seed(3))
    u = torch.rand(COUNT, generator=torch.Generator().manual_seed(3))
    for i, (o, v) in enumerate(zip(drawn.objects, drawn.views, strict=True)):
        want = int(1000 * u[i] ** 0.6)
        if drawn.is_normal[i] or data.pose[o, v, 2] < FAR:
            want = want * REFINE_T // 1000
        assert t[i] == want


def test_conditions_one_at_a_time(data, bank, drawn):
    got = draw_conditions(data, caption_table(bank, SAID), drawn, torch.Generator().manual_seed(4))
    g = torch.Generator().manual_seed(4)
    other = torch.randint(VIEWS, (COUNT,), generator=g).tolist()
    same = (torch.rand(COUNT, generator=g) < 0.5).tolist()
    kinds = torch.rand(COUNT, generator=g).tolist()
    picks = torch.rand(COUNT, 2, generator=g).tolist()
    seen = []
    for i, (kind, (said, place)) in enumerate(zip(kinds, picks, strict=True)):
        o = int(drawn.objects[i])
        k, c = data.labels[o].tolist()
        if kind < 0.42:
            seen.append("full" if said < 0.8 else "colour" if said < 0.9 else "category")
            rows = bank.rows[seen[-1], k, c, int(data.adjective[o])]
            want = data.text[rows[int(place * len(rows))]]
        elif kind > 0.85:
            seen.append("sound")
            want = data.audio[k, int(place * SOUNDS)]
        else:
            seen.append("image")
            want = data.image[o, drawn.views[i] if same[i] else other[i]].float()
        torch.testing.assert_close(got[i], want / want.norm(), rtol=1e-5, atol=1e-6)
    assert set(seen) == {"full", "colour", "category", "sound", "image"}


def test_caption_table_holds_every_row_of_its_kinds(bank):
    table = caption_table(bank, ("normal", "full"))
    for s, kind in enumerate(("normal", "full")):
        for k, c, a in ((0, 0, 0), (3, 7, 2), (16, 1, 1)):
            assert table[s, k, c, a].tolist() == bank.rows[kind, k, c, a].tolist()
    assert table.unique().numel() == 2 * PER_CELL * math.prod(table.shape[1:4])


def test_references_are_views_of_whole_objects(data):
    views, count = far_views(data.pose)
    for o in range(OBJECTS):
        distance = data.pose[o, :, 2].tolist()
        want = [v for v in range(VIEWS) if distance[v] >= min(FAR, max(distance))]
        assert views[o, : count[o]].tolist() == want
    assert views[0, : count[0]].tolist() == [1, 4]
