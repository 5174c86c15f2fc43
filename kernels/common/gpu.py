"""Code shared by the Triton implementations. Only `gpu*` files import triton."""

import os
from contextlib import AbstractContextManager, nullcontext

import torch
import triton
from torch import Tensor

from xbind.system.cache import writable_folder

# Read at every compilation. Triton's own default needs a home folder that can be written.
os.environ.setdefault("TRITON_CACHE_DIR", str(writable_folder("triton")))


@triton.jit
def _probe():
    pass


def is_interpreted() -> bool:
    """Returns True if kernels run in Triton's interpreter, on the CPU (TRITON_INTERPRET=1)."""
    return not isinstance(_probe, triton.JITFunction)


def on_device_of(x: Tensor) -> AbstractContextManager[object]:
    """Make the device of `x` the one that kernels are launched on."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()
