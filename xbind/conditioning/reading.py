"""A text prompt over a closed vocabulary: what it is read as, or why it is refused.

A prompt names one thing: the last noun of its first noun phrase. A word that is neither known nor
an alias is never dropped silently. Refused whatever the options are: an unknown thing, several
things or numbers above one, several colours, negation. Unknown adjectives and details (phrases
after a preposition) may be ignored if the caller says so.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NoReturn

from xbind.conditioning.errors import PromptError
from xbind.conditioning.refusals import explain, nearest
from xbind.conditioning.words import Kind, Vocabulary, Word, split_words

CONTENT: tuple[Kind, ...] = ("thing", "colour", "quality", "unknown", "lacking")
"""Kinds that say something of the object."""


@dataclass(frozen=True, slots=True)
class TextReading:
    """Reading of a text prompt in a closed vocabulary."""

    text: str
    """Text as written."""
    read: str
    """The words that the encoder sees."""
    replaced: tuple[tuple[str, str], ...]
    """Written words and the bundle's words that they were read as, in order, each once."""
    ignored: tuple[str, ...]
    """Words and phrases that the encoder does not see although they say something."""

    def messages(self) -> tuple[str, ...]:
        """Lines for the user: replaced words, ignored words."""
        lines = []
        if self.replaced:
            said = ", ".join(f"{written!r} as {word}" for written, word in self.replaced)
            lines.append(f"read {said}: the prompt is {self.read!r}")
        if self.ignored:
            lines.append(f"ignored: {', '.join(map(repr, self.ignored))}")
        return tuple(lines)

    def plain(self) -> dict[str, Any]:
        """Returns the reading as JSON data."""
        return asdict(self) | {
            "replaced": [list(pair) for pair in self.replaced],
            "ignored": list(self.ignored),
        }


@dataclass(slots=True)
class _Phrase:
    """Words between two separators, with the separator at their head."""

    opens: Kind | None
    """Kind of the separator; None at the start and before a determiner."""
    words: list[Word] = field(default_factory=list)
    determined: bool = False
    """True if the phrase has an article or another determiner."""

    def has(self, *kinds: Kind) -> bool:
        return any(word.kind in kinds for word in self.words)

    def unknown(self) -> list[Word]:
        return [word for word in self.words if word.kind in ("unknown", "lacking")]


def read_text(
    text: str, vocabulary: Vocabulary, *, ignore_unknown: bool = False, places: int | None = None
) -> TextReading:
    """Read a prompt.

    Args:
        text: the prompt.
        vocabulary: what the bundle knows.
        ignore_unknown: leave out unknown adjectives and details instead of refusing them.
        places: the most words that the encoder holds; by default any number.

    Raises:
        PromptError: says what was understood, what was not, and what to type next.
    """
    words = split_words(text, vocabulary)
    phrases = _phrases(words, vocabulary)
    refuse = _Refusal(text, words, vocabulary)
    _check_one_thing(words, vocabulary, refuse)
    dropped = _dropped(phrases, vocabulary, refuse)
    kept = [w for w in words if not any(w is gone for phrase in dropped for gone in phrase)]
    _check_kept(kept, vocabulary, refuse)
    ignored = tuple(" ".join(word.written for word in phrase) for phrase in dropped)
    if ignored and not ignore_unknown:
        refuse.unknown_details(
            ignored, [w for phrase in dropped for w in phrase if w.kind == "unknown"]
        )
    while dropped and kept and kept[-1].kind in ("relative", "detail", "join"):
        kept.pop()  # "is" of "is white"
    seen = _seen(kept, words, vocabulary)
    if places is not None and len(seen) > places:
        raise PromptError(
            f"The prompt has {len(seen)} known words; this bundle reads at most {places}.\n"
            f"Say it in fewer words than: {text!r}"
        )
    replaced = dict.fromkeys((w.written, w.read) for w in kept if w.read and w.read != w.written)
    return TextReading(text, " ".join(seen), tuple(replaced), ignored)


def _phrases(words: Sequence[Word], vocabulary: Vocabulary) -> list[_Phrase]:
    """Split before separators, and before a determiner that follows words with content."""
    phrases = [_Phrase(None)]
    for word in words:
        determiner = word.written in vocabulary.lexicon.determiners
        if word.kind in ("join", "detail", "relative", "comma"):
            phrases.append(_Phrase(word.kind))
        elif determiner and phrases[-1].has(*CONTENT):
            phrases.append(_Phrase(None))
        phrases[-1].determined |= determiner
        phrases[-1].words.append(word)
    return phrases


def _check_one_thing(words: Sequence[Word], vocabulary: Vocabulary, refuse: "_Refusal") -> None:
    """Refuse negation, numbers above one, and several things."""
    for word in words:
        if word.kind == "negation":
            refuse(f"says what is not wanted ({word.written!r}), which this bundle cannot read")
        if word.kind == "quantity":
            refuse(f"asks for several things ({word.written!r}); one run makes one thing")
    things = [word.written for word in words if word.kind == "thing"]
    if len(things) > 1:
        refuse(f"names several things ({', '.join(things)}); one run makes one thing")


def _dropped(
    phrases: Sequence[_Phrase], vocabulary: Vocabulary, refuse: "_Refusal"
) -> list[list[Word]]:
    """Unknown adjectives and details, by phrase.

    Raises:
        PromptError: an unknown word stands where a thing is named.
    """
    dropped: list[list[Word]] = []
    named = False  # a noun, known or a placeholder, has been seen
    detail = False  # the last phrase with content was a detail that is left out
    for place, phrase in enumerate(phrases):
        unknown = phrase.unknown()
        thing = phrase.has("thing") or _is_placeholder(phrase, vocabulary)
        if unknown and thing:
            _check_head(phrase, vocabulary, refuse)
            dropped += [[word] for word in unknown]
        elif unknown:
            detail = _is_detail(phrase, detail, named=named)
            if detail:
                dropped.append(phrase.words)
            elif _is_adjective(phrase, phrases[place + 1 :], named=named):
                dropped += [[word] for word in unknown]
            else:
                refuse.unknown_thing(unknown)
        elif phrase.has(*CONTENT):
            detail = False
        named = named or thing
    return dropped


def _is_placeholder(phrase: _Phrase, vocabulary: Vocabulary) -> bool:
    return any(word.read in vocabulary.lexicon.placeholders for word in phrase.words)


def _check_head(phrase: _Phrase, vocabulary: Vocabulary, refuse: "_Refusal") -> None:
    """Refuse an unknown word after the thing: the last noun says what is meant ("a mug shot")."""
    for i, word in enumerate(phrase.words):
        named = word.kind == "thing" or word.read in vocabulary.lexicon.placeholders
        after = [w for w in phrase.words[i + 1 :] if w.kind == "unknown"]
        if named and after:
            refuse.unknown_thing([word, *after])


def _is_detail(phrase: _Phrase, continues: bool, *, named: bool) -> bool:
    """Returns True if a phrase without a thing describes the thing before it."""
    if not named:
        return False
    return phrase.opens == "detail" or (continues and phrase.opens in ("join", "comma"))


def _is_adjective(phrase: _Phrase, later: Sequence[_Phrase], *, named: bool) -> bool:
    """Returns True if the unknown words of a phrase without a noun can only be adjectives."""
    if all(word.kind == "lacking" for word in phrase.unknown()):
        return True
    if named:
        return phrase.opens == "relative" or (phrase.opens == "comma" and not phrase.determined)
    following = later[0] if later else None  # "a shiny, red mug"
    return (
        following is not None
        and following.opens == "comma"
        and following.has("thing")
        and not following.determined
    )


def _check_kept(words: Sequence[Word], vocabulary: Vocabulary, refuse: "_Refusal") -> None:
    """Refuse what names nothing, and several colours."""
    kinds = {word.kind for word in words}
    if vocabulary.of_kind("thing") and "thing" not in kinds:
        placeholder = any(word.read in vocabulary.lexicon.placeholders for word in words)
        if not (placeholder and kinds & {"colour", "quality"}):
            refuse.nothing_named()
    elif not kinds & {"thing", "colour", "quality"}:
        refuse.nothing_named()
    colours = dict.fromkeys(word.read for word in words if word.kind == "colour")
    if len(colours) > 1:
        refuse(f"names several colours ({', '.join(colours)}); a thing has one colour here")


def _seen(kept: Sequence[Word], words: Sequence[Word], vocabulary: Vocabulary) -> list[str]:
    """The bundle's words in order.

    An article agrees with the next word if that was replaced, or if a word between them is left
    out; otherwise it stays as written. A name that repeats its neighbour ("crimson red") is left
    out.
    """
    shown: list[Word] = []
    for word in (word for word in kept if word.read):
        alias = word.read != word.written or (shown and shown[-1].read != shown[-1].written)
        if not (shown and shown[-1].read == word.read and alias):
            shown.append(word)
    place = {id(word): i for i, word in enumerate(words)}
    seen = []
    for word, after in zip(shown, [*shown[1:], None], strict=True):
        said = word.read
        if said in ("a", "an") and after is not None:
            same = after.read == after.written and place[id(after)] == place[id(word)] + 1
            article = "an" if after.read[0] in "aeiou" else "a"
            said = said if same or article not in vocabulary.kinds else article
        seen.append(said)
    return seen


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Raises errors that say what was understood and what to type next."""

    text: str
    words: Sequence[Word]
    vocabulary: Vocabulary

    def __call__(
        self, problem: str, hints: Iterable[str] = (), instead: Sequence[str] = ()
    ) -> NoReturn:
        raise PromptError(explain(self.text, problem, self.words, self.vocabulary, hints, instead))

    def unknown_thing(self, words: Sequence[Word]) -> NoReturn:
        said = " ".join(word.written for word in words)
        found = nearest((word.written for word in words), self.vocabulary, ("thing",))
        hints = [f"Nearest known things: {', '.join(found)}."] if found else []
        self(f"names a thing that this bundle does not know: {said!r}", hints, found)

    def nothing_named(self) -> NoReturn:
        self("does not say what to make")

    def unknown_details(self, ignored: Sequence[str], words: Sequence[Word]) -> NoReturn:
        said = ", ".join(map(repr, ignored))
        found = nearest((word.written for word in words), self.vocabulary, ("colour", "quality"))
        hints = [f"Nearest known words: {', '.join(found)}."] if found else []
        hints.append("To make it without them, add --ignore-unknown.")
        self(f"says what this bundle does not know: {said}", hints)
