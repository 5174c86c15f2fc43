"""Lets system calls of this process fail, as on file systems and kernels that lack them."""

import ctypes
import errno
import platform
import struct

NUMBERS = {
    "x86_64": {"flock": 73, "fsync": 74, "fdatasync": 75, "renameat2": 316},
    "aarch64": {"flock": 32, "fsync": 82, "fdatasync": 83, "renameat2": 276},
}
"""Machine → system call → its number (Linux's headers)."""
_NO_NEW_PRIVS, _SECCOMP, _FILTER = 38, 22, 2  # of prctl
_LOAD, _EQUALS, _RETURN = 0x20, 0x15, 0x06  # BPF: load a word, jump if equal, return
_ERRNO, _ALLOW = 0x00050000, 0x7FFF0000


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def can_fail() -> bool:
    """Whether the numbers of this machine's system calls are known."""
    return platform.system() == "Linux" and platform.machine() in NUMBERS


def let_fail(name: str, error: int) -> None:
    """From now on, and in all children, a system call fails with an error number.

    Raises:
        OSError: the kernel refuses to filter.
    """
    steps = [
        (_LOAD, 0, 0, 0),  # the number of the call
        (_EQUALS, 0, 1, NUMBERS[platform.machine()][name]),
        (_RETURN, 0, 0, _ERRNO | error),
        (_RETURN, 0, 0, _ALLOW),
    ]
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    program = _Program(len(steps), code)
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_SECCOMP, _FILTER, ctypes.byref(program), 0, 0),
    ):
        if libc.prctl(*arguments) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"prctl: {errno.errorcode.get(number, number)}")
