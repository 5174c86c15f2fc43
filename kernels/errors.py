"""Errors of the operators."""

from xbind.errors import XBindError


class KernelError(XBindError):
    """An operator was given a tensor, or an implementation, that it cannot work with."""
