"""Errors of prompts: files or words that are refused."""

from xbind.config.options import PromptConfig
from xbind.errors import XBindError


class PromptError(XBindError):
    """A prompt that cannot be used as it is; the message says what to give instead."""


def text_for_prior(prompt: PromptConfig) -> str:
    """The text of a prompt, for a 2D prior that reads nothing else.

    Raises:
        PromptError: the prompt has none.
    """
    if prompt.text is None:
        given = ", ".join(f"--{modality}" for modality in prompt.given())
        raise PromptError(
            f"The chosen 2D prior reads text alone, and the prompt has none: it has {given}.\n"
            f'Add a text, such as --text "a red mug", or leave out --prior-2d.'
        )
    return prompt.text
