"""What a user's file or words can be refused for."""

from xbind.errors import XBindError


class PromptError(XBindError):
    """A prompt that cannot be used as it is; the message says what to give instead."""
