"""A text prompt to token ids; over a closed vocabulary it is read word by word, never in part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from xbind.conditioning.errors import PromptError
from xbind.conditioning.reading import TextReading, read_text
from xbind.conditioning.words import Vocabulary
from xbind.diffusion.view_words import VIEW_WORDS
from xbind.models.text_encoder import TextEncoder
from xbind.models.tokenizer import BpeTokenizer, Tokenizer


@dataclass(frozen=True, slots=True)
class TextPrompt:
    """A prompt as the text encoder reads it."""

    ids: Int[Tensor, " n"]
    """Begin, words, end, padding; int64."""
    reading: TextReading | None
    """Reading of the words; None for an open vocabulary, which takes any text."""


def encode_text(
    text: str,
    tokenizer: Tokenizer,
    groups: Mapping[str, Sequence[str]] | None = None,
    *,
    exact_words: bool = False,
    ignore_unknown: bool = False,
) -> TextPrompt:
    """Turn a prompt into ids.

    Args:
        text: the prompt; case and punctuation do not matter.
        tokenizer: the bundle's.
        groups: a closed vocabulary by kind: `things`, `colours`, `filler` (words that say nothing
            of the object), and any groups of adjectives. Without it all words are adjectives.
        exact_words: of a closed vocabulary: read no aliases.
        ignore_unknown: of a closed vocabulary: leave out unknown adjectives and details.

    Raises:
        PromptError: when the prompt cannot be read as one known thing, or is longer than the
            encoder has places for.
    """
    if isinstance(tokenizer, BpeTokenizer):
        return _encode_pairs(text, tokenizer)
    vocabulary = Vocabulary(tokenizer.vocabulary, groups, exact=exact_words)
    reading = read_text(
        text, vocabulary, ignore_unknown=ignore_unknown, places=tokenizer.length - 2
    )
    return TextPrompt(torch.tensor(tokenizer.encode(reading.read).ids), reading)


def encode_for_prior(text: str, encoder: TextEncoder) -> Float[Tensor, "n l c"]:
    """The contexts of a prompt with each of `VIEW_WORDS`: "a red mug", "a red mug, side view", …

    Raises:
        PromptError: a text says nothing, or is longer than the encoder has places for.
    """
    texts = [text, *(f"{text}, {word} view" for word in VIEW_WORDS[1:])]
    for each in texts:
        _check_length(each, encoder.tokenizer, "The prompt with its view word")
    return encoder.encode(texts)


def _encode_pairs(text: str, tokenizer: BpeTokenizer) -> TextPrompt:
    _check_length(text, tokenizer)
    return TextPrompt(torch.tensor(tokenizer.encode(text).ids), None)


def _check_length(text: str, tokenizer: BpeTokenizer, what: str = "The prompt") -> None:
    """Refuse a text that is empty, or longer than the encoder has places for.

    Raises:
        PromptError: says which, and how many tokens there may be.
    """
    count = len(tokenizer.tokens(text))
    if count == 0:
        raise PromptError(f"The prompt {text!r} says nothing. Say what to make, such as a red mug.")
    if count > tokenizer.length - 2:
        raise PromptError(
            f"{what} has {count} tokens; this bundle reads at most {tokenizer.length - 2}.\n"
            f"Say it in fewer words than: {text!r}"
        )
