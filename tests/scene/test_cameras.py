"""A view's own pose from a reference's, as the mini bundle's 3D prior is told it."""

import math

import torch

from xbind.scene.cameras import Cameras, relative_pose, turned_pose


def pose(cameras):
    azimuth = torch.deg2rad(cameras.azimuth_deg)
    return torch.stack([cameras.elevation_deg / 45, azimuth.cos(), azimuth.sin()], 1)


def cameras(rng, n):
    elevation, azimuth = 90 * torch.rand(n, generator=rng) - 45, 360 * torch.rand(n, generator=rng)
    return Cameras(elevation, azimuth, torch.full((n,), 2.5), torch.full((n,), 40.0))


def test_a_known_reference_gives_the_view_s_own_pose(rng):
    target, reference = cameras(rng, 50), cameras(rng, 50)
    got = turned_pose(pose(reference), relative_pose(target, reference))
    torch.testing.assert_close(got, pose(target), rtol=0, atol=1e-5)


def test_an_unsure_azimuth_stays_as_unsure(rng):
    seen = torch.tensor([[0.2, 0.3 * math.cos(1.0), 0.3 * math.sin(1.0)]])
    target, reference = cameras(rng, 1), cameras(rng, 1)
    got = turned_pose(seen, relative_pose(target, reference))
    torch.testing.assert_close(got[:, 1:].norm(dim=1), torch.tensor([0.3]))
