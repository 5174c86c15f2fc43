"""The closed vocabulary."""

import subprocess
import sys

import pytest

from xbind.models.tokenizer import UnknownWords, WordTokenizer, clean_text

TOKENIZER = WordTokenizer(("a", "mug", "red"), length=6)


def test_ids_end_with_the_highest():
    encoded = TOKENIZER.encode("A red, red MUG!")
    assert encoded.ids == [1, 2, 4, 4, 3, 5]
    assert max(encoded.ids) == TOKENIZER.vocab_size - 1


def test_unknown_words_are_refused_by_name():
    with pytest.raises(UnknownWords, match=r"unknown words: shiny\."):
        TOKENIZER.encode("a shiny red mug")


def test_nothing_known_is_refused_with_the_vocabulary():
    with pytest.raises(UnknownWords, match="It knows: a, mug, red"):
        TOKENIZER.encode("zebra")


def test_long_texts_keep_their_end():
    ids = TOKENIZER.encode("red " * 20).ids
    assert len(ids) == 6
    assert ids[-1] == TOKENIZER.vocab_size - 1


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("it’s “Red”", 'it\'s "red"'),
        ("ﬁne eﬀort", "fine effort"),
        ("ＲＥＤ ｍｕｇ", "red mug"),
        ("cafÃ©", "café"),
        ("fish &amp;amp; chips", "fish & chips"),
        ("  a\tred\u00a0\n mug ", "a red mug"),
        ("&nbsp;", ""),
    ],
)
def test_byte_pairs_are_of_cleaned_text(text, clean):
    assert clean_text(text) == clean


def test_closed_vocabularies_do_not_pay_for_the_cleaning():
    program = (
        "import sys; import xbind.conditioning.text as t; import xbind.models.tokenizer as k;"
        "t.encode_text('a mug', k.WordTokenizer(('a', 'mug'), 6)); print('ftfy' in sys.modules)"
    )
    command = [sys.executable, "-P", "-c", program]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
