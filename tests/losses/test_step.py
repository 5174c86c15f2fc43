"""`guide`: the chain rule around a step, whatever runs it."""

import pytest
import torch

from xbind.diffusion.errors import GuidanceError
from xbind.losses.step import StepCall, guide


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


class Fits:
    """Two losses: Σ (x − sg(θ))² of the image, Σ (3 θ − sg(x))² of θ, over numbers."""

    inputs = ("image", "theta", "c")
    outputs = ("loss", "x_bar", "loss_theta", "theta_bar")

    def __call__(self, image, *, theta, c):
        assert not image.requires_grad
        assert not theta.requires_grad
        away, error = image - theta, c * theta - image.mean()
        return away.square().sum(), 2 * away, error.square().sum(), 2 * c * error


def test_a_feed_that_a_step_trains_has_a_loss_of_its_own(rng):
    x = torch.randn(1, 1, 2, 2, generator=rng, dtype=torch.float64, requires_grad=True)
    theta = torch.randn(2, generator=rng, dtype=torch.float64, requires_grad=True)
    c = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)

    def losses(x, theta):
        return StepCall(Fits(), 2 * x, {"theta": 5 * theta, "c": c}).losses()

    loss, loss_theta = losses(x, theta)
    seven, eleven = torch.autograd.grad(7 * loss + 11 * loss_theta, (x, theta))
    held = 5 * theta.detach()

    def wanted_of_image(x):
        return 7 * (2 * x - held).square().sum()

    def wanted_of_theta(theta):
        return 11 * (3 * 5 * theta - 2 * x.detach().mean()).square().sum()

    torch.testing.assert_close(seven, torch.autograd.grad(wanted_of_image(x), x)[0])
    torch.testing.assert_close(eleven, torch.autograd.grad(wanted_of_theta(theta), theta)[0])
    assert torch.autograd.grad(losses(x, theta)[0], theta, allow_unused=True) == (None,)
    assert torch.autograd.grad(losses(x, theta)[1], x, allow_unused=True) == (None,)
    assert c.grad is None
