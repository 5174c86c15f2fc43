"""The closed grammar of captions: every word that the mini text tower will ever read."""

from bisect import bisect
from itertools import accumulate
from typing import Literal

import torch

from xbind.mini.world.categories import ADJECTIVES, CATEGORIES, COLOUR_NAMES
from xbind.mini.world.draw import Draw

CaptionKind = Literal["full", "colour", "category", "sound", "normal"]

_FULL = (
    (4.0, "{A} {s} {c} {k}"),
    (2.0, "the {s} {c} {k}"),
    (1.0, "one {s} {c} {k}"),
    (2.0, "{s} {c} {k}"),
    (2.0, "a photo of {A} {s} {c} {k}"),
    (1.0, "a picture of {A} {s} {c} {k}"),
    (1.0, "an image of {A} {s} {c} {k}"),
    (2.0, "a 3d model of {A} {s} {c} {k}"),
    (1.0, "a rendering of {A} {s} {c} {k}"),
    (1.0, "a toy {s} {k} in {c}"),
    (1.0, "{A} {s} {k} that is {c}"),
    (1.0, "{A} {s} {k} painted {c}"),
    (1.0, "{A} {s} {c} colored {k}"),
    (1.0, "a view of {A} {s} {c} {k}"),
)
_COLOUR = (
    (2.0, "something {c}"),
    (2.0, "{A} {c} thing"),
    (2.0, "{A} {c} object"),
    (1.0, "a photo of something {c}"),
    (1.0, "the color {c}"),
)
_CATEGORY = (
    (3.0, "{A} {s} {k}"),
    (1.0, "one {s} {k}"),
    (1.0, "the {s} {k}"),
    (1.0, "{s} {k}"),
    (1.0, "a photo of {A} {s} {k}"),
    (1.0, "a 3d model of {A} {s} {k}"),
)
_SOUND = (
    (2.0, "the sound of {A} {k}"),
    (1.0, "{A} {k} making a sound"),
    (1.0, "the noise of {A} {k}"),
    (1.0, "a recording of {A} {k}"),
)
_NORMAL = (
    (2.0, "a normal map of {A} {s} {k}"),
    (1.0, "the normals of {A} {s} {k}"),
    (1.0, "a rendering of the normals of {A} {s} {k}"),
)
_TEMPLATES: dict[CaptionKind, tuple[tuple[float, str], ...]] = {
    "full": _FULL,
    "colour": _COLOUR,
    "category": _CATEGORY,
    "sound": _SOUND,
    "normal": _NORMAL,
}


def caption(
    category: str,
    colour: str,
    adjective: str,
    generator: torch.Generator,
    kind: CaptionKind = "full",
) -> str:
    """Draw one caption of an object.

    Args:
        category, colour, adjective: what the object is; the adjective may be "".
        generator: chooses the template, and whether the adjective is said (half of the time).
        kind: "full" says colour and category, "colour" no category, "category" no colour,
            "sound" names the source of a sound, "normal" describes a normal map.
    """
    draw = Draw(generator)
    spoken = adjective if draw.bernoulli(0.5) else ""
    weights, templates = zip(*_TEMPLATES[kind], strict=True)
    place = draw.uniform(0.0, sum(weights))
    chosen = bisect(list(accumulate(weights)), place)
    return _fill(templates[chosen], category, colour, spoken)


def _fill(template: str, category: str, colour: str, adjective: str) -> str:
    """Fill a template; {A} becomes the article that suits the word after it."""
    text = template.format(A="{A}", s=adjective, c=colour, k=category)
    words = text.split()
    following = [*words[1:], ""]
    return " ".join(
        article(after) if word == "{A}" else word
        for word, after in zip(words, following, strict=True)
    )


def article(word: str) -> str:
    """ "an" before a vowel, else "a"."""
    return "an" if word[:1] in "aeiou" else "a"


def prompt(category: str, colour: str) -> str:
    """The plain prompt, such as "a red mug" or "an orange mug"."""
    return f"{article(colour)} {colour} {category}"


def prompts() -> tuple[str, ...]:
    """All 136 plain prompts; number `category_label · 8 + colour_label`."""
    return tuple(prompt(category, colour) for category in CATEGORIES for colour in COLOUR_NAMES)


def _all_words() -> tuple[str, ...]:
    words = {"a", "an", *CATEGORIES, *COLOUR_NAMES, *ADJECTIVES[1:]}
    for templates in _TEMPLATES.values():
        for _, template in templates:
            words.update(word for word in template.split() if not word.startswith("{"))
    return tuple(sorted(words))


VOCABULARY: tuple[str, ...] = _all_words()
"""Every word of every caption, sorted."""
