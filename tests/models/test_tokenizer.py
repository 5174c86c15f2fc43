"""The closed vocabulary."""

import pytest

from xbind.models.tokenizer import UnknownWords, WordTokenizer

TOKENIZER = WordTokenizer(("a", "mug", "red"), length=6)


def test_ids_end_with_the_highest():
    encoded = TOKENIZER.encode("A red, red MUG!")
    assert encoded.ids == [1, 2, 4, 4, 3, 5]
    assert encoded.unknown == ()
    assert max(encoded.ids) == TOKENIZER.vocab_size - 1


def test_unknown_words_are_named():
    assert TOKENIZER.encode("a shiny red mug").unknown == ("shiny",)


def test_nothing_known_is_refused_with_the_vocabulary():
    with pytest.raises(UnknownWords, match="It knows: a, mug, red"):
        TOKENIZER.encode("zebra")


def test_long_texts_keep_their_end():
    ids = TOKENIZER.encode("red " * 20).ids
    assert len(ids) == 6
    assert ids[-1] == TOKENIZER.vocab_size - 1
