"""`guide`: the chain rule around a step, whatever runs it."""

import pytest
import torch

from xbind.diffusion.errors import GuidanceError
from xbind.losses.step import guide


class Cubes:
    """A step that is no module, as an engine is none: loss = Σ c x³."""

    inputs = ("image", "c")
    outputs = ("loss", "x_bar")

    def __call__(self, image, *, c):
        assert not image.requires_grad
        return (c * image**3).sum(), 3 * c * image**2


def test_the_gradient_is_the_step_s_own_times_the_cotangent(rng):
    x = torch.randn(2, 3, 4, 4, generator=rng, dtype=torch.float64, requires_grad=True)
    c = torch.rand((), generator=rng, dtype=torch.float64, requires_grad=True)
    loss = guide(Cubes(), 2 * x, c=c)
    assert loss.item() == (c * (2 * x) ** 3).sum().item()

    (loss * 5 + 1).backward()
    torch.testing.assert_close(x.grad, 5 * 3 * c.detach() * (2 * x.detach()) ** 2 * 2)
    assert c.grad is None


def test_an_image_without_gradient_is_allowed(rng):
    loss = guide(Cubes(), torch.rand(1, 3, 2, 2, generator=rng), c=torch.tensor(1.0))
    assert not loss.requires_grad


def test_a_second_derivative_is_refused(rng):
    x = torch.rand(1, 3, 2, 2, generator=rng, requires_grad=True)
    loss = guide(Cubes(), x, c=torch.tensor(1.0))
    (x_bar,) = torch.autograd.grad(loss**2, x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        x_bar.sum().backward()


@pytest.mark.parametrize("feeds", [{}, {"d": torch.tensor(1.0)}])
def test_wrong_feeds_are_named(feeds):
    with pytest.raises(GuidanceError, match=r"Cubes takes the feeds \['c'\], got"):
        guide(Cubes(), torch.zeros(1, 3, 2, 2), **feeds)
