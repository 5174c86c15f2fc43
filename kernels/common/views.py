"""Run a compiled kernel once per view, views side by side on the CPU's cores."""

from collections.abc import Callable

import numpy as np
import torch

from xbind.kernels.common.threads import pool


def each_view(
    kernel: Callable[..., object], *batched: np.ndarray, shared: tuple[np.ndarray, ...] = ()
) -> None:
    """Call `kernel(x[view], ..., *shared)` for every view of the `batched` arrays.

    Views run on as many threads as torch has. The kernel must be compiled with `nogil=True` and
    write only to its own view's arrays, so the result does not depend on their number.
    """
    calls = [(*view, *shared) for view in zip(*batched, strict=True)]
    threads = min(torch.get_num_threads(), len(calls))
    if threads <= 1:
        for call in calls:
            kernel(*call)
        return
    for done in [pool(threads).submit(kernel, *call) for call in calls]:
        done.result()  # raises what the kernel raised
