"""The multi-resolution hash grid of Instant-NGP, in plain PyTorch: the definition."""

from itertools import product

import torch
from jaxtyping import Float, Int64
from torch import Tensor

PRIMES = (1, 2_654_435_761, 805_459_861)
"""Factors of the spatial hash, one per axis (Instant-NGP)."""


def hash_encode(
    x: Float[Tensor, "n 3"],
    table: Float[Tensor, "levels entries features"],
    resolutions: tuple[int, ...],
) -> Float[Tensor, "n levels*features"]:
    """Interpolate learned features at `x` in grids of several resolutions, side by side.

    A level of resolution R has (R + 1)³ vertices at multiples of 1/R, and is read trilinearly.
    Vertex (i, j, k) is entry i + (R+1) j + (R+1)² k when all vertices fit in the level's table,
    and entry (i p₁ ⊕ j p₂ ⊕ k p₃) mod entries when they do not.

    Args:
        x: positions in [0, 1]³; what lies outside is moved to the nearest face. A coordinate that
            is not a number gives features that are none, and leaves the other points alone.
        table: the features; the number of entries is a power of two.
        resolutions: R of each level.

    Returns:
        The levels' features one after the other. Differentiable in `table` and, with the one-sided
        slope at cell faces, in `x` (zero outside the cube and where x is not a number).
    """
    clamped = x.clamp(0, 1)
    return torch.cat(
        [_encode_level(clamped, *level) for level in zip(table, resolutions, strict=True)], -1
    )


def _encode_level(
    x: Float[Tensor, "n 3"], level: Float[Tensor, "entries features"], resolution: int
) -> Float[Tensor, "n features"]:
    scaled = x * resolution
    # what is not a number is read in cell 0, and stays visible in its place inside the cell
    cell = scaled.detach().nan_to_num(0).floor().clamp_max(resolution - 1)
    inside = scaled - cell
    total = x.new_zeros(len(x), level.shape[-1])
    for corner in product((0, 1), repeat=3):
        offset = torch.tensor(corner, device=x.device)
        a, b, c = torch.where(offset.bool(), inside, 1 - inside).split(1, -1)
        weight = a * b * c  # the gradient of `prod` divides by its factors, however small
        total = total + weight * level[_entry(cell.long() + offset, resolution, len(level))]
    return total


def _entry(vertex: Int64[Tensor, "n 3"], resolution: int, entries: int) -> Int64[Tensor, " n"]:
    i, j, k = vertex.unbind(-1)
    side = resolution + 1
    if side**3 <= entries:
        return i + side * (j + side * k)
    return (i * PRIMES[0] ^ j * PRIMES[1] ^ k * PRIMES[2]) & (entries - 1)
