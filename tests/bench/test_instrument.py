"""Parts of an iteration: nothing is counted twice, nothing is left out, nothing stays behind."""

import threading
import time

import pytest
import torch

from xbind import kernels
from xbind.bench import instrument
from xbind.bench.instrument import (
    OPERATORS,
    OTHER,
    PARTS,
    PartClock,
    operators_plain,
    operators_replaced,
    parts_timed,
)
from xbind.config.scene import FieldConfig
from xbind.kernels.augment import operator as augment_operator
from xbind.kernels.common import choice
from xbind.kernels.surface import operator as surface_operator
from xbind.scene.mesh import dmtet
from xbind.scene.nerf import field
from xbind.scene.nerf import render as nerf_render


class Hands:
    """A clock whose hands move when told to."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at

    def wait(self, seconds: float) -> float:
        self.at += seconds
        return self.at


def test_inner_parts_are_not_counted_twice():
    hands = Hands()
    clock = PartClock(hands)
    with clock.part("outer"):
        hands.at += 1
        with clock.part("inner"):
            hands.at += 10
            with clock.part("outer"):
                hands.at += 100
        hands.at += 1000
    hands.at += 10_000  # outside of every part
    with clock.part("outer"):
        hands.at += 2
    assert clock.seconds == {"outer": 1103, "inner": 10}


def test_a_part_that_raises_ends():
    hands = Hands()
    clock = PartClock(hands)
    fails = clock.timed("inner", lambda: hands.wait(3) / 0)
    with clock.part("outer"):
        with pytest.raises(ZeroDivisionError):
            fails()
        hands.at += 4
    assert clock.seconds == {"inner": 3, "outer": 4}


class Optimizer:
    def __init__(self, hands: Hands) -> None:
        self.hands = hands

    def step(self) -> None:
        self.hands.at += 7


class Phase:
    def __init__(self, hands: Hands) -> None:
        self.optimizer = Optimizer(hands)


def test_parts_sum_to_the_iteration_and_leave_nothing_behind():
    hands = Hands()
    clock, phase = PartClock(hands), Phase(hands)
    before = [vars(owner)[name] for _, owner, name in PARTS]
    x = torch.ones((), requires_grad=True)
    started = hands.at
    with parts_timed(clock, phase):
        hands.at += 5
        x.register_hook(lambda _: setattr(hands, "at", hands.at + 20))
        (2 * x).backward()
        phase.optimizer.step()
    assert clock.seconds == {OTHER: 5, "backward": 20, "optimiser": 7}
    assert sum(clock.seconds.values()) == hands.at - started
    assert [vars(owner)[name] for _, owner, name in PARTS] == before
    assert "step" not in vars(phase.optimizer)


def test_replaced_wherever_they_are_called():
    seen = []

    def note(name, operator):
        seen.append(name)
        return operator

    with operators_replaced(note):
        pass
    assert {*OPERATORS, "marching_tetrahedra"} - {"hash_encode"} <= set(seen)


def compute_a_little():
    """A field, a march and a mesh."""
    generator = torch.Generator().manual_seed(0)
    made = field.HashField(FieldConfig(resolutions=(12, 96), log2_entries=4), generator=generator)
    x = torch.rand(5, 3, generator=generator)
    made(x)
    nerf_render.march(x, x, None, radius=1.0, step=0.5, jitter=x[:, 0])
    ball = dmtet.DMTet.from_density(
        lambda p: 20 * (1 - p.norm(dim=-1)),
        -torch.ones(3),
        torch.ones(3),
        8,
        threshold=10.0,
        smoothing=0,
    )
    ball.extract()


@pytest.mark.parametrize("rasteriser", [False, True])
def test_plain_uses_the_definitions_only(monkeypatch, rasteriser):
    forms = []
    monkeypatch.setattr(choice, "say", forms.append)
    for module in (kernels.volume, surface_operator, augment_operator):
        monkeypatch.setattr(module, "say", forms.append, raising=False)
    with operators_plain(rasteriser=rasteriser):
        compute_a_little()
    assert forms
    assert all(" runs as reference on cpu" in form for form in forms)
    forms.clear()
    compute_a_little()
    assert all(" runs as numba on cpu" in form for form in forms)


def test_plain_rasteriser_is_the_definition_where_it_counts(rng):
    clip = torch.randn(1, 12, 4, generator=rng)
    clip[..., 3] = 2 + clip[..., 3].abs()
    faces = torch.arange(12).view(4, 3)
    want = kernels.rasterize(clip, faces, (9, 7), impl="reference")
    got = instrument.rasterize_searched(clip, faces, (9, 7))
    torch.testing.assert_close(got, want)
    assert (want[..., 3] > 0).any()


def test_off_costs_nothing():
    """What is replaced is the function itself again: there is no wrapper left to call."""
    original = PARTS[0]
    with parts_timed(PartClock(time.perf_counter), Phase(Hands())):
        assert getattr(original[1], original[2]).__wrapped__
    assert not hasattr(getattr(original[1], original[2]), "__wrapped__")


def test_parts_of_other_threads_are_not_counted():
    hands = Hands()
    clock = PartClock(hands)
    work = clock.timed("step", lambda: hands.wait(3))
    with clock.part("waiting"):
        other = threading.Thread(target=work)
        other.start()
        other.join()
        work()
    assert clock.seconds == {"waiting": 3, "step": 3}
