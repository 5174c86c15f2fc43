"""Messages for text prompts that cannot be read: what was understood, and what to type next."""

import difflib
from collections.abc import Iterable, Sequence

from xbind.conditioning.words import Kind, Vocabulary, Word, singulars

NEAREST = 3
"""The most words that are proposed."""


def explain(
    text: str,
    problem: str,
    words: Sequence[Word],
    vocabulary: Vocabulary,
    hints: Iterable[str] = (),
    instead: Sequence[str] = (),
) -> str:
    """The message of a refusal.

    Args:
        text: the prompt.
        problem: follows "The prompt …".
        words: how it was split.
        vocabulary: what the bundle knows.
        hints: lines between what was understood and what is known.
        instead: things to propose where none was understood.
    """
    understood = [_as_read(w) for w in words if w.kind in ("thing", "colour", "quality")]
    return "\n".join(
        [
            f"The prompt {text!r} {problem}.",
            f"Understood: {', '.join(understood) if understood else 'nothing'}.",
            *hints,
            "This bundle reads English words. It knows:",
            *_known(vocabulary),
            f'Try for example:  --text "{_example(words, vocabulary, instead)}"',
        ]
    )


def nearest(words: Iterable[str], vocabulary: Vocabulary, kinds: Sequence[Kind]) -> list[str]:
    """Known words that are near in meaning or in spelling, the nearest in meaning first."""
    own = [word for word, kind in vocabulary.kinds.items() if kind in kinds]
    aliases = {a: w for a, w in vocabulary.aliases.items() if w in own and len(a) > 4}
    found: dict[str, None] = {}
    for word in words:
        if "thing" in kinds:
            for form in (word, *singulars(word)):
                near = vocabulary.lexicon.near.get(form, ())
                found |= dict.fromkeys(w for w in near if w in own)
            found |= dict.fromkeys(w for w in own if word.endswith(w))
        if found:
            continue
        found |= dict.fromkeys(difflib.get_close_matches(word, own, NEAREST, 0.6))
        close = difflib.get_close_matches(word, aliases, NEAREST, 0.84)
        found |= dict.fromkeys(aliases[alias] for alias in close)
    return list(found)[:NEAREST]


def _as_read(word: Word) -> str:
    return word.read if word.read == word.written else f"{word.written!r} as {word.read}"


def _known(vocabulary: Vocabulary) -> list[str]:
    groups = {name: group for name, group in vocabulary.groups.items() if name != "filler"}
    return [f"  {name}: {', '.join(group)}" for name, group in groups.items()]


def _example(words: Sequence[Word], vocabulary: Vocabulary, instead: Sequence[str]) -> str:
    """A prompt that the bundle reads, with what was understood in it."""
    things = [word.read for word in words if word.kind == "thing"]
    things = things or list(instead) or vocabulary.of_kind("thing")
    colours = [word.read for word in words if word.kind == "colour"]
    colours = colours or vocabulary.of_kind("colour")
    chosen = [*colours[:1], *things[:1]] or list(vocabulary.kinds)[:1]
    article = "an" if chosen[0][0] in "aeiou" else "a"
    return " ".join([article, *chosen] if article in vocabulary.kinds else chosen)
