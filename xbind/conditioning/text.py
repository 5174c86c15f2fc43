"""A text prompt to token ids: what an encoder does not know or cannot hold is said, not guessed."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from xbind.conditioning.errors import PromptError
from xbind.models.tokenizer import BpeTokenizer, Tokenizer, WordTokenizer

FILLER = "filler"
"""The group of words that mean nothing alone ("a", "the"): they do not make a prompt."""


@dataclass(frozen=True, slots=True)
class TextPrompt:
    """A prompt as the text encoder reads it."""

    ids: Int[Tensor, " n"]
    """Begin, known words, end, padding; int64."""
    unknown: tuple[str, ...]
    """Words that the vocabulary lacks and the encoder will not see, each once, in order."""

    def warning(self) -> str | None:
        """What to tell the user about the words that were left out, if there are any."""
        if not self.unknown:
            return None
        return f"The bundle does not know these words and leaves them out: {_list(self.unknown)}."


def encode_text(
    text: str, tokenizer: Tokenizer, groups: Mapping[str, Sequence[str]] | None = None
) -> TextPrompt:
    """Turn a prompt into ids, and keep what was not understood.

    Args:
        text: the prompt; case and punctuation do not matter.
        tokenizer: the bundle's.
        groups: a closed vocabulary by kind ("colours", …), for the message; the words of the group
            `filler` do not make a prompt alone. Without it all words are of one kind.

    Raises:
        PromptError: when no word means anything to the bundle (the message lists what does, and
            names near misses), or when the text is longer than the encoder has places for.
    """
    if isinstance(tokenizer, BpeTokenizer):
        return _encode_pairs(text, tokenizer)
    return _encode_words(text, tokenizer, groups)


def _encode_pairs(text: str, tokenizer: BpeTokenizer) -> TextPrompt:
    count = len(tokenizer.tokens(text))
    if count == 0:
        raise PromptError(f"The prompt {text!r} says nothing. Say what to make, such as a red mug.")
    if count > tokenizer.length - 2:
        raise PromptError(
            f"The prompt has {count} tokens; this bundle reads at most {tokenizer.length - 2}.\n"
            f"Say it in fewer words than: {text!r}"
        )
    return TextPrompt(torch.tensor(tokenizer.encode(text).ids), ())


def _encode_words(
    text: str, tokenizer: WordTokenizer, groups: Mapping[str, Sequence[str]] | None
) -> TextPrompt:
    groups = {"words": tokenizer.vocabulary} if groups is None else groups
    words = [word for word in re.split(r"[\W_]+", text.lower()) if word]
    known = [word for word in words if word in tokenizer.vocabulary]
    if not set(known) - set(groups.get(FILLER, ())):
        raise PromptError(_nothing_known(text, words, groups))
    if len(known) > tokenizer.length - 2:
        raise PromptError(
            f"The prompt has {len(known)} known words; this bundle reads at most "
            f"{tokenizer.length - 2}.\nSay it in fewer words than: {text!r}"
        )
    unknown = tuple(dict.fromkeys(word for word in words if word not in tokenizer.vocabulary))
    return TextPrompt(torch.tensor(tokenizer.encode(" ".join(known)).ids), unknown)


def _nothing_known(text: str, words: Sequence[str], groups: Mapping[str, Sequence[str]]) -> str:
    kinds = {name: group for name, group in groups.items() if name != FILLER}
    vocabulary = [word for group in kinds.values() for word in group]
    near = [match for word in words for match in difflib.get_close_matches(word, vocabulary, 1)]
    lines = [f"The bundle knows no word of {text!r} that says what to make."]
    if near:
        lines.append(f"Did you mean: {_list(dict.fromkeys(near))}?")
    lines.append("It knows:")
    lines += [f"  {name}: {_list(group)}" for name, group in kinds.items()]
    return "\n".join(lines)


def _list(words: Iterable[str]) -> str:
    return ", ".join(words)
