"""The ray march against a scalar float64 walk, and against chords of the ball."""

import math
from inspect import unwrap

import pytest
import torch
import volume_oracles

from xbind.kernels import march
from xbind.kernels.errors import KernelError

RADIUS, STEP = 0.85, 0.07

impls = pytest.mark.parametrize("impl", ["reference", "numba"])


def rays(rng, count):
    """Rays from inside and outside the ball, about half of which meet it."""
    direction = torch.nn.functional.normalize(torch.randn(count, 3, generator=rng), dim=-1)
    distance = 2.5 * torch.rand(count, 1, generator=rng)
    aside = 0.6 * torch.randn(count, 3, generator=rng)
    return aside - distance * direction, direction, torch.rand(count, generator=rng)


@impls
@pytest.mark.parametrize("side", [1, 7])
def test_matches_a_scalar_walk(impl, side, rng):
    origins, directions, jitter = rays(rng, 61)
    occupancy = torch.rand(side, side, side, generator=rng) > (0.4 if side > 1 else -1.0)
    samples = march(
        origins, directions, occupancy, radius=RADIUS, step=STEP, jitter=jitter, impl=impl
    )
    want = volume_oracles.march(
        *(x.double().numpy() for x in (origins, directions)),
        occupancy.numpy(), RADIUS, STEP, jitter.double().numpy(),
    )  # fmt: skip
    ray, t = torch.tensor([r for r, _ in want]), torch.tensor([t for _, t in want])
    assert len(want) > 200
    assert torch.equal(samples.ray, ray)
    # a ray's entry is a difference of numbers near 3
    torch.testing.assert_close(samples.t, t.float(), rtol=0, atol=5e-6)
    torch.testing.assert_close(
        samples.positions, origins[ray] + samples.t[:, None] * directions[ray]
    )
    assert torch.equal(samples.offsets.diff(), torch.bincount(ray, minlength=len(origins)))
    assert samples.offsets[0] == 0
    assert (samples.dt == torch.tensor(STEP)).all()


@impls
@pytest.mark.parametrize("place", [0.0, 0.5, 0.999])
def test_full_ball_is_walked_over_its_chord(impl, place, rng):
    origins, directions, _ = rays(rng, 200)
    samples = march(
        origins, directions, None,
        radius=RADIUS, step=STEP, jitter=torch.full((200,), place), impl=impl,
    )  # fmt: skip
    assert (samples.positions.norm(dim=-1) < RADIUS + 1e-5).all()
    along = (origins * directions).sum(-1)
    half = (RADIUS**2 - (origins + -along[:, None] * directions).square().sum(-1)).clamp_min(0)
    chord = ((half.sqrt() - along).clamp_min(0) - (-half.sqrt() - along).clamp_min(0)).clamp_min(0)
    chord = torch.where(half > 0, chord, 0.0)
    counts = samples.offsets.diff()
    assert counts.max() <= math.ceil(2 * RADIUS / STEP)
    assert ((counts * STEP - chord).abs() <= STEP).all()
    assert (counts == 0).sum() > 20


@impls
def test_jitter_makes_the_sum_unbiased(impl):
    # Σ f(t_k) step over one ray through the centre, against ∫ t² dt over its chord
    count = 4000
    jitter = (torch.arange(count) + 0.5) / count
    origins = torch.tensor([[0.0, 0.0, 2.0]]).expand(count, 3)
    directions = torch.tensor([[0.0, 0.0, -1.0]]).expand(count, 3)
    samples = march(origins, directions, None, radius=RADIUS, step=0.3, jitter=jitter, impl=impl)
    mean = (samples.t.double().square() * samples.dt).sum() / count
    want = ((2 + RADIUS) ** 3 - (2 - RADIUS) ** 3) / 3
    assert mean.item() == pytest.approx(want, rel=1e-3)


@impls
def test_rays_without_samples(impl):
    origins = torch.tensor([[2.0, 0, 0], [2.0, 2, 0], [0.0, 0, 0]])
    directions = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [float("nan")] * 3])
    jitter = torch.zeros(3)
    for r in (3, 0):
        samples = march(
            origins[:r],
            directions[:r],
            None,
            radius=RADIUS,
            step=STEP,
            jitter=jitter[:r],
            impl=impl,
        )
        assert torch.equal(samples.offsets, torch.zeros(r + 1, dtype=torch.int64))
        assert samples.t.shape == samples.dt.shape == samples.ray.shape == (0,)
        assert samples.positions.shape == (0, 3)


@impls
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 3e38])
def test_a_ray_that_is_no_ray_has_no_samples(impl, value, rng):
    origins, directions, jitter = rays(rng, 8)
    cells = torch.ones(4, 4, 4, dtype=torch.bool)

    def walk():
        return march(origins, directions, cells, radius=RADIUS, step=STEP, jitter=jitter, impl=impl)

    before = walk().offsets.diff()
    origins[1, 2], jitter[4] = value, abs(value)
    if not value > 1:  # 3e38 times a component would be a direction like any other
        directions[3, 0] = value
        before[3] = 0
    before[1] = before[4] = 0
    samples = walk()
    assert torch.equal(samples.offsets.diff(), before)
    assert samples.positions.isfinite().all()


@impls
def test_a_ray_never_has_more_samples_than_its_budget(impl):
    """Far away, t grows in steps of its own rounding: more candidates fit before the exit."""
    origins = torch.tensor([[0.0, 0, -3e6]])
    samples = march(
        origins, torch.tensor([[0.0, 0, 1]]), None,
        radius=RADIUS, step=STEP, jitter=torch.zeros(1), impl=impl,
    )  # fmt: skip
    assert 0 < len(samples.t) <= math.ceil(2 * RADIUS / STEP)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"jitter": torch.zeros(2)}, "jitter as"),
        ({"occupancy": torch.ones(4, 4, 4)}, "a bool cube .* found torch.float32"),
        ({"occupancy": torch.ones(4, 4, 5).bool()}, "a bool cube"),
        ({"step": 0.0}, "a positive step"),
    ],
)
def test_refuses_what_does_not_fit(change, message):
    walk = {
        "origins": torch.zeros(3, 3),
        "directions": torch.zeros(3, 3),
        "occupancy": None,
        "radius": RADIUS,
        "step": STEP,
        "jitter": torch.zeros(3),
    }
    with pytest.raises(KernelError, match=message):
        unwrap(march)(**(walk | change))  # below a run-time type checker, if there is one
