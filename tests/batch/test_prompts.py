"""Lists of prompts in each format, and what is wrong with others."""

import pytest

from xbind.batch.jobs import BatchError
from xbind.batch.prompts import read_prompts
from xbind.config.batch import parse_seeds
from xbind.config.options import PromptConfig


def read(tmp_path, name, text):
    (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return [(entry.line, entry.prompt, entry.seed) for entry in read_prompts(tmp_path / name)]


def test_a_text_file_has_a_prompt_on_each_line(tmp_path):
    found = read(tmp_path, "a.txt", "\ufeffa red mug\r\n\n# not this\n  a blue car \n")
    assert found == [
        (1, PromptConfig(text="a red mug"), None),
        (4, PromptConfig(text="a blue car"), None),
    ]


def test_a_csv_file_names_fields(tmp_path):
    text = (
        "text,image,text_weight,exact_words,seed\n"
        '"a mug, red",,,true,7\n'
        ",,,,\n"
        "blue,pictures/duck.png,2.5,,\n"
    )
    assert read(tmp_path, "a.csv", text) == [
        (2, PromptConfig(text="a mug, red", exact_words=True), 7),
        (
            4,
            PromptConfig(text="blue", image=tmp_path / "pictures/duck.png", text_weight=2.5),
            None,
        ),
    ]


def test_a_json_lines_file_names_fields(tmp_path):
    text = (
        '{"text": "a red mug", "seed": 3}\n\n{"audio": "/abs/bell.wav", "depth": "d.png", '
        '"depth_kind": "disparity", "depth_weight": 2, "text": null}\n'
    )
    [first, second] = read(tmp_path, "a.jsonl", text)
    assert first == (1, PromptConfig(text="a red mug"), 3)
    assert second[0] == 3
    assert str(second[1].audio) == "/abs/bell.wav"
    assert second[1].depth == tmp_path / "d.png"
    assert (second[1].depth_kind, second[1].depth_weight) == ("disparity", 2.0)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "[]", r"must end in \.txt, \.csv, \.jsonl"),
        ("a.txt", "# nothing\n", "holds no prompt"),
        ("a.txt", b"caf\xe9\n", "not text in UTF-8"),
        ("a.csv", "words\na red mug\n", "line 1: there is no field 'words'; fields are text"),
        ("a.csv", "text,text\na,b\n", "line 1: it names a column twice"),
        ("a.csv", "text,seed\na red mug\n", "line 2: it has not 2 cells"),
        ("a.csv", "text\na,b\n", "line 2: it has not 1 cells"),
        ("a.csv", "text,seed\na red mug,one\n", "line 2: seed must be a whole number, got 'one'"),
        ("a.csv", "text,exact_words\na,maybe\n", "exact_words must be true or false"),
        ("a.csv", "seed\n3\n", "line 2: it has no prompt: give one of text, image"),
        ("a.csv", 'text\n"a', "unexpected end of data"),
        ("a.csv", "text,image_weight\na,2\n", "line 2: --image-weight is given without --image"),
        ("a.jsonl", '{"text": "a"}\n{"text": ', "line 2: it is not JSON"),
        ("a.jsonl", '["a"]', "line 1: it is not an object"),
        ("a.jsonl", '{"words": "a"}', "line 1: there is no field 'words'"),
        ("a.jsonl", '{"text": 3}', "line 1: text must be text, got 3"),
        ("a.jsonl", '{"text": "a", "seed": true}', "seed must be a whole number"),
        ("a.jsonl", '{"text": "a", "seed": -1}', "seed must be a whole number"),
        ("a.jsonl", '{"text": "a", "text_weight": "2"}', "text_weight must be a number"),
        ("a.jsonl", '{"depth": "a.png", "depth_kind": "far"}', "must be one of depth, disparity"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, name, text, message):
    with pytest.raises(BatchError, match=message):
        read(tmp_path, name, text)


def test_a_missing_list_is_refused(tmp_path):
    with pytest.raises(BatchError, match="does not exist"):
        read_prompts(tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0..3", (0, 1, 2, 3)), ("7", (7,)), ("5,1", (5, 1)), ("0..1, 9", (0, 1, 9)), ("4..4", (4,))],
)
def test_seeds(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text", ["", "3..1", "-1", "0...3", "a", "1,1", "0..2,1", "1.5", "0..99999999", "²", str(2**63)]
)
def test_seeds_that_are_not(text):
    with pytest.raises(ValueError, match="--seeds"):
        parse_seeds(text)
