"""1 − exp(−τ) for the numba kernels, in a form that the compiler turns into vector code.

libm's expm1, one call per sample, takes most of the time of compositing otherwise.
"""

import math
from typing import no_type_check

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

_ONE = np.float32(1)
_LOG2_E = np.float32(1 / math.log(2))
# ln 2 in two parts, the first of few bits, so that n · ln 2 is subtracted exactly
_LN2_HIGH = np.float32(0.693359375)
_LN2_LOW = np.float32(math.log(2) - 0.693359375)
_LIMIT = np.float32(87)  # e⁸⁷ is still a number, and 1 − e⁻⁸⁷ rounds to 1
_C2, _C3, _C4, _C5, _C6, _C7 = (np.float32(1 / math.factorial(k)) for k in range(2, 8))


@intrinsic
def _as_float32(_typing, bits):
    """The float32 that an int32's bits stand for."""

    def generate(_context, builder, _signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return numba.float32(numba.int32), generate


@numba.njit(inline="always", error_model="numpy")
@no_type_check
def absorbed(thickness):  # noqa: ANN201
    """1 − exp(−thickness), to 2 units in the last place; 1 for infinity.

    With −τ = n ln 2 + r and |r| ≤ ½ ln 2:  exp(−τ) − 1 = 2ⁿ (exp(r) − 1) + (2ⁿ − 1),
    where exp(r) − 1 is its series, so nothing is lost for small τ (n = 0).
    """
    x = -_LIMIT if thickness > _LIMIT else (_LIMIT if thickness < -_LIMIT else -thickness)
    n = math.floor((x if x > -_LIMIT else -_LIMIT) * _LOG2_E + np.float32(0.5))
    n = np.float32(n)
    r = x - n * _LN2_HIGH - n * _LN2_LOW
    series = r + r * r * (_C2 + r * (_C3 + r * (_C4 + r * (_C5 + r * (_C6 + r * _C7)))))
    power = _as_float32(np.int32((np.int32(n) + np.int32(127)) << np.int32(23)))
    return -(power * series + (power - _ONE))
