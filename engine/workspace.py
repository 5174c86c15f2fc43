"""Scratch memory that engines on a GPU share."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

ALIGNMENT = 256
"""Of scratch memory in bytes; also the least that is allocated."""


@dataclass(slots=True)
class Workspace:
    """Scratch memory that all engines of a process share: they run one after the other."""

    memory: Tensor | None = field(default=None)
    last: Any = field(default=None)
    """Mark behind the last run of any of the engines."""
    recorder: Any = field(default=None)
    """The `Recorder` of engines that are CUDA graphs, once one needs it; it holds their memory."""

    def of(self, size: int, device: torch.device) -> Tensor:
        """At least `size` bytes, from torch's allocator, so that it counts them."""
        if self.memory is None or self.memory.numel() < size or self.memory.device != device:
            self.memory = torch.empty(max(size, ALIGNMENT), dtype=torch.uint8, device=device)
        return self.memory
