"""Errors of compiled graphs; each message says what to type next."""

from xbind.errors import XBindError


class EngineError(XBindError):
    """A compiled graph cannot be made, found or run."""


class FeedError(EngineError, ValueError):
    """A graph was fed something that does not fit its signature."""


class BackendUnavailable(EngineError):
    """A backend was asked for that cannot run here."""


class EngineDamaged(EngineError):
    """A file in the store is not what was written; nothing of it is used."""


class EngineRefused(EngineError):
    """An engine is not used, for a reason that holds at the next attempt too; remembered."""


class ParityError(EngineRefused):
    """A compiled graph does not compute what torch computes; it is not kept."""
