"""Prompts over a closed vocabulary."""

import json

import pytest
import torch

from xbind.conditioning.errors import PromptError
from xbind.conditioning.text import encode_text
from xbind.models.tokenizer import BpeTokenizer, WordTokenizer

GROUPS = {"things": ("mug", "car"), "colours": ("red", "blue"), "filler": ("a", "the")}
TOKENIZER = WordTokenizer(tuple(word for group in GROUPS.values() for word in group), 6)
MUG, CAR, RED, BLUE, A, THE, END = range(2, 9)


@pytest.mark.parametrize("text", ["a red mug", "A RED, mug!", "  a\nred-mug.", "a_red_mug"])
def test_ids_are_begin_words_end_padding(text):
    prompt = encode_text(text, TOKENIZER, GROUPS)
    assert prompt.ids.tolist() == [1, A, RED, MUG, END, 0]
    assert prompt.ids.dtype == torch.int64
    assert prompt.ids.argmax() == 4  # where encoders of CLIP's family pool
    assert prompt.reading.messages() == ()


def test_unknown_words_are_refused_or_ignored_by_name():
    with pytest.raises(PromptError, match=r"'shiny'.*\n.*\n.*--ignore-unknown"):
        encode_text("a shiny Red mug", TOKENIZER, GROUPS)
    prompt = encode_text("a shiny Red mug", TOKENIZER, GROUPS, ignore_unknown=True)
    assert prompt.ids.tolist() == [1, A, RED, MUG, END, 0]
    assert prompt.reading.ignored == ("shiny",)


def test_exact_words_are_the_bundles_own():
    assert encode_text("a car", TOKENIZER, GROUPS).ids.tolist() == [1, A, CAR, END, 0, 0]
    assert encode_text("a taxi", TOKENIZER, GROUPS).ids.tolist() == [1, A, CAR, END, 0, 0]
    with pytest.raises(PromptError, match="taxi"):
        encode_text("a taxi", TOKENIZER, GROUPS, exact_words=True)


def test_a_refusal_lists_what_is_known():
    with pytest.raises(PromptError) as refusal:
        encode_text("a jug", TOKENIZER, GROUPS)
    assert str(refusal.value).splitlines() == [
        "The prompt 'a jug' names a thing that this bundle does not know: 'jug'.",
        "Understood: nothing.",
        "Nearest known things: mug.",
        "This bundle reads English words. It knows:",
        "  things: mug, car",
        "  colours: red, blue",
        'Try for example:  --text "a red mug"',
    ]


@pytest.mark.parametrize("text", ["the", "a the a", "...", "赤いマグ", ""])
def test_filler_and_foreign_words_make_no_prompt(text):
    with pytest.raises(PromptError, match=r"does not say what to make|does not know"):
        encode_text(text, TOKENIZER, GROUPS)


def test_words_that_do_not_fit_are_not_cut_silently():
    assert encode_text("a the red mug", TOKENIZER, GROUPS).ids.tolist()[-1] == END
    with pytest.raises(PromptError, match="5 known words; this bundle reads at most 4"):
        encode_text("a the the red mug", TOKENIZER, GROUPS)


def test_without_groups_every_word_counts():
    assert encode_text("the", TOKENIZER).ids.tolist() == [1, THE, END, 0, 0, 0]
    with pytest.raises(PromptError, match="words: mug, car, red, blue, a, the"):
        encode_text("zeppelin", TOKENIZER)


@pytest.fixture
def pairs(tmp_path):
    """Byte pairs over the letters of "red mug": it knows "red" and "mu" as a whole."""
    tokens = ["r", "e", "d", "m", "u", "g", "r</w>", "e</w>", "d</w>", "m</w>", "u</w>", "g</w>"]
    tokens += ["re", "red</w>", "mu", "<|startoftext|>", "<|endoftext|>"]
    (tmp_path / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\nr e\nre d</w>\nm u\n")
    return BpeTokenizer(tmp_path / "vocab.json", tmp_path / "merges.txt", 8)


@pytest.mark.parametrize("text", ["red mug", "  RED\n mug ", "red&#32;mug"])
def test_byte_pairs_are_merged_and_padded_with_zero(pairs, text):
    ids = encode_text(text, pairs).ids
    assert ids.tolist() == [15, 13, 14, 11, 16, 0, 0, 0]
    assert ids.argmax() == 4


def test_a_long_text_is_refused_with_its_length(pairs):
    assert encode_text("red " * 6, pairs).ids[-1] == 16
    with pytest.raises(PromptError, match="has 7 tokens; this bundle reads at most 6"):
        encode_text("red " * 7, pairs)


def test_blanks_say_nothing(pairs):
    with pytest.raises(PromptError, match="says nothing"):
        encode_text("&nbsp;", pairs)
