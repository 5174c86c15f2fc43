"""Tells too little memory from other errors of the libraries that allocate it."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from xbind.errors import XBindError

_SIGNS = (
    "bad_alloc", "bad allocation", "can't alloc", "can't allocate memory", "cannot allocate memory",
    "could not allocate", "could not create a primitive", "failed to allocate memory",
    "not enough memory", "out of memory", "std::length_error",
)  # fmt: skip
"""Phrases of C++ libraries in a `RuntimeError` for a failed allocation, in lower case.

oneDNN creates primitives when a convolution is first called, and states no cause."""


class TooLittleMemory(XBindError):
    """An allocation failed; the message says how to need less or have more."""


def is_memory_error(error: BaseException) -> bool:
    """Returns True if a failed allocation caused an error of Python, torch or an engine."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError) or (
            isinstance(cause, OSError) and cause.errno == errno.ENOMEM
        ):
            return True
        # a C function that returned NULL where there was no memory for the exception either
        if isinstance(cause, SystemError) and "without exception set" in str(cause):
            return True
        if isinstance(cause, RuntimeError) or type(cause).__module__.startswith("onnxruntime"):
            text = str(cause).lower()
            if any(sign in text for sign in _SIGNS):
                return True
        cause = cause.__cause__
    return False


def too_little_memory(error: BaseException, doing: str = "the next step") -> TooLittleMemory:
    """The message for an allocation that failed while `doing` something.

    Memory of a GPU is told from main memory by the error's type.
    """
    if type(error).__name__ == "OutOfMemoryError":  # torch's for CUDA, named without importing it
        return TooLittleMemory(
            f"Too little GPU memory for {doing}.\n"
            f"Let the run save memory with `xbind generate --vram GIB` (`xbind plan` shows what it "
            f"needs), or compute with --device cpu."
        )
    return TooLittleMemory(
        f"Too little memory for {doing}.\n"
        f"End other programs, raise the limit of this process (`ulimit -v`, the container's or the "
        f"job's), or give fewer --threads."
    )


@contextmanager
def memory_errors(doing: str) -> Iterator[None]:
    """Turn an allocation that fails while `doing` something into `TooLittleMemory`."""
    try:
        yield
    except XBindError:
        raise
    except Exception as error:
        if is_memory_error(error):
            raise too_little_memory(error, doing) from error
        raise
