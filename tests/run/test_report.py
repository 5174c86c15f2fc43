"""The page about a run: all that it must say is in it, and nothing in a prompt breaks it."""

import json
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from tests.support.finished_runs import config
from xbind.run.report import MeshFacts, write_report

FACTS = MeshFacts(vertices=1234, faces=2464, volume=0.25, texture_px=512)
VOID = {"meta", "img", "polyline"}


class Page(HTMLParser):
    """Tags with their attributes, the text, and whether every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text, self.source = [], [], "", text
        self.feed(text)
        self.words = " ".join(self.text.split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += f"{data} "

    def values(self, tag, attribute):
        return [a[attribute] for t, a in self.tags if t == tag and attribute in a]


@pytest.fixture
def folder(tmp_path):
    """A run's files; what the page does not look into holds junk."""
    for name in ("mesh.glb", "mesh.obj", "texture.png", "config.json", "turntable.gif"):
        (tmp_path / name).write_bytes(b"x" * 2048)
    (tmp_path / "previews").mkdir()
    for name in ("coarse_00050", "coarse_00100", "geometry_00080"):
        Image.new("RGB", (4, 4)).save(tmp_path / "previews" / f"{name}.png")
    rows = [{"phase": "coarse", "step": k, "ms": -k / 10, "odd": "nan"} for k in (1, 2, 3)]
    rows.append({"phase": "geometry", "step": 1, "nc": 0.5})
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def page(folder, more=(), **prompt):
    settings = config(**dict(more))
    settings["prompt"] = settings["prompt"] | prompt
    path = write_report(folder, settings, {"coarse": 61.0, "files": 2.0}, FACTS, 3 * 2**30)
    read = Page(path.read_text("utf-8"))
    assert read.open == []
    return read


def test_says_whether_the_3d_prior_knew_the_thing(folder):
    arguments = (folder, config(), {"coarse": 1.0}, FACTS, 1)
    path = write_report(*arguments, agreement="0.64; its weight is multiplied by 0.05")
    assert "agreement with the prompt 0.64; its weight is" in Page(path.read_text("utf-8")).words
    assert "agreement" not in Page(write_report(*arguments).read_text("utf-8")).words


def test_says_what_was_made_and_what_it_took(folder):
    text = page(folder, text="a red mug", audio="/home/me/bell.wav").words
    assert text.startswith("a red mug + bell.wav")
    assert "/home/me" not in text
    for word in ("1 min 01 s", "1 min 03 s", "3.0 GiB", "1234", "2464", "0.2500", "512 × 512"):
        assert word in text, word
    for word in ("preset default · seed 7 · bundle mini", "engine eager", "precision float32"):
        assert word in text, word


def test_nothing_is_loaded_from_elsewhere(folder):
    Image.new("RGB", (4, 4)).save(folder / "reference.png")
    read = page(folder, text="a mug")
    embedded = ("img", "src"), ("video", "src"), ("audio", "src"), ("model-viewer", "src")
    sources = [x for tag, attribute in embedded for x in read.values(tag, attribute)]
    assert len(sources) == 5  # mesh, turntable, reference, two previews
    assert all(source.startswith("data:") for source in sources)
    assert all("src" not in attributes for tag, attributes in read.tags if tag == "script")
    assert "link" not in {tag for tag, _ in read.tags}
    assert not re.search(r"url\((?!data:)", "".join(re.findall(r"<style>.*?</style>", read.source)))
    links = read.values("a", "href")
    assert links
    assert all((folder / name).is_file() for name in links)


def test_the_policy_allows_the_page_s_own_scripts_only(folder):
    read = page(folder, text="a mug")
    (policy,) = [a["content"] for t, a in read.tags if t == "meta" and "http-equiv" in a]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert len(read.values("script", "type")) == policy.count("'sha256-") == 2


def test_shows_what_the_prompt_was_understood_as(folder):
    assert "Understood as" not in page(folder, text="a mug").text
    readings = {
        "audio": {"things": {"drum": 0.624, "<b>ell": 0.21}},
        "mix": {"colours": {"red": 1}},
    }
    read = page(folder, {"understood": readings}, text="a mug")
    assert "audio things drum 0.62 <b>ell 0.21" in read.words
    assert "mix colours red 1.00" in read.words
    assert read.values("meter", "value") == ["0.624", "0.21", "1"]


def test_weights_are_shown_of_a_mix_only(folder):
    assert "text ×" not in page(folder, text="a mug").words
    mixed = page(folder, text="a mug", audio="gone.wav", audio_weight=2.5).words
    assert "text × 1 a mug" in mixed
    assert "audio × 2.5 gone.wav (the file is no longer where it was)" in mixed


def test_shows_the_last_preview_of_each_phase(folder):
    read = page(folder, text="a red mug")
    assert "coarse_00100" in read.words
    assert "geometry_00080" in read.words
    assert "coarse_00050" not in read.words


def test_a_prompt_is_text_and_never_markup(folder):
    attack = "<script>alert(1)</script>\" onload='x' & a {{ mug }}"
    read = page(folder, text=attack)
    assert len([tag for tag, _ in read.tags if tag == "script"]) == 2
    assert not any("onload" in attributes for _, attributes in read.tags)
    assert attack in read.text
    assert read.values("model-viewer", "alt") == [attack]


def test_says_what_the_text_was_read_as(folder):
    reading = {
        "text": "a <b> cup", "read": "a mug", "replaced": [["cup", "mug"]], "ignored": ["<b>"],
    }  # fmt: skip
    words = page(folder, {"reading": reading}, text="a <b> cup").words
    assert "written a <b> cup read as a mug cup as mug ignored <b>" in words
    assert "read as" not in page(folder, text="a mug").words


def test_names_the_settings_that_differ_from_the_preset(folder):
    ours = config()["method"]
    ours["coarse"]["steps"] = 300
    del ours["texture"]["texture_px"]
    words = page(folder, {"method": ours}, text="a mug").words
    assert "Differences from preset default" in words
    assert "coarse.steps 200 300" in words
    assert "texture.texture_px 512 –" in words
    assert "texture.field.resolutions" in words
    assert "coarse.size" not in words


def test_a_run_of_its_preset_has_no_differences(folder):
    plain = json.loads(json.dumps(config()["method"]))
    plain["texture"]["field"] = default_texture_field()
    assert "Differences from preset default None." in page(folder, {"method": plain}).words
    unknown = page(folder, {"method": plain, "preset": "lost"}).words
    assert "This version of xbind does not know that preset" in unknown


def test_a_setting_that_a_record_leaves_out_has_its_default(folder):
    """Settings that were added later; the run has one, and its preset another."""
    words = page(folder, {"preset": "magic3d"}).words
    assert "coarse.guidance.weighting uniform residual" in words
    assert "coarse.guidance.perp_neg" not in words


def default_texture_field():
    import dataclasses

    from xbind.config.presets import preset_named

    return json.loads(json.dumps(dataclasses.asdict(preset_named("default").texture.field)))


def test_curves_are_drawn_and_a_damaged_log_costs_them_only(folder):
    read = page(folder, text="a mug")
    assert len(read.values("polyline", "points")) == 4
    assert "ms -0.3 (-0.3 … -0.1)" in read.words
    assert "odd" not in read.words
    (folder / "events.jsonl").write_text('{"phase": "coarse"\n{"phase": "coarse"}\n')
    read = page(folder, text="a mug")
    assert "line 1 is damaged" in read.words
    assert read.values("polyline", "points") == []
    assert "1 min 03 s" in read.words


def test_lit_meshes_are_shown_with_tone_mapping(folder):
    assert page(folder).values("model-viewer", "tone-mapping") == ["none"]
    lit = page(folder, {"files": {"material": "lit"}})
    assert lit.values("model-viewer", "tone-mapping") == ["neutral"]
