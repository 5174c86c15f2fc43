"""Errors of prompts: files or words that are refused."""

from xbind.errors import XBindError


class PromptError(XBindError):
    """A prompt that cannot be used as it is; the message says what to give instead."""
