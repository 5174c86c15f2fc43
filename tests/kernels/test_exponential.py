"""The numba kernels' 1 − exp(−τ) against numpy's expm1 in float64."""

import numba
import numpy as np

from xbind.kernels.common.exponential import absorbed


@numba.njit
def over(x, out):
    for i in range(len(x)):
        out[i] = absorbed(x[i])


def evaluate(x):
    out = np.full(len(x), np.nan, np.float32)
    over(x, out)
    return out


def test_is_exact_to_two_units_in_the_last_place():
    tiny, ordinary = np.logspace(-30, 2, 20_001), np.linspace(0, 90, 20_001)
    x = np.concatenate([tiny, ordinary, -tiny[::5].clip(max=80)]).astype(np.float32)
    want = -np.expm1(-x.astype(np.float64))
    unit = np.spacing(np.abs(want).astype(np.float32))
    assert (np.abs(evaluate(x) - want) / unit).max() < 2


def test_what_is_not_finite():
    x = np.array([0, np.inf, 3e38, np.nan, 1e-45], np.float32)
    np.testing.assert_array_equal(evaluate(x), np.array([0, 1, 1, np.nan, 1e-45], np.float32))
