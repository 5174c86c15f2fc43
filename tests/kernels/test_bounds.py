"""Junk in: nothing is read or written outside of its array, whatever the numbers are.

Most of the proof is in `make check-bounds`, which runs all numba kernels with numba's bounds
checking on: there, an index outside of its array is an IndexError.
"""

import math

import numba
import pytest
import torch

from xbind.kernels import (
    RaySamples,
    antialias,
    composite,
    edge_table,
    hash_encode,
    interpolate,
    march,
    ms_augment,
    rasterize,
)
from xbind.kernels.errors import KernelError

JUNK = torch.tensor(
    [0.0, -0.0, math.nan, math.inf, -math.inf, 3e38, -3e38, 1e-45, 1e-20, 2.0**31, -(2.0**63), 1.0]
)


def junk(rng, *shape):
    """Ordinary numbers with all kinds of others among them."""
    values = torch.randn(shape, generator=rng)
    odd = JUNK[torch.randint(len(JUNK), shape, generator=rng)]
    return torch.where(torch.rand(shape, generator=rng) < 0.3, odd, values)


@pytest.mark.skipif(not numba.config.BOUNDSCHECK, reason="`make check-bounds` turns it on")
def test_an_index_outside_of_its_array_is_seen():
    from xbind.kernels.ray_march import cpu as cpu_march

    short = torch.zeros(1).numpy()
    rays = [torch.zeros(4, 3).numpy(), torch.eye(4, 3).numpy(), torch.zeros(4).numpy()]
    cells = torch.ones(1, 1, 1, dtype=torch.bool).numpy()
    with pytest.raises(IndexError):
        cpu_march._count(0, 4, *rays, cells, *(short.dtype.type(v) for v in (1, 1, 1)), 2, short)


def test_hash_grid(rng):
    x, table = junk(rng, 300, 3).requires_grad_(), junk(rng, 2, 256, 2).requires_grad_()
    encoded = hash_encode(x, table, (5, 2**20))
    x_bar, table_bar = torch.autograd.grad(encoded, (x, table), junk(rng, 300, 4))
    assert (encoded.shape, x_bar.shape, table_bar.shape) == ((300, 4), (300, 3), (2, 256, 2))


def test_march_and_composite(rng):
    origins, directions, jitter = junk(rng, 400, 3), junk(rng, 400, 3), junk(rng, 400)
    cells = torch.rand(5, 5, 5, generator=rng) > 0.3
    samples = march(origins, directions, cells, radius=0.85, step=0.1, jitter=jitter)
    per_ray = samples.offsets.diff()
    assert per_ray.min() == 0
    assert 0 < per_ray.max() <= 17
    assert torch.equal(samples.ray, torch.arange(400).repeat_interleave(per_ray))
    n = len(samples.t)
    density, colour = junk(rng, n).requires_grad_(), junk(rng, n, 3).requires_grad_()
    seen = composite(density, colour, samples)
    bars = torch.autograd.grad(seen.colour.sum() + seen.z_variance.sum(), (density, colour))
    assert [bar.shape for bar in bars] == [(n,), (n, 3)]


def test_warp(rng):
    image = junk(rng, 2, 3, 7, 9).requires_grad_()
    homography, window = junk(rng, 2, 40, 3, 3), junk(rng, 2, 40, 4)
    plain = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    result = ms_augment(image, homography, window, 8, **plain)
    (image_bar,) = torch.autograd.grad(result, image, junk(rng, *result.shape))
    assert image_bar.shape == image.shape
    assert result.isfinite().float().mean() > 0.5


def test_surfaces(rng):
    faces = torch.randint(60, (200, 3), generator=rng)  # many edges of three faces and more
    clip = junk(rng, 3, 60, 4)
    clip[..., 3] += 1.5
    clip.requires_grad_()
    rast = rasterize(clip, faces, (17, 13))
    face = rast[..., 3]
    assert (face > 0).float().mean() > 0.1
    assert ((face >= 0) & (face <= 200) & (face == face.round())).all()
    attributes, image = junk(rng, 60, 2).requires_grad_(), junk(rng, 3, 17, 13, 3).requires_grad_()
    values = interpolate(attributes, rast, faces)
    smooth = antialias(image, rast, clip, faces)
    inputs = (clip, attributes, image)
    bars = torch.autograd.grad(values.sum() + smooth.sum() + rast.sum(), inputs)
    assert [bar.shape for bar in bars] == [x.shape for x in inputs]


def test_refuses_indices_that_lead_outside(rng):
    offsets = torch.tensor([0, 2, 3])
    t, dt, ray = torch.ones(3), torch.ones(3), torch.tensor([0, 0, 1])
    for wrong in ([0, 2, 4], [0, 4, 3], [1, 2, 3], [-1, 2, 3]):
        samples = RaySamples(torch.tensor(wrong), t, dt, ray, torch.zeros(3, 3))
        with pytest.raises(KernelError, match="offsets that rise from 0 to 3"):
            composite(t, torch.zeros(3, 3), samples)
    composite(t, torch.zeros(3, 3), RaySamples(offsets, t, dt, ray, torch.zeros(3, 3)))

    with pytest.raises(KernelError, match="of 1 to 1048576 for each"):
        hash_encode(torch.zeros(1, 3), torch.zeros(1, 8, 2), (2**20 + 1,))

    faces, other = torch.tensor([[0, 1, 2], [2, 1, 3]]), torch.tensor([[0, 1, 2]])
    clip, rast = torch.zeros(1, 4, 4), torch.zeros(1, 2, 2, 4)
    for table in (edge_table(other), torch.full((2, 3), 6), torch.full((2, 3), -2)):
        with pytest.raises(KernelError, match="edge table of these faces"):
            antialias(torch.zeros(1, 2, 2, 1), rast, clip, faces, table=table)
