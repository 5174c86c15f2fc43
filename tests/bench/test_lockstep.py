"""Variants in step: the same work for each, and a run that does not notice."""

import sys
import threading
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from xbind.algorithm.iteration import advance
from xbind.bench import instrument
from xbind.bench.lockstep import Lockstep
from xbind.bench.memory import peak_bytes_of
from xbind.bench.variants import Switch, TimedStep, Variant
from xbind.losses.side_by_side import SideBySide


class Step:
    """A guidance step whose gradient is a constant."""

    inputs, outputs = ("image",), ("loss", "x_bar")

    def __init__(self, slope):
        self.slope, self.calls = slope, 0

    def __call__(self, image):
        self.calls += 1
        return self.slope * image.sum(), torch.full_like(image, self.slope)


class Guided(torch.autograd.Function):
    @staticmethod
    def forward(ctx, image, step):
        loss, ctx.x_bar = step(image.detach())
        return loss

    @staticmethod
    def backward(ctx, bar):
        return bar * ctx.x_bar, None


class Drift:
    """A phase of three numbers, with a momentum and noise from the generator."""

    name, steps = "coarse", 12
    config = SimpleNamespace(views=3, size=16)

    def __init__(self, steps):
        self.module = nn.ParameterList([nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))])
        self.optimizer = torch.optim.Adam(self.module.parameters(), 0.1)
        self._steps = steps

    def terms(self, step, generator):
        x = self.module[0] * torch.rand(3, generator=generator)
        return {"planar": Guided.apply(x, self._steps("sds2d")), "size": x.square().sum()}

    def weights(self, step):
        return {"planar": 1.0, "size": 0.01 * step}

    def preview(self):
        return self.module[0].detach().clone()


def variant(name, slope):
    step = Step(slope)
    return Variant(name, lambda _: step, ""), step


def run(lockstep, switch):
    phase, generator = Drift(switch), torch.Generator().manual_seed(3)
    do = advance if lockstep is None else lockstep.advance
    terms = [do(phase, step, generator) for step in range(phase.steps)]
    return phase.module[0].detach(), terms


@pytest.fixture
def measured(monkeypatch):
    monkeypatch.setattr(instrument, "PARTS", instrument.PARTS[-1:])
    right, step = variant("eager", 1.0)
    wrong, _ = variant("onnxruntime", 1.5)
    switch = Switch(right)
    lockstep = Lockstep(
        [right, wrong], switch, right.steps, samples=4, clock="wall", seed=0, report=print
    )
    return lockstep, run(lockstep, switch), run(None, Switch(right)), step


def test_the_run_does_not_notice(measured):
    _, found, wanted, _ = measured
    assert torch.equal(found[0], wanted[0])
    assert found[1] == wanted[1]


def test_every_sampled_iteration_is_computed_by_all_from_the_same_state(measured):
    lockstep, _, (_, terms), _ = measured
    sampled = lockstep.phases["coarse"]
    assert (sampled.views, sampled.size, sampled.steps) == (3, 16, 12)
    eager, other = sampled.turns["eager"], sampled.turns["onnxruntime"]
    assert len(eager) == len(other) == 4
    assert all(turn.terms in terms for turn in eager)  # as the run had them
    for a, b in zip(eager, other, strict=True):
        assert a.terms["size"] == b.terms["size"]  # the same noise, the same parameters
        assert b.terms["planar"] == pytest.approx(1.5 * a.terms["planar"])
        apart = b.gradient - a.gradient  # half as much again of the first term's gradient
        assert (apart > 0).all()


def test_parts_of_a_turn_are_the_whole_of_it(measured):
    lockstep, *_ = measured
    for turn in lockstep.phases["coarse"].turns["eager"]:
        assert {"sds2d", "backward", "optimiser", "other"} == turn.parts.keys()
        assert min(turn.parts.values()) > 0
        assert sum(turn.parts.values()) <= turn.seconds


def test_optimiser_traffic_is_counted(measured):
    lockstep, *_ = measured
    # 3 parameters read and written, 3 gradients, two numbers of state for each, read and written
    assert lockstep.phases["coarse"].work.optimiser.bytes == 4 * (3 * 3 + 2 * 6)


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's high-water mark")
def test_peak_is_what_the_work_needs():
    held = torch.ones(2**22)  # 16 MiB that are there before
    device = torch.device("cpu")
    result, peak = peak_bytes_of(lambda: float(torch.ones(2**24).sum()), device)
    assert result == 2**24
    if peak is None:
        pytest.skip("this system does not let a process reset its high-water mark")
    assert 60 * 2**20 < peak < 90 * 2**20
    assert peak_bytes_of(lambda: None, device)[1] < 8 * 2**20
    del held


def test_a_variant_starts_steps_its_own_way_and_then_has_no_part_for_each():
    own = SideBySide(1)
    right, step = variant("eager", 1.0)
    abreast = Variant("onnxruntime", right.steps, "", own)
    switch = Switch(right)
    with switch.taken_by(right, instrument.PartClock()):
        assert isinstance(switch("ms"), TimedStep)
    with switch.taken_by(abreast, instrument.PartClock()):
        assert switch("ms") is step
        call = SimpleNamespace(run=threading.current_thread, losses_of=lambda ran_in: (ran_in,))
        assert switch.start(call).losses()[0] is not threading.current_thread()
    own.close()
