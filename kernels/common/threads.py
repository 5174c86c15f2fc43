"""Run one compiled kernel on several threads, each with a piece of the work of its own."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import torch


def in_pieces(kernel: Callable[..., None], count: int, *arguments: object, grain: int = 1) -> None:
    """Call `kernel(first, end, *arguments)` for consecutive pieces of `range(count)`.

    There are as many pieces as torch has threads, and they begin at multiples of `grain`: as many
    items as the kernel computes at once, if the compiler makes vector code of all but the last few
    of them, which are rounded otherwise. The kernel must be compiled with `nogil=True` and write
    only what belongs to its own items, so the result does not depend on their number. This instead
    of numba's `prange`: its pools busy-wait, which is slow on shared cores even with one thread,
    and a parallel kernel takes three times as long to compile.
    """
    grains = -(-count // grain)
    threads = min(torch.get_num_threads(), grains)
    if threads <= 1:
        kernel(0, count, *arguments)
        return
    ends = [min(grains * piece // threads * grain, count) for piece in range(threads + 1)]
    others = pool(threads - 1)
    calls = [others.submit(kernel, first, end, *arguments) for first, end in pairwise(ends[:-1])]
    kernel(ends[-2], ends[-1], *arguments)  # this thread's own piece
    for call in calls:
        call.result()  # raises what the kernel raised


@cache
def pool(threads: int) -> ThreadPoolExecutor:
    """So many threads, kept from call to call: starting one takes as long as a small kernel."""
    return ThreadPoolExecutor(threads, thread_name_prefix="xbind-kernel")
