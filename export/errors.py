"""Errors on the way from a torch module to a graph."""

from xbind.engine.errors import EngineError, EngineRefused


class ExportError(EngineError):
    """A module cannot be written down as a graph; the message names the operation."""


class BuildRefused(ExportError, EngineRefused):
    """A builder cannot build a graph; it would not the next time either, so this is remembered."""
