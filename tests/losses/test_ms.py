"""Eq. 2 against loops over views and augmentations, and against finite differences."""

import numpy as np
import pytest
import torch
from torch import nn

from xbind.losses.ms import Ms, ms_weights
from xbind.losses.step import guide


class Encoder(nn.Module):
    """A smooth, nonlinear map from pixels to embeddings."""

    def __init__(self, rng):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 12, generator=rng, dtype=torch.float64))

    def forward(self, pixels):
        return torch.tanh(pixels.flatten(1) @ self.weight.T) + 0.1


def cosine(a, b):
    return float(np.dot(a, b) / np.sqrt(np.dot(a, a) * np.dot(b, b)))


@pytest.fixture
def case(rng):
    step = Ms(Encoder(rng))
    augmented = torch.randn(10, 3, 2, 2, generator=rng, dtype=torch.float64)
    c_m = torch.randn(5, generator=rng, dtype=torch.float64)
    return step, augmented, c_m


def test_loss_is_minus_eq_2(case):
    """b = 2 views, n = 2, in the order G₁ G₂ L₁ L₂ Z of the first view, then of the second."""
    step, augmented, c_m = case
    w_g, w_l, w_z, w = 0.3, 0.5, 0.7, [1.0, 0.25]
    cos = [cosine(e, c_m.numpy()) for e in step.encoder(augmented).numpy()]
    want = 0.0
    for i in range(2):
        want += w_g * w[i] * (cos[i] + cos[5 + i]) / 2
        want += w_l * w[i] * (cos[2 + i] + cos[7 + i]) / 2
        want += w_z * w[i] * (cos[4] + cos[9]) / 2

    weight = ms_weights(2, 2, w_g=w_g, w_l=w_l, w_z=w_z, w=torch.tensor(w, dtype=torch.float64))
    loss, _ = step(augmented, c_m, weight)
    assert loss.item() == pytest.approx(-want, rel=1e-12)


def test_default_weights_give_each_kind_n():
    weight = ms_weights(4, 3, w_g=1.0, w_l=1.0, w_z=1.0)
    assert weight.shape == (4 * 7,)
    by_view = weight.view(4, 7)
    torch.testing.assert_close(by_view[:, :3].sum(), torch.tensor(3.0))
    torch.testing.assert_close(by_view[:, 6].sum(), torch.tensor(3.0))


def test_gradient_matches_finite_differences(case, rng):
    step, augmented, c_m = case
    weight = torch.rand(10, generator=rng, dtype=torch.float64)
    x = augmented.clone().requires_grad_()
    guide(step, x, c_m=c_m, weight=weight).backward()
    for index in [(0, 0, 0, 0), (4, 1, 1, 0), (9, 2, 1, 1)]:
        nudge = torch.zeros_like(augmented)
        nudge[index] = 1e-5
        up, down = (step(augmented + d, c_m, weight)[0].item() for d in (nudge, -nudge))
        assert x.grad[index].item() == pytest.approx((up - down) / 2e-5, rel=1e-6)


def test_descending_turns_views_towards_the_prompt(case):
    step, x, c_m = case
    weight = torch.full((10,), 0.1, dtype=torch.float64)
    _, x_bar = step(x, c_m, weight)

    def losses(images):
        return torch.stack(
            [step(i[None], c_m, w[None])[0] for i, w in zip(images, weight, strict=True)]
        )

    assert (losses(x - 0.1 * x_bar) < losses(x)).all()


def test_only_the_direction_of_the_prompt_counts(case):
    step, x, c_m = case
    weight = torch.ones(10, dtype=torch.float64)
    torch.testing.assert_close(step(x, 20 * c_m, weight), step(x, c_m, weight))
