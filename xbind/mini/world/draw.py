"""Random draws as plain Python numbers, all from one `torch.Generator`."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """The few distributions the world needs; each call advances the generator once."""

    generator: torch.Generator
    """Source of all randomness; a CPU generator."""

    def uniform(self, low: float, high: float) -> float:
        """Draws a number from U[low, high)."""
        unit = torch.rand((), generator=self.generator, dtype=torch.float64)
        return low + (high - low) * float(unit)

    def integer(self, low: int, high: int) -> int:
        """Draws an integer from {low, …, high − 1}."""
        return int(torch.randint(low, high, (), generator=self.generator))

    def bernoulli(self, probability: float) -> bool:
        """True with the given probability."""
        return self.uniform(0.0, 1.0) < probability

    def normal(self, count: int) -> NDArray[np.float64]:
        """`count` independent standard normal numbers."""
        return torch.randn(count, generator=self.generator, dtype=torch.float64).numpy()

    def sign(self) -> float:
        """−1 or 1, equally likely."""
        return 1.0 if self.bernoulli(0.5) else -1.0


def draw_from_seed(*seed: int) -> Draw:
    """A `Draw` whose stream depends on every number of `seed`, unlike their sum."""
    state = np.random.SeedSequence(seed).generate_state(2, np.uint32)
    mixed = (int(state[0]) << 31) ^ int(state[1])
    return Draw(torch.Generator().manual_seed(mixed))
