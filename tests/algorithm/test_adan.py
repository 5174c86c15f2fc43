"""Adan against the paper's sums, written out for one number in float64."""

import copy
import io
import math

import pytest
import torch

from xbind.algorithm.adan import Adan


def adan_by_sums(theta, gradients, *, lr, betas, eps, decay):
    """The position after every step, from the whole history each time: no running averages."""
    b1, b2, b3 = betas
    path = []
    for k in range(1, len(gradients) + 1):
        g = gradients[:k]
        d = [0.0] + [g[j] - g[j - 1] for j in range(1, k)]

        def average(values, b, k=k):
            shares = [(1 - b) * b ** (k - 1 - j) for j in range(k)]
            return sum(s * v for s, v in zip(shares, values, strict=True)) / sum(shares)

        m, v = average(g, b1), average(d, b2)
        n = average([(a + b2 * b) ** 2 for a, b in zip(g, d, strict=True)], b3)
        theta = (theta - lr * (m + b2 * v) / (math.sqrt(n) + eps)) / (1 + lr * decay)
        path.append(theta)
    return path


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("betas", [(0.98, 0.92, 0.99), (0.5, 0.3, 0.7)])
def test_steps_are_those_of_the_paper(decay, betas):
    gradients = [0.5, -1.0, 2.0, 2.0, 1e-3, -0.7]
    want = adan_by_sums(1.5, gradients, lr=0.1, betas=betas, eps=1e-3, decay=decay)

    p = torch.tensor([1.5], dtype=torch.float64, requires_grad=True)
    optimizer = Adan([p], lr=0.1, betas=betas, eps=1e-3, weight_decay=decay)
    for g, position in zip(gradients, want, strict=True):
        p.grad = torch.tensor([g], dtype=torch.float64)
        optimizer.step()
        assert p.item() == pytest.approx(position, rel=1e-12)
        assert p.grad.item() == g


def test_gradients_are_bounded_by_their_joint_norm():
    """Two parameters with gradients 3 and 4 under a bound of 1 step as 0.6 and 0.8 would."""

    def run(grads, **options):
        ps = [torch.zeros(1, dtype=torch.float64, requires_grad=True) for _ in grads]
        optimizer = Adan([{"params": p} for p in ps], lr=0.1, eps=1.0, **options)
        for p, g in zip(ps, grads, strict=True):
            p.grad = torch.full((1,), g, dtype=torch.float64)
        optimizer.step()
        return [p.item() for p in ps]

    assert run([3.0, 4.0], max_grad_norm=1.0) == pytest.approx(run([0.6, 0.8]), rel=1e-9)
    assert run([0.3, 0.4], max_grad_norm=1.0) == run([0.3, 0.4])


def quadratic_steps(p, optimizer, count):
    target = torch.arange(4.0)
    for _ in range(count):
        optimizer.zero_grad()
        (p - target).square().sum().backward()
        optimizer.step()


def test_a_restarted_run_takes_the_same_steps():
    p = torch.zeros(4, requires_grad=True)
    optimizer = Adan([p], lr=0.1, weight_decay=0.01)
    quadratic_steps(p, optimizer, 3)
    saved = io.BytesIO()
    torch.save({"p": p.detach().clone(), "optimizer": optimizer.state_dict()}, saved)
    quadratic_steps(p, optimizer, 4)

    saved.seek(0)
    state = torch.load(saved, weights_only=True)
    q = state["p"].requires_grad_()
    restarted = Adan([q])
    restarted.load_state_dict(copy.deepcopy(state["optimizer"]))
    quadratic_steps(q, restarted, 4)
    assert torch.equal(p, q)


def test_a_parameter_without_gradient_is_left_alone():
    p, idle = torch.zeros(4, requires_grad=True), torch.ones(2, requires_grad=True)
    quadratic_steps(p, Adan([p, idle], lr=0.05, weight_decay=0.1), 2)
    assert torch.equal(idle.detach(), torch.ones(2))
    assert (p[1:] > 0).all()


def test_a_closure_is_run_with_gradient():
    p = torch.ones(1, requires_grad=True)
    optimizer = Adan([p], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (p * 3).sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == 3.0
    assert p.item() < 1.0


@pytest.mark.parametrize("bad", [{"lr": -1.0}, {"betas": (0.9, 1.0, 0.9)}, {"eps": -1e-8}])
def test_nonsense_is_refused(bad):
    with pytest.raises(ValueError, match="Adan wants"):
        Adan([torch.zeros(1, requires_grad=True)], **bad)
