"""Lanes: a few numbers as one value are the same numbers one by one."""

import numba
import numpy as np
import pytest

from xbind.kernels.common.lanes import apart, none, plus_scaled, read, together, write

counts = pytest.mark.parametrize("count", [1, 2, 3, 4, 8])


@numba.njit
def _scaled_sum(numbers, first, weight, second, at, lanes):
    total = plus_scaled(plus_scaled(none(lanes), np.float32(1), read(numbers, first, lanes)),
                        weight, read(numbers, second, lanes))  # fmt: skip
    write(numbers, at, lanes, together(apart(total)))


@counts
def test_reads_scales_adds_and_writes(count):
    numbers = np.arange(40, dtype=np.float32)
    want = numbers.copy()
    want[30 : 30 + count] = want[5 : 5 + count] + np.float32(0.5) * want[18 : 18 + count]
    places = [np.uint64(place) for place in (5, 18, 30)]
    _scaled_sum(numbers, places[0], np.float32(0.5), *places[1:], (0,) * count)
    np.testing.assert_array_equal(numbers, want)


@counts
def test_only_its_own_number_is_not_finite(count):
    numbers = np.ones(20, np.float32)
    numbers[count - 1] = np.nan
    places = [np.uint64(place) for place in (0, 8, 8)]
    _scaled_sum(numbers, places[0], np.float32(2), *places[1:], (0,) * count)
    assert np.isnan(numbers[8 : 8 + count]).tolist() == [False] * (count - 1) + [True]
    assert (numbers[8 + count :] == 1).all()


@pytest.mark.parametrize("places", [(18, 0, 0), (0, 18, 0), (0, 0, 18)])
@pytest.mark.skipif(not numba.config.BOUNDSCHECK, reason="`make check-bounds` turns it on")
def test_the_last_number_is_within_bounds(places):
    first, second, at = (np.uint64(place) for place in places)
    with pytest.raises(IndexError):
        _scaled_sum(np.ones(20, np.float32), first, np.float32(1), second, at, (0,) * 3)
