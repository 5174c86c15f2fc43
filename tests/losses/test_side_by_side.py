"""Guidance steps at the same time: which thread runs them, and what comes back."""

import threading

import pytest
import torch

from xbind.losses.side_by_side import OneByOne, SideBySide, help_with
from xbind.losses.step import StepCall, guide

WAIT_S = 20.0


class Squares:
    """loss = Σ x²; `before` runs first."""

    inputs = ("image",)
    outputs = ("loss", "x_bar")

    def __init__(self, before=lambda: None):
        self.before, self.thread = before, None

    def __call__(self, image):
        assert not image.requires_grad
        assert not torch.is_grad_enabled()
        self.thread = threading.current_thread()
        self.before()
        return (image**2).sum(), 2 * image


@pytest.fixture
def runner():
    made = SideBySide(1)
    yield made
    made.close()


def image(rng):
    return torch.rand(1, 3, 2, 2, generator=rng).requires_grad_()


def test_loss_and_gradient_are_those_of_guide(runner, rng):
    x = image(rng)
    want = guide(Squares(), x)
    (want_x_bar,) = torch.autograd.grad(3 * want, x)
    for starts in (runner, OneByOne()):
        started = starts.start(StepCall(Squares(), x, {}))
        help_with([started])
        (loss,) = started.losses()
        assert loss.equal(want)
        assert torch.autograd.grad(3 * loss, x)[0].equal(want_x_bar)


def test_two_steps_run_at_the_same_time(runner, rng):
    both = threading.Barrier(2)
    steps = [Squares(lambda: both.wait(WAIT_S)) for _ in range(2)]
    started = [runner.start(StepCall(step, image(rng), {})) for step in steps]
    help_with(started)
    assert [bool(s.losses()[0] > 0) for s in started] == [True, True]
    assert steps[1].thread is threading.current_thread()
    assert steps[0].thread is not steps[1].thread


def test_what_waits_is_run_from_the_last_on_by_the_thread_that_helps(runner, rng):
    begun, order = threading.Event(), []
    last = threading.Event()

    def first():
        begun.set()
        assert last.wait(WAIT_S)

    earlier = [first, lambda: (order.append(1), last.set()), lambda: order.append(2)]
    steps = [Squares(before) for before in earlier]
    started = [runner.start(StepCall(step, image(rng), {})) for step in steps]
    assert begun.wait(WAIT_S)
    help_with(started)
    help_with(started)  # nothing is run twice
    assert order == [2, 1]
    assert all(s.losses()[0] > 0 for s in started)


def test_what_a_step_raises_is_raised_where_its_loss_is_asked_for(runner, rng):
    def fail():
        raise ArithmeticError("seven")

    step = Squares(fail)
    started = runner.start(StepCall(step, image(rng), {}))
    with pytest.raises(ArithmeticError, match="seven"):
        started.losses()
    assert step.thread is not threading.current_thread()


def test_closing_waits_for_what_runs_and_drops_what_waits(rng):
    runner, begun, go_on, done = SideBySide(1), threading.Event(), threading.Event(), []

    def slow():
        begun.set()
        assert go_on.wait(WAIT_S)
        done.append("first")

    steps = [Squares(slow), Squares(lambda: done.append("second"))]
    for step in steps:
        runner.start(StepCall(step, image(rng), {}))
    assert begun.wait(WAIT_S)
    threading.Timer(0.05, go_on.set).start()
    runner.close()
    assert done == ["first"]


def test_torch_computes_with_the_other_threads_while_steps_run(rng, monkeypatch):
    told = [5]
    monkeypatch.setattr("torch.get_num_threads", lambda: told[-1])
    monkeypatch.setattr("torch.set_num_threads", told.append)
    runner = SideBySide(1, of_each=2)
    for _ in range(2):
        started = [runner.start(StepCall(Squares(), image(rng), {})) for _ in range(3)]
        assert told[-1] == 3
        help_with(started)
        assert all(s.losses()[0] > 0 for s in started)
        runner.finished()
        assert told[-1] == 5
    runner.start(StepCall(Squares(), image(rng), {}))
    runner.close()  # an iteration that failed
    assert told == [5, 3, 5, 3, 5, 3, 5]
