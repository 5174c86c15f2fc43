"""Text prompts over the closed vocabulary of the mini bundle: read as one thing, or refused."""

import itertools
from collections import Counter
from pathlib import Path

import pytest
import torch

from xbind.conditioning.errors import PromptError
from xbind.conditioning.lexicon import FOLDER, load_lexicon
from xbind.conditioning.reading import read_text
from xbind.conditioning.text import encode_text
from xbind.conditioning.words import Vocabulary
from xbind.mini.targets import LISTS, read_targets
from xbind.mini.world.captions import caption
from xbind.mini.world.categories import ADJECTIVES, CATEGORIES, COLOUR_NAMES
from xbind.networks.load import load_bundle
from xbind.networks.manifest import load_manifest

LIST = Path(__file__).with_name("prompts_to_read.txt")
WRONG_WHEN_IGNORING = {"a table of contents"}
"""A name of several words that looks like a table with a detail; --ignore-unknown was asked for."""


@pytest.fixture(scope="module")
def bind():
    return load_bundle(load_manifest("mini")).bind


@pytest.fixture(scope="module")
def known(bind):
    return Vocabulary(bind.tokenizer.vocabulary, bind.groups, exact=False)


@pytest.fixture(scope="module")
def exact(bind):
    return Vocabulary(bind.tokenizer.vocabulary, bind.groups, exact=True)


def cases():
    for line in LIST.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            prompt, *wanted = (field.strip() for field in line.split("|"))
            yield prompt, wanted[0], wanted[-1]


def content(text, known, **options):
    """The things, colours and shapes that a prompt is read as, or "refused"."""
    try:
        words = read_text(text, known, **options).read.split()
    except PromptError:
        return "refused"
    return {word for word in words if known.kinds[word] != "filler"}


@pytest.mark.parametrize("ignore", [False, True])
def test_the_list_is_read_right(known, ignore):
    counts, wrong = Counter(), set()
    for prompt, wanted, when_ignoring in cases():
        wanted = when_ignoring if ignore else wanted
        wanted = wanted if wanted == "refused" else set(wanted.split())
        got = content(prompt, known, ignore_unknown=ignore)
        verdict = "right" if got == wanted else "missed" if got == "refused" else "wrong"
        counts[verdict] += 1
        if verdict == "wrong":
            wrong.add(prompt)
    print(f"--ignore-unknown {ignore}: {dict(counts)} of {counts.total()}")  # noqa: T201
    assert counts.total() >= 150
    assert counts["right"] >= 0.85 * counts.total()
    assert wrong == (WRONG_WHEN_IGNORING if ignore else set())


@pytest.mark.parametrize("path", sorted(LISTS.glob("prompts_*.txt")), ids=lambda path: path.stem)
def test_shipped_lists_keep_their_tokens(bind, path):
    for target in read_targets(path):
        if target.words:
            assert_unchanged(target.words, bind)


def test_every_caption_keeps_its_tokens(bind):
    draw = torch.Generator().manual_seed(0)
    for category, colour, adjective in itertools.product(CATEGORIES, COLOUR_NAMES, ADJECTIVES):
        for kind in ("full", "colour", "normal", "sound"):
            if kind != "colour" or adjective == "":
                assert_unchanged(caption(category, colour, adjective, draw, kind), bind)


def assert_unchanged(words, bind):
    prompt = encode_text(words, bind.tokenizer, bind.groups)
    assert prompt.ids.tolist() == bind.tokenizer.encode(words).ids, words
    assert prompt.reading.read == words
    assert prompt.reading.messages() == ()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("a crimson cup", "a red mug"),
        ("An Amber cup", "an orange mug"),
        ("an azure ship", "a blue boat"),
        ("a tangerine duck", "an orange duck"),
        ("a crimson red cup", "a red mug"),
        ("my navy blue sedan, please", "blue car"),
        ("a blue-green drum", "a cyan drum"),
        ("an old, orange drum", "an orange drum"),
        ("an empty mug", "a mug"),
        ("the tall house is white", "the tall house"),
    ],
)
def test_an_alias_gives_the_plain_prompt(known, written, read):
    assert read_text(written, known, ignore_unknown=True).read == read


def test_the_reading_says_what_was_replaced_and_ignored(known):
    reading = read_text("a shiny crimson cup with a lid", known, ignore_unknown=True)
    assert reading.replaced == (("crimson", "red"), ("cup", "mug"))
    assert reading.ignored == ("shiny", "with a lid")
    assert reading.messages() == (
        "read 'crimson' as red, 'cup' as mug: the prompt is 'a red mug'",
        "ignored: 'shiny', 'with a lid'",
    )
    assert reading.plain() == {
        "text": "a shiny crimson cup with a lid",
        "read": "a red mug",
        "replaced": [["crimson", "red"], ["cup", "mug"]],
        "ignored": ["shiny", "with a lid"],
    }


def test_exact_words_make_an_alias_an_unknown_word(known, exact):
    assert read_text("Red MUGS", exact).read == "red mug"  # folding is no alias
    with pytest.raises(PromptError, match=r"does not know: 'cup'"):
        read_text("a red cup", exact)
    with pytest.raises(PromptError, match=r"does not know: 'crimson'"):
        read_text("a crimson mug", exact)
    with pytest.raises(PromptError, match=r"does not know: 'dark'"):
        read_text("a dark red mug", exact)


def test_aliases_of_what_a_bundle_lacks_are_unknown():
    small = Vocabulary(
        ("car", "red", "a"), {"things": ["car"], "colours": ["red"], "filler": ["a"]}, exact=False
    )
    assert read_text("a crimson taxi", small).read == "a red car"
    for words in ("a cup", "a mug"):
        with pytest.raises(PromptError, match="names a thing that this bundle does not know"):
            read_text(words, small)
    with pytest.raises(PromptError, match=r"does not know: 'navy'"):
        read_text("a navy car", small)


def test_a_bundles_own_word_is_never_an_alias():
    groups = {"things": ["mug", "cup"], "colours": ["red", "crimson"], "filler": ["a"]}
    own = Vocabulary([word for group in groups.values() for word in group], groups, exact=False)
    assert read_text("a crimson cup", own).read == "a crimson cup"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a blue banana", ["'banana'", "Understood: blue.", '--text "a blue']),
        ("a blue bus", ["'bus'", "Nearest known things: car."]),
        ("a green bus", ['--text "a green car"']),
        ("a red mgu", ["'mgu'", "Nearest known things: mug"]),
        ("a lighthouse", ["Nearest known things: house."]),
        ("Two Orange Trees", ["'two'", "one thing", '"an orange tree"']),
        ("a red mug and a blue chair", ["several things (mug, chair)", '"a red mug"']),
        ("a drum that is not red", ["'not'", "not wanted", '"a red drum"']),
        ("a red and blue mug", ["several colours (red, blue)"]),
        ("a shiny red cup", ["'shiny'", "'cup' as mug", "--ignore-unknown", '"a red mug"']),
        ("a rde mug", ["'rde'", "Nearest known words: red"]),
        ("a white mug", ["'white'", "colours: red, orange"]),
        ("a mug 🍵", ["🍵"]),
        ("an orange", ["does not say what to make"]),
        ("ein rotes Haus", ["English", "things: mug, chair"]),
    ],
)
def test_a_refusal_says_what_was_understood_and_what_to_type(known, text, said):
    with pytest.raises(PromptError) as refusal:
        read_text(text, known)
    for words in said:
        assert words in str(refusal.value)


def test_what_a_refusal_advises_is_read(known):
    for prompt, wanted, _ in cases():
        if wanted == "refused":
            with pytest.raises(PromptError) as refusal:
                read_text(prompt, known)
            advised = str(refusal.value).rsplit("--text ", 1)[1].strip('"')
            assert read_text(advised, known).read == advised


def test_the_tables_agree_with_each_other(known):
    lexicon = load_lexicon()
    assert set(lexicon.things.values()) == set(CATEGORIES)
    assert set(lexicon.colours.values()) - {""} == set(COLOUR_NAMES)
    assert len(lexicon.colours) >= 120
    assert not set(lexicon.near) & set(lexicon.things)
    assert not set(lexicon.things) & set(lexicon.colours)
    for alias in (*lexicon.things, *lexicon.colours):
        assert alias == " ".join(alias.lower().replace("-", " ").split())
        assert len(alias.split()) <= 4
    assert "Princeton" in (FOLDER / "LICENSE-WordNet.txt").read_text()


def test_every_alias_is_read_as_its_thing(known):
    for alias, thing in load_lexicon().things.items():
        assert content(f"a {alias}", known) == {thing}, alias
