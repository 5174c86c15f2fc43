"""Words to token ids: a closed vocabulary of whole words, or CLIP's byte pairs."""

import html
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from xbind.errors import XBindError
from xbind.system.untrusted import guarded, read_json_object


class UnknownWords(XBindError):
    """A text with words that the vocabulary lacks."""


class DamagedTables(XBindError):
    """Byte-pair tables that cannot be used."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of one text."""

    ids: list[int]
    """`length` ids: begin, the text, end, padding. The end has the highest id of all."""


@dataclass(frozen=True, slots=True)
class WordTokenizer:
    """Words ↔ ids. Case and punctuation do not matter; ids 0 and 1 are padding and begin."""

    vocabulary: tuple[str, ...]
    """Known words, in the order of their ids from 2 on."""
    length: int
    """Positions of the text encoder; longer texts are cut at the end."""

    @property
    def example(self) -> str:
        """A text that this tokenizer knows."""
        return " ".join(self.vocabulary[:3])

    @property
    def vocab_size(self) -> int:
        """Padding, begin, the words, end."""
        return len(self.vocabulary) + 3

    def encode(self, text: str) -> Encoded:
        """Turn a text into ids.

        Raises:
            UnknownWords: a word of `text` is unknown, or it has none; the message lists the
                vocabulary.
        """
        words = re.findall(r"[a-z0-9]+", text.lower())
        index = {word: i + 2 for i, word in enumerate(self.vocabulary)}
        known = [index[word] for word in words if word in index]
        if len(known) < len(words) or not known:
            unknown = [word for word in words if word not in index]
            raise UnknownWords(
                f"This encoder cannot read {text!r}; unknown words: {', '.join(unknown) or '-'}.\n"
                f"It knows: {', '.join(self.vocabulary)}.\n"
                f'Try for example:  --text "a red mug"'
            )
        ids = [1, *known[: self.length - 2], self.vocab_size - 1]
        ids += [0] * (self.length - len(ids))
        return Encoded(ids)


def clean_text(text: str) -> str:
    """Clean a text as CLIP's and ImageBind's public tokenizers do.

    Repairs mojibake, straightens quotes and takes ligatures apart (`ftfy.fix_text`), replaces HTML
    entities twice, makes each run of white space one space, and folds to lower case.
    """
    import ftfy  # a bundle with a closed vocabulary does without it

    plain = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(plain.split()).lower()


@dataclass(frozen=True)
class BpeTokenizer:
    """CLIP's byte-pair encoding, padded with 0 as ImageBind's text tower reads it.

    Any text can be said in it. Its tables are those of every CLIP repository: `vocab.json` and
    `merges.txt`.
    """

    vocab: Path
    """Token → id."""
    merges: Path
    """Pairs to merge, the most frequent first, under a line that names the version."""
    length: int
    """Positions of the text encoder."""

    example = "a red mug"
    """A text that this tokenizer knows."""

    @cached_property
    def _tokenizer(self) -> Any:  # noqa: ANN401
        from transformers import CLIPTokenizer

        with self._reading():
            lines = self.merges.read_text(encoding="utf-8").split("\n")[1:]
            merges = [tuple(line.split()) for line in lines if line]
            return CLIPTokenizer(vocab=read_json_object(self.vocab), merges=merges)

    def tokens(self, text: str) -> list[int]:
        """Ids of a text of any length, without begin, end and padding."""
        tokenizer = self._tokenizer
        with self._reading():
            ids: list[int] = tokenizer(
                clean_text(text), add_special_tokens=False, split_special_tokens=True
            )["input_ids"]
        return ids

    def _reading(self) -> AbstractContextManager[None]:
        """Turns whatever the tokenizer's library raises into `DamagedTables`."""
        return guarded(
            lambda why: DamagedTables(
                f"{self.vocab} and {self.merges} are not CLIP's byte-pair tables: {why}.\n"
                f"Get them from a repository of CLIP, and install or import the bundle again."
            )
        )

    def encode(self, text: str, *, pad: int = 0) -> Encoded:
        """Turn a text into ids; nothing is ever unknown.

        Args:
            text: any text, also "".
            pad: id behind the end.

        Raises:
            ValueError: it is longer than the encoder's positions.
        """
        ids = self.tokens(text)
        if len(ids) > self.length - 2:
            raise ValueError(f"{len(ids)} tokens do not fit {self.length - 2} places")
        begin, end = self._tokenizer.bos_token_id, self._tokenizer.eos_token_id
        ids = [begin, *ids, end]
        return Encoded(ids + [pad] * (self.length - len(ids)))


Tokenizer = WordTokenizer | BpeTokenizer
"""Protocol of a tokenizer: a prompt's words to token ids."""
