from itertools import pairwise

import pytest
import torch

from xbind.mini.world.captions import VOCABULARY, caption, prompts
from xbind.mini.world.categories import CATEGORIES, COLOUR_NAMES

KINDS = ("full", "colour", "category", "sound", "normal")


def drawn(kind, count=60):
    generator = torch.Generator().manual_seed(0)
    return {
        caption(CATEGORIES[i % 17], COLOUR_NAMES[i % 8], ("tall", "")[i % 2], generator, kind)
        for i in range(count)
    }


@pytest.mark.parametrize("kind", KINDS)
def test_captions_stay_inside_the_vocabulary(kind):
    words = {word for text in drawn(kind) for word in text.split()}
    assert words <= set(VOCABULARY)


@pytest.mark.parametrize(
    ("kind", "says_colour", "says_category"),
    [
        ("full", True, True),
        ("colour", True, False),
        ("category", False, True),
        ("sound", False, True),
        ("normal", False, True),
    ],
)
def test_each_kind_says_what_it_should(kind, says_colour, says_category):
    for text in drawn(kind):
        words = set(text.split())
        assert bool(words & set(COLOUR_NAMES)) == says_colour, text
        assert bool(words & set(CATEGORIES)) == says_category, text


def test_the_adjective_is_said_half_of_the_time():
    generator = torch.Generator().manual_seed(1)
    texts = [caption("mug", "red", "tall", generator) for _ in range(200)]
    assert 70 < sum("tall" in text.split() for text in texts) < 130
    assert not any("tall" in caption("mug", "red", "", generator) for _ in range(20))


def test_articles_suit_the_next_word():
    for kind in KINDS:
        for text in drawn(kind):
            words = text.split()
            for word, after in pairwise(words):
                if word in ("a", "an"):
                    assert (word == "an") == (after[0] in "aeiou"), text


def test_there_are_136_prompts():
    texts = prompts()
    assert len(set(texts)) == len(texts) == 136
    assert texts[:2] == ("a red mug", "an orange mug")
    assert texts[8 * CATEGORIES.index("boat") + COLOUR_NAMES.index("pink")] == "a pink boat"
    assert {word for text in texts for word in text.split()} <= set(VOCABULARY)
    assert list(VOCABULARY) == sorted(set(VOCABULARY))
