"""The evaluation's lists and prompts, and that it judges what was generated."""

import json

import numpy as np
import pytest
import soundfile
from PIL import Image

from xbind.errors import XBindError
from xbind.mini import evaluate
from xbind.mini.evaluate import PROMPTS, Target, prompt_of, read_targets
from xbind.mini.world.categories import CATEGORIES


def test_the_fixed_lists_cover_all_categories_and_kinds():
    targets = read_targets(PROMPTS)
    assert len(targets) == 24
    assert {t.kind for t in targets} == {"text"}
    assert {t.category for t in targets} == set(CATEGORIES)
    assert all(t.colour in t.words and t.category in t.words for t in targets)
    other = read_targets(PROMPTS.with_name("prompts_other.txt"))
    assert {t.kind for t in other} == {"image", "audio", "mix"}
    assert len({t.name for t in targets + other}) == len(targets + other)


@pytest.mark.parametrize(
    "line",
    ["a red mug", "text | | mug | red", "image | words | mug | red", "text | a mug | mugg | red",
     "text | a mug | mug | crimson", "video | x | mug | red"],
)  # fmt: skip
def test_a_malformed_line_is_named(tmp_path, line):
    path = tmp_path / "list.txt"
    path.write_text(f"text | a red mug | mug | red\n{line}\n")
    with pytest.raises(XBindError, match="cannot read"):
        read_targets(path)


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


def test_a_mix_has_words_and_a_sound(tmp_path):
    prompt = prompt_of(Target("mix", "something blue", "bell", "blue"), tmp_path)
    wave, rate = soundfile.read(prompt.audio)
    assert prompt.text == "something blue"
    assert (rate, wave.shape) == (16_000, (32_000,))
    assert np.abs(wave).max() > 0.3


def test_generates_in_parts_then_judges_all(tmp_path, monkeypatch, capsys):
    """With the smoke preset; the second call makes nothing anew."""
    prompts = tmp_path / "list.txt"
    prompts.write_text("text | a red mug | mug | red\n")
    out = tmp_path / "out"
    words = ["--out", str(out), "--prompts", str(prompts), "--preset", "smoke"]
    evaluate.main([*words, "--part", "1/1"])
    assert not (out / "means.json").exists()
    monkeypatch.setattr(evaluate, "generate", None)
    evaluate.main(words)
    means = json.loads(capsys.readouterr().out)
    assert means == json.loads((out / "means.json").read_text())
    assert means["objects"] == 1
    assert means["components"] == 1
    score = json.loads((out / "scores.jsonl").read_text())
    assert score["category"] == "mug"
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.size == (8 * 64, 64)
