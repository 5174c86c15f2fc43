"""Scenes for rasterisers, each with a difficulty of its own: name → clip [b, v, 4], faces, size."""

import math

import torch
from spheres import sphere

ODD = (13, 18)


def _rng(seed):
    return torch.Generator().manual_seed(seed)


def _soup(seed, triangles=24, views=1):
    """Loose triangles; a third reach behind the camera, some lie beyond z/w = ±1."""
    corners = torch.randn(views, 3 * triangles, 4, generator=_rng(seed))
    corners[..., 3] += 1.0
    corners[..., 2] *= corners[..., 3].abs()
    return corners, torch.arange(3 * triangles).view(-1, 3)


def _flat(*triangles, z=0.0, w=1.0):
    """Triangles of (x, y) corners at one depth."""
    at = torch.tensor(triangles, dtype=torch.float32).view(-1, 2)
    rest = torch.tensor([z, w]).expand(len(at), 2)
    return torch.cat([at * w, rest], 1)[None], torch.arange(len(at)).view(-1, 3)


def _sheet(n, spread=0.3):
    """n × n squares of two triangles, every corner on a pixel centre of an (n + 1)² picture."""
    index = torch.arange(n + 1)
    grid = torch.stack(torch.meshgrid(index, index, indexing="ij"), -1)
    at = (2 * grid.reshape(-1, 2) + 1) / (n + 1) - 1
    w = 1 + spread * torch.rand(len(at), 1, generator=_rng(n))
    corner = (torch.arange(n)[:, None] * (n + 1) + torch.arange(n)).flatten()
    quads = corner[:, None] + torch.tensor([0, 1, n + 2, n + 1])
    faces = torch.cat([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return torch.cat([at * w, 0.1 * w, w], -1)[None], faces


def _ball(subdivisions, distance=2.5, focal=2.0):
    vertices, faces = sphere(subdivisions, 0.8)
    x, y, z = vertices.unbind(-1)
    w = distance - z
    return torch.stack([focal * x, focal * y, w - 1 / w, w], -1)[None], faces


def _fan(corners=9):
    """Triangles around the centre of the middle pixel of an odd picture."""
    turn = torch.arange(corners) * 2 * torch.pi / corners
    rim = torch.stack([turn.cos(), turn.sin(), 0 * turn, 1 + 0 * turn], 1)
    clip = torch.cat([torch.tensor([[0.0, 0, 0, 1]]), rim])
    around = torch.arange(corners)
    return clip[None], torch.stack([0 * around, 1 + around, 1 + (around + 1) % corners], 1)


def _broken():
    """Corners that are not finite, one kind in each coordinate, among ordinary triangles."""
    clip, faces = _soup(7, triangles=36)
    for k, junk in enumerate((math.nan, math.inf, -math.inf)):
        for axis in range(4):
            clip[0, 3 * (4 * k + axis) + axis % 3, axis] = junk
    return clip, faces


def _slivers():
    """Long triangles that are far thinner than a pixel."""
    start, end = torch.rand(2, 20, 2, generator=_rng(8)) * 2 - 1
    third = end + 1e-3 * torch.randn(20, 2, generator=_rng(9))
    at = torch.stack([start, end, third], 1).view(-1, 2)
    return torch.cat([at, 0 * at[:, :1], 1 + 0 * at[:, :1]], 1)[None], torch.arange(60).view(-1, 3)


def _mixed_sizes():
    """More triangles than a program takes, from a hundredth of the picture's width to all of it."""
    count = 150
    centre = 2 * torch.rand(count, 1, 2, generator=_rng(10)) - 1
    radius = 10 ** (2 * torch.rand(count, 1, 1, generator=_rng(11)) - 2)
    at = centre + radius * torch.randn(count, 3, 2, generator=_rng(12))
    z = torch.rand(count, 3, 1, generator=_rng(13)) * 1.8 - 0.9
    clip = torch.cat([at, z, torch.ones_like(z)], -1).view(1, -1, 4)
    return clip, torch.arange(3 * count).view(-1, 3)


def _behind_every_way():
    """One, two and three corners behind the camera, and corners with w of exactly 0 and −0."""
    clip, faces = _soup(14, triangles=16)
    w = clip[0, :, 3].abs() + 0.1
    for k in range(16):
        w[3 * k : 3 * k + k % 4] *= -1
    w[[4, 16]], w[[7, 19]] = 0.0, -0.0
    clip[0, :, 3] = w
    return clip, faces


def _stack(gap):
    """Eight copies of one slanted triangle, in all orders of corners, `gap` apart in depth."""
    corners = torch.tensor([[-0.9, -0.8, -0.3, 1.1], [1.2, -0.7, 0.1, 1.6], [0.1, 1.0, 0.4, 1.3]])
    orders = [
        [0, 1, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
        [1, 0, 2],
        [0, 2, 1],
        [0, 1, 2],
        [1, 2, 0],
    ]
    layers = [corners - gap * (k * 5 % 8) * torch.tensor([0, 0, 1.0, 0]) for k in range(8)]
    faces = torch.tensor([[3 * k + i for i in map(int, order)] for k, order in enumerate(orders)])
    return torch.cat(layers)[None], faces


def _signed_zeros():
    """Depths of 0 and of −0, which are one depth: the lower face index is seen."""
    clip, faces = _flat(*[((-0.9, -0.9), (0.9, -0.9), (0.0, 0.9))] * 4)
    clip[0, :3, 2], clip[0, 3:6, 2], clip[0, 6:9, 2] = 0.0, -0.0, -0.0
    return clip, faces


def _edge_on():
    """Corners that add up to zero, exactly: the face and the eye lie in one plane."""
    first = torch.randint(-(2**22), 2**22, (20, 2, 4), generator=_rng(18)).float() / 2**21
    corners = torch.cat([first, -first.sum(1, keepdim=True)], 1) * torch.tensor([1, 1, 0, 1])
    return corners.view(1, 60, 4), torch.arange(60).view(-1, 3)


SCREEN = ((-1.5, -1.2), (3.5, -1.1), (-1.3, 3.6))
"""Corners of a triangle that covers every pixel."""

SCENES = {
    "loose": (*_soup(0), ODD),
    "two views": (*_soup(1, views=2), ODD),
    "one pixel": (*_soup(2), (1, 1)),
    "one row": (*_soup(3), (1, 33)),
    "one column": (*_soup(4), (29, 1)),
    "covers all": (*_flat(SCREEN), (65, 67)),
    "two cover all": (*_flat(SCREEN, SCREEN[::-1]), (47, 53)),
    "repeated corner": (_soup(5)[0], torch.tensor([[0, 1, 1], [2, 2, 2], [3, 4, 5]]), ODD),
    "no area": (*_flat(((-0.5, -0.5), (0.0, 0.0), (0.5, 0.5)), SCREEN), ODD),
    "edge on": (*_edge_on(), (8, 8)),
    "behind": (_soup(6)[0] * torch.tensor([1, 1, 1, 0]) - torch.tensor([0, 0, 0, 1.0]),
               _soup(6)[1], ODD),
    "behind every way": (*_behind_every_way(), ODD),
    "floor to the horizon": (
        torch.tensor([[[0.0, -100, 0, -300], [-900, 75, 0, 150], [900, 75, 0, 150]]]),
        torch.tensor([[0, 1, 2]]), (9, 9),
    ),
    "sides on centres": (*_sheet(6), (7, 7)),
    "sides between centres": (*_sheet(6), (11, 17)),
    "fan around a centre": (*_fan(), (9, 9)),
    "equal depths": (*_stack(0.0), ODD),
    "depths 1e-7 apart": (*_stack(1e-7), ODD),
    "depths 1e-3 apart": (*_stack(1e-3), ODD),
    "signed zeros": (*_signed_zeros(), (8, 8)),
    "beyond both planes": (*_flat(SCREEN, z=1.5), (5, 6)),
    "on the far plane": (*_flat(SCREEN, z=1.0), (5, 6)),
    "on the near plane": (*_flat(SCREEN, z=-1.0), (5, 6)),
    "huge": (1e30 * _soup(15)[0], _soup(15)[1], ODD),
    "close to overflow": (3e38 * _soup(16)[0].clamp(-1, 1), _soup(16)[1], ODD),
    "tiny numbers": (1e-30 * _soup(17)[0], _soup(17)[1], ODD),
    "smaller than pixels": (*_ball(3), (9, 14)),
    "closed surface": (*_ball(1), (24, 21)),
    "not finite": (*_broken(), ODD),
    "slivers": (*_slivers(), (24, 24)),
    "mixed sizes": (*_mixed_sizes(), (40, 40)),
}  # fmt: skip
"""Name → vertices in clip space, faces, (height, width)."""
