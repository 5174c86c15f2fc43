"""Real spherical harmonics up to degree 2: nine orthonormal functions of a direction.

Order: Y_00; Y_1−1, Y_10, Y_11 (∝ y, z, x); Y_2−2 … Y_22 (∝ xy, yz, 3z² − 1, xz, x² − y²).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

DEGREES = (0, 1, 1, 1, 2, 2, 2, 2, 2)
"""Degree of each function."""


def real_harmonics(directions: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 9"]:
    """Returns the nine functions at unit vectors, differentiable in them.

    ∫ Y_i Y_j dω over the sphere is 1 for i = j and 0 otherwise. There is no Condon-Shortley phase.
    """
    x, y, z = directions.unbind(-1)
    constant = 0.5 * math.sqrt(1 / math.pi)
    linear = 0.5 * math.sqrt(3 / math.pi)
    product = 0.5 * math.sqrt(15 / math.pi)
    axial = 0.25 * math.sqrt(5 / math.pi)
    return torch.stack(
        [
            torch.full_like(x, constant),
            linear * y,
            linear * z,
            linear * x,
            product * x * y,
            product * y * z,
            axial * (3 * z * z - 1),
            product * x * z,
            0.5 * product * (x * x - y * y),
        ],
        -1,
    )
