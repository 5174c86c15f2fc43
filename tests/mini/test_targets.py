"""Lists of prompts: what is shipped, what is refused, and the pictures and sounds made for them."""

import numpy as np
import pytest
import soundfile
from PIL import Image

from xbind.errors import XBindError
from xbind.mini.targets import Target, list_named, prompt_of, read_targets, target_of_prompt
from xbind.mini.world.captions import VOCABULARY
from xbind.mini.world.categories import CATEGORIES, UNSEEN


def shipped(name):
    return read_targets(list_named(name))


def pairs(targets):
    return {(t.kind, t.category, t.colour, t.variant) for t in targets}


def test_the_tuning_lists_cover_all_categories_and_kinds():
    words, other = shipped("tuning"), shipped("tuning_other")
    assert len(words) == 24
    assert {t.kind for t in words} == {"text"}
    assert {t.category for t in words} == set(CATEGORIES)
    assert {t.kind for t in other} == {"image", "audio", "mix"}
    assert len({t.name for t in words + other}) == len(words + other)


def test_the_test_list_is_large_enough_and_holds_nothing_that_was_tuned_on():
    targets, tuned = shipped("test"), shipped("tuning") + shipped("tuning_other")
    counts = {kind: sum(t.kind == kind for t in targets) for kind in ("text", "image", "audio")}
    assert counts == {"text": 16, "image": 8, "audio": 8}
    assert not pairs(targets) & pairs(tuned)
    of_words = {(t.category, t.colour) for t in targets if t.kind == "text"}
    assert not of_words & {(t.category, t.colour) for t in tuned}
    assert {t.variant for t in targets if t.kind != "text"} == {1}
    assert pairs(shipped("fig7")) < pairs(targets)


def test_texts_and_other_prompts_of_the_test_list_are_lists_of_their_own():
    assert shipped("test_texts") + shipped("test_other") == shipped("test")
    assert {target.kind for target in shipped("test_texts")} == {"text"}
    half = shipped("test_half")
    assert half == shipped("test_texts")[::2]
    assert sum(target.category in UNSEEN for target in half) == len(half) / 2


@pytest.mark.parametrize(
    "name", ["tuning", "tuning_other", "test", "test_texts", "test_half", "test_other", "fig7"]
)
def test_words_say_what_is_wanted_in_words_that_the_bundle_knows(name):
    for t in shipped(name):
        if t.kind == "text":
            assert {t.category, t.colour} <= set(t.words.split()) <= set(VOCABULARY)


@pytest.mark.parametrize(
    "line",
    ["a red mug", "text | | mug | red", "image | words | mug | red", "text | a mug | mugg | red",
     "text | a mug | mug | crimson", "video | x | mug | red", "image | | mug | red | one"],
)  # fmt: skip
def test_a_malformed_line_is_named(tmp_path, line):
    path = tmp_path / "list.txt"
    path.write_text(f"text | a red mug | mug | red\n{line}\n")
    with pytest.raises(XBindError, match="cannot read"):
        read_targets(path)


def test_empty_doubled_and_missing_lists_are_refused(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("# nothing\n\n")
    with pytest.raises(XBindError, match="holds no prompt"):
        read_targets(path)
    path.write_text("audio | | bell |\n" * 2)
    with pytest.raises(XBindError, match="is there twice"):
        read_targets(path)
    with pytest.raises(XBindError, match=r"no list of prompts 'nope'.*test.*tuning"):
        list_named("nope")
    assert list_named(str(path)) == path


def read(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_a_picture_prompt_is_a_whole_object_with_its_mask(tmp_path):
    prompt = prompt_of(Target("image", "", "duck", "yellow"), tmp_path)
    rgba = read(prompt.image)
    assert rgba.shape == (256, 256, 4)
    solid = rgba[..., 3] > 250
    assert 0.1 < solid.mean() < 0.6
    assert not solid[0].any()
    red, green, blue = rgba[solid][:, :3].mean(0)
    assert min(red, green) > blue + 60  # yellow
    again = prompt_of(Target("image", "", "duck", "yellow"), tmp_path)
    assert np.array_equal(read(again.image), rgba)
    other = prompt_of(Target("image", "", "duck", "yellow", 1), tmp_path)
    assert other.image != again.image
    assert not np.array_equal(read(other.image), rgba)


def test_a_mix_has_words_and_a_sound(tmp_path):
    prompt = prompt_of(Target("mix", "something blue", "bell", "blue"), tmp_path)
    wave, rate = soundfile.read(prompt.audio)
    assert prompt.text == "something blue"
    assert (rate, wave.shape) == (16_000, (32_000,))
    assert np.abs(wave).max() > 0.3


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ({"text": "a red mug"}, ("mug", "red")),
        ({"text": "A tall Robot"}, ("robot", None)),
        ({"text": "something blue"}, None),
        ({"text": "a mug on a table"}, None),
        ({"text": "a red mug", "audio": "bell.wav"}, None),
        ({"text": None, "image": "duck.png"}, None),
    ],
)
def test_what_words_ask_for(prompt, wanted):
    settings = {"text_weight": 1.0, "depth_kind": "depth", "ignore_unknown": True}
    found = target_of_prompt({**settings, **prompt})
    assert wanted == (found and (found.category, found.colour))


def test_a_prompt_asks_for_what_it_was_read_as():
    found = target_of_prompt({"text": "a crimson cup"}, "a red mug")
    assert (found.category, found.colour) == ("mug", "red")
