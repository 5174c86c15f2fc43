"""One iteration, and that it stops where a number is not finite."""

import pytest
import torch
from torch import nn

from xbind.algorithm.iteration import NoTerms, NotFinite, advance, check_finite


class Quadratic:
    """x² + w·y, for one parameter of two numbers."""

    name, steps = "coarse", 12

    def __init__(self, factor=1.0):
        self.module = nn.ParameterDict({"x": nn.Parameter(torch.tensor([3.0, 4.0]))})
        self.optimizer = torch.optim.SGD(self.module.parameters(), lr=0.5)
        self.factor = factor

    def terms(self, step, generator):
        del step, generator
        x = self.module["x"]
        return {"square": (x**2).sum(), "planar": self.factor * x.sum()}

    def weights(self, step):
        del step
        return {"square": 1.0, "planar": 0.0}


def test_one_step_of_gradient_descent(rng):
    phase = Quadratic()
    assert advance(phase, 0, rng) == {"square": 25.0, "planar": 7.0}
    assert phase.module["x"].tolist() == [0.0, 0.0]  # x − 0.5 · 2x
    check_finite(phase, 1)


@pytest.mark.parametrize("factor", [float("nan"), float("inf"), -float("inf")])
def test_a_term_that_is_not_finite_is_named_and_nothing_is_changed(rng, factor):
    phase = Quadratic(factor)
    with pytest.raises(NotFinite, match="coarse, step 5 of 12: the loss term 'planar' is"):
        advance(phase, 4, rng)
    assert phase.module["x"].tolist() == [3.0, 4.0]


def test_parameters_that_are_not_finite_are_not_saved():
    phase = Quadratic()
    phase.module["x"].data[1] = torch.inf
    with pytest.raises(NotFinite, match=r"the parameter 'x' is not finite.*square, planar"):
        check_finite(phase, 5)


def test_an_iteration_without_a_term_is_refused(rng):
    phase = Quadratic()
    phase.terms = lambda step, generator: {}
    with pytest.raises(
        NoTerms, match=r"coarse has no loss term in iteration 1 of 12(.|\n)*steps 0"
    ):
        advance(phase, 0, rng)
