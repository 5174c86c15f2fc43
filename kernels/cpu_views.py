"""Run a compiled kernel once per view, views side by side on the CPU's cores."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np


def each_view(kernel: Callable[..., object], *batched: np.ndarray, shared: tuple = ()) -> None:
    """Call `kernel(x[view], ..., *shared)` for every view of the `batched` arrays.

    A kernel compiled with `nogil=True` runs on as many threads as numba is allowed. It may write
    only to its own view's arrays, so the result does not depend on their number. Threads instead of
    numba's `prange`, because that compiles every kernel a second time.
    """
    calls = [(*view, *shared) for view in zip(*batched, strict=True)]
    threads = min(numba.get_num_threads(), len(calls))
    if threads <= 1:
        for call in calls:
            kernel(*call)
        return
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(kernel, *call) for call in calls]:
            done.result()  # raises what the kernel raised
