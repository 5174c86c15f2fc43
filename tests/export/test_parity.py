"""The gate: what it measures, and that it refuses what is wrong."""

import math

import pytest
import torch

from xbind.engine.errors import ParityError
from xbind.export.parity import TOLERANCES, Figure, compare, gate, measure

FLOAT32 = TOLERANCES["float32"]


def test_figures_of_a_known_error():
    wanted = torch.tensor([3.0, 4.0])
    figure = compare("x_bar", wanted, torch.tensor([4.0, -3.0]))
    assert figure.cosine == pytest.approx(0.0, abs=1e-12)
    assert figure.relative == pytest.approx(math.sqrt(50) / 5)
    assert compare("x_bar", wanted, 2 * wanted).relative == pytest.approx(1.0)
    assert compare("x_bar", wanted, 2 * wanted).cosine == pytest.approx(1.0)


def test_a_scalar_near_zero_counts_by_its_absolute_error():
    assert compare("loss", torch.tensor(1e-9), torch.tensor(-1e-9)).passes(FLOAT32)
    assert not compare("loss", torch.tensor(1.0), torch.tensor(1.01)).passes(FLOAT32)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_never_passes(bad):
    wanted = torch.ones(4)
    for found in (torch.tensor([1.0, 1.0, 1.0, bad]), torch.full((4,), bad)):
        assert not compare("x_bar", wanted, found).passes(FLOAT32)


def test_all_zeros_agree_with_all_zeros_only():
    zeros = torch.zeros(4)
    assert compare("x_bar", zeros, zeros).passes(FLOAT32)
    assert not compare("x_bar", zeros, 1e-3 * torch.ones(4)).passes(FLOAT32)


def test_the_worst_trial_of_each_output_counts():
    trials = [{"x": torch.tensor([1.0, float(i)])} for i in range(3)]

    def right(feeds):
        return {"y": feeds["x"], "z": feeds["x"]}

    def wrong_once(feeds):
        return {"y": feeds["x"], "z": feeds["x"] * (1.5 if feeds["x"][1] == 1 else 1.0)}

    y, z = measure(right, wrong_once, trials)
    assert (y.relative, z.relative) == (0.0, pytest.approx(0.5))


@pytest.mark.parametrize("bad_trial", [0, 1, 2])
def test_a_trial_that_is_not_finite_is_not_forgotten(bad_trial):
    trials = [{"x": torch.tensor([1.0, float(i)])} for i in range(3)]

    def breaks_once(feeds):
        return {"y": feeds["x"] * (math.nan if feeds["x"][1] == bad_trial else 1.0)}

    (y,) = measure(lambda feeds: {"y": feeds["x"]}, breaks_once, trials)
    assert not y.passes(FLOAT32)


def test_the_gate_names_the_first_bad_output():
    figures = [Figure("loss", 1.0, 0.0, True), Figure("x_bar", 0.2, 1.4, True)]
    with pytest.raises(
        ParityError, match=r"'ms-b3' on OpenVINO is not what .* computes: x_bar: cosine 0.2"
    ):
        gate("ms-b3", "OpenVINO", figures, FLOAT32)
    gate("ms-b3", "OpenVINO", figures[:1], FLOAT32)
