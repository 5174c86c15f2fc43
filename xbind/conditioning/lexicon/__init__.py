"""English words of text prompts: names of things and colours, and words that join or negate.

`things.json` is generated from WordNet (`xbind.mini.world.aliases`; licence beside it),
`english.json` is written by hand. Aliases point at words that a bundle may or may not know.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
"""Folder of the tables."""


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Words by what they do in a prompt; all in lower case, hyphens as spaces."""

    things: dict[str, str]
    """Name of a thing, of one or more words → the word that a bundle may know."""
    near: dict[str, tuple[str, ...]]
    """Related name that is no alias → words of the same family."""
    colours: dict[str, str]
    """Name of a colour → the nearest hue; "" where none is near."""
    shades: frozenset[str]
    """Words that change a colour's shade and not its hue ("dark")."""
    shapes: dict[str, str]
    """Adjective → the adjective that a bundle may know."""
    filler: dict[str, str]
    """Word that says nothing of the object → the spelling that a bundle may know."""
    placeholders: frozenset[str]
    """Nouns that stand for any thing ("something")."""
    determiners: frozenset[str]
    """Words that begin a noun phrase."""
    empty: frozenset[str]
    """Words that are left out because they say nothing of the object ("please")."""
    negations: frozenset[str]
    quantities: frozenset[str]
    """Words for more than one."""
    joins: frozenset[str]
    """Words between things of equal rank ("and")."""
    details: frozenset[str]
    """Prepositions: what follows describes the thing before."""
    relatives: frozenset[str]
    """Words before a predicate ("that is")."""


@cache
def load_lexicon() -> Lexicon:
    """The tables that are installed with the package."""
    things = json.loads((FOLDER / "things.json").read_text(encoding="utf-8"))
    english = json.loads((FOLDER / "english.json").read_text(encoding="utf-8"))
    near: dict[str, tuple[str, ...]] = {}
    for thing, words in things["near"].items():
        for word in words:
            near[word] = (*near.get(word, ()), thing)
    sets = (
        *("shades", "placeholders", "determiners", "empty", "negations", "quantities"),
        *("joins", "details", "relatives"),
    )
    return Lexicon(
        things=_inverted(things["things"]),
        near=near,
        colours=_inverted(english["colours"]),
        shapes=_inverted(english["shapes"]),
        filler=_inverted(english["filler"]),
        **{name: frozenset(english[name]) for name in sets},
    )


def _inverted(table: dict[str, list[str]]) -> dict[str, str]:
    return {alias: word for word, aliases in table.items() for alias in aliases}
