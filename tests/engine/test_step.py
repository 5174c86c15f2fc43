"""A compiled step is called like the module it was made of, and differentiable in its image."""

import pytest
import torch

from xbind.engine.eager import EagerBackend
from xbind.engine.errors import FeedError
from xbind.engine.spec import GraphSpec, TensorSpec
from xbind.engine.step import EngineStep
from xbind.losses.step import guide


class Square(torch.nn.Module):
    """loss = w Σ x² and its gradient."""

    def forward(self, image, w):
        return w * image.square().sum(), 2 * w * image


def backend(side):
    image = TensorSpec("image", "float32", (1, 3, side, side))
    outputs = (TensorSpec("loss", "float32", ()), image)
    names = ("loss", "x_bar")
    return EagerBackend(
        GraphSpec(
            "square",
            (image, TensorSpec("w", "float32", ())),
            tuple(TensorSpec(n, s.dtype, s.shape) for n, s in zip(names, outputs, strict=True)),
        ),
        Square(),
    )


def test_is_one_differentiable_call():
    step = EngineStep([backend(4), backend(6)])
    image = torch.randn(1, 3, 6, 6, requires_grad=True)
    loss = guide(step, image, w=torch.tensor(0.5))
    (3 * loss).backward()
    torch.testing.assert_close(loss, 0.5 * image.square().sum())
    torch.testing.assert_close(image.grad, 3 * image.detach())


def test_has_no_second_derivative():
    image = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = guide(EngineStep([backend(4)]), image, w=torch.tensor(0.5))
    (x_bar,) = torch.autograd.grad(loss, image, create_graph=True)
    with pytest.raises(RuntimeError, match=r"once_differentiable|does not require grad"):
        x_bar.sum().backward()


def test_a_shape_without_an_engine_is_named():
    step = EngineStep([backend(4), backend(6)])
    with pytest.raises(
        FeedError, match=r"'image' as \[1, 3, 5, 5\].*\[1, 3, 4, 4\], \[1, 3, 6, 6\]"
    ):
        step(torch.zeros(1, 3, 5, 5), w=torch.tensor(1.0))
