"""What can go wrong between a torch module and a graph."""

from xbind.engine.errors import EngineError


class ExportError(EngineError):
    """A module cannot be written down as a graph; the message names the operation."""
