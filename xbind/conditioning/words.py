"""Words of a text prompt, each with its part in the prompt and the word that a bundle knows."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from xbind.conditioning.lexicon import Lexicon, load_lexicon

Kind = Literal[
    "thing", "colour", "quality", "filler", "unknown", "lacking", "empty",
    "negation", "quantity", "join", "detail", "relative", "comma",
]  # fmt: skip
"""What a word does. `quality` is any known adjective, `lacking` a colour near none of the
bundle's, `detail` a preposition, `relative` a word before a predicate, `comma` any punctuation."""

LONGEST = 4
"""Words of the longest name in the tables."""
_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)*|[^\w\s'\"-]")
_GROUPS: dict[str, Kind] = {"things": "thing", "colours": "colour", "filler": "filler"}
"""Group of a bundle's vocabulary → kind of its words; words of other groups are qualities."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a prompt, or several that form one name."""

    written: str
    """Word of the prompt in lower case, hyphens as spaces."""
    kind: Kind
    read: str = ""
    """The bundle's word; empty where the encoder sees nothing."""


class Vocabulary:
    """Vocabulary of a bundle, with aliases of its words."""

    def __init__(
        self, words: Sequence[str], groups: Mapping[str, Sequence[str]] | None, *, exact: bool
    ) -> None:
        """Sort the words by kind and choose the aliases.

        Args:
            words: the closed vocabulary.
            groups: its words by kind: `things`, `colours`, `filler`; any other group holds
                adjectives. Without it every word is an adjective.
            exact: read no aliases.
        """
        self.lexicon: Lexicon = load_lexicon()
        self.groups: dict[str, Sequence[str]] = dict(groups or {"words": words})
        self.exact = exact
        self.kinds: dict[str, Kind] = {}
        for name, group in self.groups.items():
            self.kinds |= dict.fromkeys(group, _GROUPS.get(name, "quality"))
        for word in words:
            self.kinds.setdefault(word, "quality")
        self.aliases: dict[str, str] = {} if exact else self._known_aliases()

    def _known_aliases(self) -> dict[str, str]:
        lexicon = self.lexicon
        tables: tuple[tuple[Kind, Mapping[str, str]], ...] = (
            ("filler", lexicon.filler), ("quality", lexicon.shapes),
            ("colour", lexicon.colours), ("thing", lexicon.things),
        )  # fmt: skip
        return {
            alias: word
            for kind, table in tables
            for alias, word in table.items()
            if self.kinds.get(word) == kind
        }

    def of_kind(self, kind: Kind) -> list[str]:
        """The bundle's own words of a kind."""
        words = (word for group in self.groups.values() for word in group)
        return [word for word in words if self.kinds[word] == kind]

    def find(self, name: str) -> Word | None:
        """A name as a thing, colour, adjective or filler, or None where it is unknown."""
        for form in (name, *singulars(name)):
            if form in self.kinds:
                return Word(name, self.kinds[form], form)
            if form in self.aliases:
                word = self.aliases[form]
                return Word(name, self.kinds[word], word)
            if not self.exact and self.lexicon.colours.get(form) is not None:
                return Word(name, "lacking")
        return None


def split_words(text: str, vocabulary: Vocabulary) -> list[Word]:
    """Split a prompt into words; the longest known name is taken first."""
    folded = unicodedata.normalize("NFKC", text).lower().replace("’", "'")
    tokens = [token.removesuffix("'s") for token in _TOKEN.findall(folded)]
    words: list[Word] = []
    place = 0
    while place < len(tokens):
        word, length = _next_word(tokens[place : place + LONGEST], vocabulary)
        words.append(word)
        place += length
    return words


def _next_word(tokens: Sequence[str], vocabulary: Vocabulary) -> tuple[Word, int]:
    for length in range(len(tokens), 1, -1):
        word = _compound(tokens[:length], vocabulary)
        if word is not None:
            return word, length
    return _single(tokens[0], vocabulary), 1


def _compound(tokens: Sequence[str], vocabulary: Vocabulary) -> Word | None:
    """Several tokens as one name: of the tables, or a shade before a colour ("dark red")."""
    name = " ".join(tokens)
    word = vocabulary.find(name)
    if word is None and tokens[0] in vocabulary.lexicon.shades and not vocabulary.exact:
        word = vocabulary.find(name.split(" ", 1)[1])
        if word is not None and word.kind not in ("colour", "lacking"):
            return None
    return None if word is None else Word(name, word.kind, word.read)


def _single(token: str, vocabulary: Vocabulary) -> Word:
    lexicon = vocabulary.lexicon
    own = token if token in vocabulary.kinds else ""
    structure: tuple[tuple[Kind, Iterable[str]], ...] = (
        ("negation", lexicon.negations), ("quantity", lexicon.quantities),
        ("join", lexicon.joins), ("relative", lexicon.relatives), ("detail", lexicon.details),
    )  # fmt: skip
    if token.endswith("n't"):
        return Word(token, "negation")
    for kind, tokens in structure:
        if token in tokens:
            return Word(token, kind, own)
    if not token[0].isalnum():  # of symbols, an emoji says something and "/" does not
        symbol = unicodedata.category(token) in ("So", "Sk", "Sc")
        return Word(token, "unknown" if symbol else "comma")
    word = vocabulary.find(token)
    if word is not None:
        return word if word.kind != "filler" else _relative(word, lexicon)
    if token.isdecimal():
        return Word(token, "quantity")
    return Word(token, "empty" if token in lexicon.empty else "unknown")


def _relative(word: Word, lexicon: Lexicon) -> Word:
    """An alias of a relative word has its part too."""
    if word.read in lexicon.relatives:
        return Word(word.written, "relative", word.read)
    return word


def singulars(name: str) -> list[str]:
    """Singular forms that a plural may have."""
    if name.endswith("men"):
        return [name[:-3] + "man"]
    if not name.endswith("s") or len(name) < 4:
        return []
    forms = [name[:-1]]
    if name.endswith("ies"):
        forms.append(name[:-3] + "y")
    if name.endswith("es"):
        forms.append(name[:-2])
    if name.endswith("ves"):
        forms += [name[:-3] + "f", name[:-3] + "fe"]
    return forms
