"""Refusals, each with the status of its HTTP response."""

from typing import ClassVar

from xbind.errors import XBindError


class ServerError(XBindError):
    """A request that is refused; the message says what was wanted and what to do."""

    status: ClassVar[int] = 400
    """Of the HTTP response."""


class NoSuchJob(ServerError):
    """There is no job of that name."""

    status = 404


class NoSuchFile(ServerError):
    """A job has no such file."""

    status = 404


class WrongType(ServerError):
    """An uploaded file is not of a kind that its modality can be read from."""

    status = 415


class BadPrompt(ServerError):
    """A prompt, seed or preset that cannot be used."""

    status = 422


class TooMany(ServerError):
    """Too much waits already."""

    status = 429


class DiskQuota(ServerError):
    """The jobs take all the disk space that they may."""

    status = 507


class Stopped(ServerError):
    """The server answers, but makes no more objects."""

    status = 503
