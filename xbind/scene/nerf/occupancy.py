"""Occupancy grid: a coarse grid of the field's recent densities, which skips empty space."""

import logging
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from xbind.config.scene import OccupancyConfig

log = logging.getLogger(__name__)


class OccupancyGrid(nn.Module):
    """Remembers, per cell, a slowly decaying maximum of the densities seen in it.

    It starts full inside the ball. Both buffers are part of the state, so a resumed run skips the
    same space.
    """

    cells: Bool[Tensor, "g g g"]
    """True for occupied cells, indexed [x, y, z]."""
    density: Float[Tensor, "g g g"]
    """The remembered densities, per scene unit."""

    def __init__(
        self, config: OccupancyConfig, *, radius: float, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__()
        self.config = config
        self.radius = radius
        self.register_buffer("cells", self._ball(torch.device(device)))
        self.register_buffer("density", torch.zeros_like(self.cells, dtype=torch.float32))

    def maintain(
        self,
        iteration: int,
        density: Callable[[Float[Tensor, "n 3"]], Float[Tensor, " n"]],
        generator: torch.Generator,
    ) -> None:
        """Call once per iteration: every `interval` iterations, from the first on, `update`."""
        if iteration % self.config.interval == 0:
            self.update(density, generator)

    @torch.no_grad()
    def update(
        self,
        density: Callable[[Float[Tensor, "n 3"]], Float[Tensor, " n"]],
        generator: torch.Generator,
    ) -> None:
        """Look at the field once in every cell of the ball, at a random place in the cell.

        A field that is empty everywhere gets its full ball back, with a warning in the log:
        without samples it could never grow again.
        """
        ball = self._ball(self.cells.device)
        index = ball.nonzero()
        place = torch.rand(index.shape, generator=generator, device=generator.device)
        seen = density(self._world(index + place))
        remembered = self.config.decay * self.density[ball]
        self.density[ball] = torch.maximum(remembered, seen)
        self.cells.copy_(ball & (self.density >= self.config.threshold))
        if not self.cells.any():
            log.warning(
                "The field is empty: no density reaches %g. Sampling the whole ball again.",
                self.config.threshold,
            )
            self.cells.copy_(ball)

    def _ball(self, device: torch.device) -> Bool[Tensor, "g g g"]:
        """The cells that reach into the ball."""
        side = self.config.resolution
        # low face of each cell, in units of the radius
        edge = torch.arange(side, device=device) * (2 / side) - 1
        nearest = edge.clamp_min(0) + (edge + 2 / side).clamp_max(0)  # its point nearest to 0
        squared = nearest**2
        return squared[:, None, None] + squared[:, None] + squared < 1

    def _world(self, cell: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        """World positions of places counted in cells."""
        return (cell / self.config.resolution * 2 - 1) * self.radius
