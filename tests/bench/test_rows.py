"""Ratios, parity and roofline against numbers worked out by hand."""

import math
from types import SimpleNamespace

import pytest
import torch

from xbind.bench.lockstep import Sampled, Turn, draw_steps
from xbind.bench.operator_work import ONE_PASS, composite_work, grid_mlp_work, work_of
from xbind.bench.rows import mean_parts_ms, paired_ratio, parity_of, rows_of, term_error
from xbind.bench.timing import Machine, Work
from xbind.bench.work import IterationWork, roofline_shares

MACHINE = Machine(torch.device("cpu"), 1, 10e9, 100e9)
"""10 GB/s and 100 GFLOP/s: 1 ms for 10 MB, or for 100 MFLOP."""


def turn(seconds, gradient=(3.0, 4.0), terms=None, **parts):
    parts = parts or {"other": seconds}
    terms = {"a": 2.0} if terms is None else terms
    return Turn(seconds, parts, 1000, terms, torch.tensor(gradient))


def sampled(**turns):
    made = Sampled("coarse", views=2, size=64, steps=100)
    made.turns = turns
    made.renders = {name: torch.full((3, 2, 2), 0.5) for name in turns}
    made.work = IterationWork(half=Work(1e6, 0.0))
    return made


def rows(made, precision="float32"):
    given = {"preset": "smoke", "bundle": "mini", "clock": "wall"}
    return {row.form: row for row in rows_of(made, MACHINE, precision=precision, **given)}


def test_ratio_is_the_median_of_pairs():
    ours, theirs = [turn(t) for t in (1.0, 2.0, 4.0)], [turn(t) for t in (3.0, 10.0, 8.0)]
    assert paired_ratio(ours, theirs) == 3.0  # of 3, 5 and 2


def test_means_count_absent_parts_as_nothing():
    turns = [turn(0.003, render=0.001, backward=0.002), turn(0.005, render=0.005)]
    assert mean_parts_ms(turns) == pytest.approx({"render": 3.0, "backward": 1.0})


def test_figures_of_a_row():
    plain, fast = [turn(0.4), turn(0.6)], [turn(0.1, other=0.1), turn(0.1, other=0.1)]
    row = rows(sampled(plain=plain, onnxruntime=fast))["onnxruntime"]
    assert row.mean_ms == pytest.approx(100)
    assert row.iterations_per_second == pytest.approx(10)
    assert row.views_per_second == pytest.approx(20)  # two views each
    assert row.ratio == pytest.approx(5)  # of 4 and 6
    assert row.against == "plain"
    assert row.times_eager is None
    assert sum(row.parts_ms.values()) == pytest.approx(row.mean_ms)
    assert row.agrees


def test_parity_is_the_worst_of_all_iterations():
    reference = [turn(1.0), turn(1.0, gradient=(0.0, 2.0), terms={"a": -4.0})]
    other = [turn(1.0), turn(1.0, gradient=(0.2, 2.0), terms={"a": -5.0})]
    parity = parity_of(other, reference)
    assert parity.gradient_error == pytest.approx(0.1)
    assert parity.gradient_cosine == pytest.approx(2 / math.hypot(0.2, 2))
    assert parity.term_error == pytest.approx(0.25)


@pytest.mark.parametrize(
    "wrong",
    [
        {"gradient": (4.0, -3.0)},  # another direction
        {"gradient": (6.0, 8.0)},  # the same one, twice as long
        {"terms": {"a": 2.2}},
        {"terms": {"b": 2.0}},
    ],
)
def test_a_variant_that_differs_does_not_agree(wrong):
    found = rows(sampled(plain=[turn(1.0)] * 2, eager=[turn(0.5), turn(0.5, **wrong)]))
    assert found["plain"].agrees
    assert not found["eager"].agrees


def test_another_picture_does_not_agree():
    made = sampled(plain=[turn(1.0)], eager=[turn(1.0)])
    made.renders["eager"] = made.renders["eager"] + 0.01
    found = rows(made)["eager"]
    assert found.render_difference == pytest.approx(0.01)
    assert not found.agrees


def test_half_precision_is_judged_more_mildly():
    made = sampled(eager=[turn(1.0)], openvino=[turn(1.0, gradient=(3.0, 4.4))])
    assert not rows(made)["openvino"].agrees
    assert rows(made, "bfloat16")["openvino"].agrees


def test_small_terms_are_compared_absolutely():
    assert term_error({"a": 1e-6}, {"a": 0.0}) == pytest.approx(1e-3)
    assert term_error({"a": 1.0, "b": 1.0}, {"a": 1.0}) == math.inf


def test_roofline_of_every_part():
    work = IterationWork(
        steps={"ms": Work(1e6, 400e6)},  # 4 ms of arithmetic, 0.1 ms of traffic
        half=Work(30e6, 1e6),  # 3 ms of traffic
        optimiser=Work(10e6, 0.0),  # 1 ms
    )
    parts = {"ms": 8.0, "render": 4.0, "backward": 5.0, "augment": 1.0, "optimiser": 2.0}
    assert roofline_shares(work, parts, MACHINE) == pytest.approx(
        {"ms": 0.5, "differentiable half": 0.3, "optimiser": 0.5}
    )


def test_every_iteration_has_the_same_chance():
    draws = SimpleNamespace(randrange=lambda a, b: (a, b))
    assert draw_steps(10, 3, draws) == [(0, 3), (3, 7), (7, 10)]
    assert draw_steps(2, 3, draws) == [0, 1]


def test_work_of_the_operators():
    # one level of 4 entries × 2 features, 3 hidden units, 4 outputs, 10 points
    table, hidden, output = torch.zeros(1, 4, 2), torch.zeros(3, 2), torch.zeros(4, 3)
    work = grid_mlp_work(10, table, hidden, output)
    grid_bytes = 4 * (6 * 10 + 2 * 20 + 2 * 8)
    assert work.bytes == grid_bytes + 4 * (2 * 10 * 4 + 3 * 18)
    assert work.flops == 2 * 10 * (32 + 30) + 3 * 2 * 10 * 18
    assert composite_work(5, 2) == Work(4 * (20 * 5 + 14 * 2), 65 * 5)
    assert work_of("hash_encode", (), None) is None  # a part of grid_mlp
    assert ONE_PASS == ("march",)
