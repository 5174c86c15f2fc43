"""Balls of constant density, whose images have a closed form."""

import torch

from xbind.config.scene import FieldConfig
from xbind.scene.nerf.field import HashField

SMALL = FieldConfig(resolutions=(4, 7, 13, 24), log2_entries=11, hidden=16)


class Ball(HashField):
    """Density `thick` inside a ball, coloured by the sign of z."""

    def __init__(self, centre=(0.0, 0.0, 0.0), radius=0.4, thick=5.0):
        super().__init__(SMALL, generator=torch.Generator().manual_seed(0))
        self.centre, self.ball_radius, self.thick = torch.tensor(centre), radius, thick

    def forward(self, x):
        colour = torch.tensor([1.0, 0.0, 0.0]) * (x[:, 2:] > 0) + torch.tensor([0.0, 0.0, 0.5])
        inside = (x - self.centre).norm(dim=-1) < self.ball_radius
        return self.thick * inside, colour

    def raw_density(self, x):
        return -(x - self.centre).square().sum(-1)
