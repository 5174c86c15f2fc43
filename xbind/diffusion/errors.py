"""Errors of guidance."""

from xbind.errors import XBindError


class GuidanceError(XBindError, ValueError):
    """A guidance step was built or called with something that does not fit it."""
