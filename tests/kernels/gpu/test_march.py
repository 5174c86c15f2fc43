"""The ray march in Triton against its definition."""

import pytest
import torch

from xbind.kernels import march

RADIUS, STEP = 0.85, 0.07


def rays(rng, count):
    """Rays from inside and outside the ball, about half of which meet it."""
    direction = torch.nn.functional.normalize(torch.randn(count, 3, generator=rng), dim=-1)
    distance = 2.5 * torch.rand(count, 1, generator=rng)
    aside = 0.6 * torch.randn(count, 3, generator=rng)
    return aside - distance * direction, direction, torch.rand(count, generator=rng)


def walk(origins, directions, jitter, occupancy, impl, device):
    cells = None if occupancy is None else occupancy.to(device)
    samples = march(
        *(x.to(device) for x in (origins, directions)), cells,
        radius=RADIUS, step=STEP, jitter=jitter.to(device), impl=impl,
    )  # fmt: skip
    return [x.cpu() for x in (samples.ray, samples.offsets, samples.t, samples.dt)], samples


@pytest.mark.parametrize(("count", "side"), [(61, 1), (61, 7), (130, 4), (0, 3)])
def test_agrees_with_the_definition(count, side, device, rng):
    origins, directions, jitter = rays(rng, count)
    origins = origins.T.contiguous().T
    occupancy = torch.rand(side, side, side, generator=rng) > (0.4 if side > 1 else -1.0)
    occupancy = occupancy.transpose(0, 2).contiguous().transpose(0, 2)
    want, _ = walk(origins, directions, jitter, occupancy, "reference", "cpu")
    got, samples = walk(origins, directions, jitter, occupancy, "triton", device)
    assert torch.equal(got[0], want[0])
    assert torch.equal(got[1], want[1])
    # a ray's entry is a difference of numbers near 3
    torch.testing.assert_close(got[2:], want[2:], rtol=0, atol=5e-6)
    ray, t = got[0], got[2]
    torch.testing.assert_close(samples.positions.cpu(), origins[ray] + t[:, None] * directions[ray])


def test_a_full_ball_and_rays_without_samples(device, rng):
    origins, directions, jitter = rays(rng, 20)
    directions[3] = torch.nan
    origins[4] = torch.inf
    jitter[5] = torch.nan
    want, _ = walk(origins, directions, jitter, None, "reference", "cpu")
    got, samples = walk(origins, directions, jitter, None, "triton", device)
    assert torch.equal(got[1], want[1])
    assert not got[1].diff()[3:6].any()
    assert samples.positions.isfinite().all()
    torch.testing.assert_close(got[2], want[2], rtol=0, atol=5e-6)
