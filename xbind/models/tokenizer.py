"""A closed vocabulary of whole words, for encoders whose language is small and honest about it."""

import re
from dataclasses import dataclass

from xbind.errors import XBindError


class UnknownWords(XBindError):
    """A text in which the encoder knows no word at all."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of one text."""

    ids: list[int]
    """`length` ids: begin, words, end, padding. The end has the highest id of all."""
    unknown: tuple[str, ...]
    """Words that were left out because the vocabulary lacks them, in order."""


@dataclass(frozen=True, slots=True)
class WordTokenizer:
    """Words ↔ ids. Case and punctuation do not matter; ids 0 and 1 are padding and begin."""

    vocabulary: tuple[str, ...]
    """Known words, in the order of their ids from 2 on."""
    length: int
    """Positions of the text encoder; longer texts are cut at the end."""

    @property
    def vocab_size(self) -> int:
        """Padding, begin, the words, end."""
        return len(self.vocabulary) + 3

    def encode(self, text: str) -> Encoded:
        """Turn a text into ids.

        Raises:
            UnknownWords: no word of `text` is known; the message lists the vocabulary.
        """
        words = re.findall(r"[a-z0-9]+", text.lower())
        index = {word: i + 2 for i, word in enumerate(self.vocabulary)}
        known = [index[word] for word in words if word in index]
        if not known:
            raise UnknownWords(
                f"This encoder knows none of the words in {text!r}.\n"
                f"It knows: {', '.join(self.vocabulary)}.\n"
                f'Try for example:  --text "a red mug"'
            )
        ids = [1, *known[: self.length - 2], self.vocab_size - 1]
        ids += [0] * (self.length - len(ids))
        return Encoded(ids, tuple(word for word in words if word not in index))
