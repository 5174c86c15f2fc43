"""Errors on the way from a torch module to a graph."""

from xbind.engine.errors import EngineError


class ExportError(EngineError):
    """A module cannot be written down as a graph; the message names the operation."""
