"""What a mesh file says of the object's origin."""

import json
from pathlib import Path

import pytest

from xbind.config.options import GenerateConfig, PromptConfig
from xbind.run.outputs import printable, provenance


def test_files_are_named_without_their_folders():
    prompt = PromptConfig(text="a mug", image=Path("/home/me/my photo.png"), audio=Path("../b.wav"))
    config = GenerateConfig(
        prompt=prompt, out=Path("/secret/out"), bundle="/secret/sd21", seed=3, without="ms,stereo"
    )
    known = provenance(config, "sd21")
    assert known == {
        "prompt": {"text": "a mug", "image": "my photo.png", "audio": "b.wav"},
        "seed": 3,
        "preset": "default",
        "without": ["ms", "stereo"],
        "bundle": "sd21",
    }
    assert "/" not in json.dumps(known)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a red\nmug\t!\u2028", "a red mug !"),
        ("\x1b[31mred\x07", "\ufffd[31mred\ufffd"),
        ("caf\udce9.png", "caf\ufffd.png"),
        ("ein rotes Haus 🏠 赤い", "ein rotes Haus 🏠 赤い"),
    ],
)
def test_text_is_one_printable_line(text, shown):
    assert printable(text) == shown
    shown.encode()
