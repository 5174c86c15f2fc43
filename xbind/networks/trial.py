"""Pictures to try an encoder on, when there is nothing to see yet."""

import torch
from jaxtyping import Float
from torch import Tensor


def shaded_balls(count: int, size: int, generator: torch.Generator) -> Float[Tensor, "b 3 s s"]:
    """A shaded ball each, of a colour and place of its own, on white, in [0, 1]."""
    line = torch.linspace(-1, 1, size)
    y, x = torch.meshgrid(line, line, indexing="ij")
    centre = 0.6 * (torch.rand(count, 2, 1, 1, generator=generator) - 0.5)
    radius = 0.3 + 0.4 * torch.rand(count, 1, 1, 1, generator=generator)
    dx, dy = x - centre[:, :1], y - centre[:, 1:]
    inside = torch.sigmoid(size / 2 * (radius - (dx.square() + dy.square()).sqrt()))
    shade = (0.7 - 0.3 * (dx + dy) / radius).clamp(0.1, 1)
    return 1 - inside * (1 - shade * torch.rand(count, 3, 1, 1, generator=generator))
