"""Triton forms: on a CUDA device where there is one, else in Triton's interpreter on the CPU."""

import numpy as np
import pytest
import torch


@pytest.fixture
def device():
    """Where the Triton kernels can run in this process.

    TRITON_INTERPRET=1 has to be set before triton is imported, so the interpreter has a process of
    its own: `make test` starts it.
    """
    pytest.importorskip("triton")
    from xbind.kernels.common.gpu import is_interpreted

    if is_interpreted():
        return "cpu"
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device, and TRITON_INTERPRET=1 is not set")
    return "cuda"


@pytest.fixture(autouse=True)
def silent_arithmetic():
    """A GPU divides by zero without a word; the interpreter's numpy would warn."""
    with np.errstate(all="ignore"):
        yield
