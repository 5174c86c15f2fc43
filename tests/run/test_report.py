"""The page about a run: all that it must say is in it, and nothing in a prompt breaks it."""

import json
from html.parser import HTMLParser

import pytest

from xbind.run.report import MeshFacts, write_report

FACTS = MeshFacts(vertices=1234, faces=2464, volume=0.25, texture_px=512)


class Page(HTMLParser):
    """Tags with their attributes, the text, and whether every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def values(self, tag, attribute):
        return [a[attribute] for t, a in self.tags if t == tag and attribute in a]


@pytest.fixture
def folder(tmp_path):
    for name in ("mesh.glb", "mesh.obj", "texture.png", "config.json", "turntable.gif"):
        (tmp_path / name).write_bytes(b"x" * 2048)
    (tmp_path / "previews").mkdir()
    for name in ("coarse_00050.png", "coarse_00100.png", "geometry_00080.png"):
        (tmp_path / "previews" / name).write_bytes(b"x")
    rows = [{"phase": "coarse", "step": k, "ms": -k / 10, "odd": "nan"} for k in (1, 2, 3)]
    rows.append({"phase": "geometry", "step": 1, "nc": 0.5})
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def page(folder, more=(), **prompt):
    config = {
        "prompt": {"text": None, "image": None} | prompt,
        "seed": 7,
        "preset": "default",
        "bundle": "mini",
        "bundle_sha256": "f00",
        **dict(more),
    }
    path = write_report(folder, config, {"coarse": 61.0, "files": 2.0}, FACTS, 3 * 2**30)
    read = Page(path.read_text())
    assert read.open == []
    return read


def test_says_what_was_made_and_what_it_took(folder):
    text = page(folder, text="a red mug", audio="bell.wav").text
    assert "text: a red mug + audio: bell.wav" in text
    for word in ("1 min 01 s", "1 min 03 s", "3.0 GiB", "1234", "2464", "0.2500", "512 × 512"):
        assert word in text, word


def test_shows_what_the_prompt_was_understood_as(folder):
    assert "Understood as" not in page(folder, text="a mug").text
    readings = {
        "audio": {"things": {"drum": 0.624, "<b>ell": 0.21}},
        "mix": {"colours": {"red": 1}},
    }
    read = page(folder, {"understood": readings}, text="a mug")
    assert "audio, thingsdrum 0.62, <b>ell 0.21" in read.text
    assert "mix, coloursred 1.00" in read.text


def test_shows_only_files_that_exist_and_the_last_preview_of_each_phase(folder):
    (folder / "reference.png").write_bytes(b"x")
    read = page(folder, text="a red mug")
    shown = read.values("img", "src") + read.values("a", "href")
    assert all((folder / name).is_file() for name in shown)
    previews = [name for name in shown if name.startswith("previews/")]
    assert previews == ["previews/coarse_00100.png", "previews/geometry_00080.png"]


def test_a_prompt_is_text_and_never_markup(folder):
    read = page(folder, text="<script>alert(1)</script> & a mug")
    assert "script" not in {tag for tag, _ in read.tags}
    assert "<script>alert(1)</script> & a mug" in read.text


def test_says_what_the_text_was_read_as(folder):
    reading = {
        "text": "a <b> cup", "read": "a mug", "replaced": [["cup", "mug"]], "ignored": ["<b>"],
    }  # fmt: skip
    config = {"prompt": {"text": "a <b> cup"}, "reading": reading}
    path = write_report(folder, config, {"coarse": 1.0}, FACTS, 1)
    text = Page(path.read_text()).text
    assert all(words in text for words in ("Text", "read as", "a mug", "cup as", "ignored", "<b>"))
    assert "read as" not in page(folder, text="a mug").text


def test_curves_span_the_chart_and_leave_out_what_is_no_number(folder):
    read = page(folder, text="a mug")
    curves = [p for p, c in zip(
        read.values("polyline", "points"), read.values("polyline", "class"), strict=True
    ) if c == "raw"]  # fmt: skip
    assert curves[0] == "0.0,4.0 120.0,45.0 240.0,86.0"  # -0.1, -0.2, -0.3: downwards
    assert len(curves) == 2
    assert "odd" not in read.text


def test_changed_numbers_stand_beside_the_presets(folder):
    changes = {"changes": {"coarse.steps": 300, "coarse.adam.betas": [0.5, 0.9]}}
    text = page(folder, changes, text="a mug").text
    assert "coarse.steps300 (preset: 200)" in text
    assert "coarse.adam.betas0.5 0.9 (preset: 0.9 0.99)" in text
    assert "Changed from the preset" not in page(folder, {"changes": {}}, text="a mug").text
