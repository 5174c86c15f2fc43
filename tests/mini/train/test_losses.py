"""Training pieces against definitions written out with loops."""

import itertools
import json
import math

import pytest
import torch

from xbind.mini.train import loop
from xbind.mini.train.bind import contrastive_loss
from xbind.mini.train.lengths import LoopConfig
from xbind.mini.train.loop import train
from xbind.mini.train.priors import (
    POSE_ERROR,
    UNKNOWN_POSE,
    Zero123Net,
    blurred_pose,
    build_unet,
    start_from_unclip,
)
from xbind.mini.train.step import Ema


def test_contrastive_loss_by_loops():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 5, generator=generator, dtype=torch.float64)
    true = torch.rand(4, 5, generator=generator) < 0.4
    true[1] = False  # an image without any true caption is left out
    undecided = (torch.rand(4, 5, generator=generator) < 0.2) & ~true

    def one_way(at, positive, skipped, rows, columns):
        totals = []
        for i in range(rows):
            kept = [j for j in range(columns) if not skipped(i, j)]
            norm = math.log(sum(math.exp(at(i, j)) for j in kept))
            terms = [norm - at(i, j) for j in kept if positive(i, j)]
            if terms:
                totals.append(sum(terms) / len(terms))
        return sum(totals) / len(totals)

    there = one_way(
        lambda i, j: logits[i, j].item(),
        lambda i, j: true[i, j],
        lambda i, j: undecided[i, j],
        4,
        5,
    )
    back = one_way(
        lambda j, i: logits[i, j].item(),
        lambda j, i: true[i, j],
        lambda j, i: undecided[i, j],
        5,
        4,
    )
    torch.testing.assert_close(
        contrastive_loss(logits, true, undecided).item(), (there + back) / 2, rtol=1e-9, atol=0
    )


def test_ema_copies_buffers_with_infinities():
    net = torch.nn.Linear(2, 2)
    net.register_buffer("mask", torch.full((2,), -torch.inf))
    ema = Ema(net)
    ema.update(torch.tensor(0.1))
    assert torch.equal(ema.average["mask"], net.mask)


def test_ema_by_its_formula(rng):
    net = torch.nn.Linear(3, 2)
    ema = Ema(net)
    want = {k: v.detach().double() for k, v in net.named_parameters()}
    for step in (1, 5, 200):
        decay = min(0.9, (1 + step) / (10 + step))
        with torch.no_grad():
            for p in net.parameters():
                p.copy_(torch.randn(p.shape, generator=rng))
        ema.update(torch.tensor(1 - decay))
        for k, v in net.named_parameters():
            want[k] = decay * want[k] + (1 - decay) * v.detach().double()
            torch.testing.assert_close(ema.average[k].double(), want[k], rtol=1e-5, atol=1e-6)


def _fit(work, samples, batch=4):
    net = torch.nn.Linear(3, 1)
    torch.nn.init.zeros_(net.weight)
    torch.nn.init.zeros_(net.bias)

    def losses(_step, generator):
        x = torch.randn(batch, 3, generator=generator)
        return {"loss": (net(x).squeeze(-1) - x.sum(-1)).square().mean()}

    config = LoopConfig(samples=samples, batch=batch, warmup_steps=1, decay_fraction=1e-9)
    train("fit", net, losses, config, work)
    return net.weight.detach().clone()


def test_training_resumes_where_it_stopped(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    want = _fit(whole, 80)
    _fit(parts, 40)
    torch.testing.assert_close(_fit(parts, 80), want, rtol=0, atol=0)
    assert want.abs().max() > 0


def test_samples_are_a_total_when_the_batch_changes(tmp_path):
    _fit(tmp_path, 40)
    _fit(tmp_path, 100, batch=20)
    state = torch.load(tmp_path / "fit.pt", weights_only=True)
    assert (state["step"], state["samples"]) == (10 + 3, 40 + 60)
    rows = [json.loads(line) for line in (tmp_path / "fit.jsonl").read_text().splitlines()]
    assert [row["samples"] for row in rows] == [40, 100]
    _fit(tmp_path, 100, batch=20)  # nothing is left to do
    assert torch.load(tmp_path / "fit.pt", weights_only=True)["step"] == 13


def test_a_sitting_ends_with_its_minutes(tmp_path, monkeypatch):
    clock = itertools.count(0, 2.0)  # seconds; several readings a step
    monkeypatch.setattr(loop.time, "monotonic", lambda: next(clock))
    net = torch.nn.Linear(1, 1)
    config = LoopConfig(samples=10**6, batch=2, minutes=0.5)
    train("fit", net, lambda *_: {"loss": net(torch.ones(1)).sum()}, config, tmp_path)
    assert 2 <= torch.load(tmp_path / "fit.pt", weights_only=True)["step"] <= 15


def test_the_log_holds_the_mean_loss(tmp_path):
    net = torch.nn.Linear(1, 1)

    def losses(step, _generator):
        value = torch.tensor(float(step))
        return {"loss": net(torch.ones(1)).sum() * 0 + value, "half": value / 2}

    train("fit", net, losses, LoopConfig(samples=8, batch=2), tmp_path)
    row = json.loads((tmp_path / "fit.jsonl").read_text())
    assert (row["loss"], row["half"]) == (1.5, 0.75)  # of steps 0, 1, 2, 3


def test_weights_alone_start_with_a_new_optimiser(tmp_path):
    state = {"weight": torch.full((1, 3), 0.5), "bias": torch.zeros(1)}
    torch.save({"model": state, "ema": state, "step": 10, "samples": 40}, tmp_path / "fit.pt")
    _fit(tmp_path, 48)
    after = torch.load(tmp_path / "fit.pt", weights_only=True)
    assert (after["step"], after["samples"], after["fresh"]) == (12, 48, 10)


def test_zero123_starts_as_the_2d_prior():
    torch.manual_seed(0)
    unclip, net = build_unet(4, 256), Zero123Net()
    start_from_unclip(net, unclip.state_dict())
    weight = net.unet.conv_in.weight
    torch.testing.assert_close(weight[:, :4], unclip.conv_in.weight)
    assert not weight[:, 4:].any()
    torch.testing.assert_close(net.unet.conv_out.weight, unclip.conv_out.weight)


def test_a_reference_s_pose_is_told_with_an_error_and_not_always():
    known = torch.tensor([0.5, 0.6, 0.8]).half().repeat(4000, 1)
    told = blurred_pose(known, torch.Generator().manual_seed(0))
    unknown = (told == 0).all(1)
    assert unknown.float().mean() == pytest.approx(UNKNOWN_POSE, abs=0.02)
    turn = torch.atan2(told[~unknown, 2], told[~unknown, 1]) - math.atan2(0.8, 0.6)
    assert turn.std() == pytest.approx(POSE_ERROR, rel=0.05)
    assert turn.mean() == pytest.approx(0, abs=0.01)
    lift = (told[~unknown, 0] - 0.5) * math.pi / 4
    assert lift.std() == pytest.approx(POSE_ERROR, rel=0.05)
