"""Nearest names of a prompt with shares, with the shipped encoder and by hand."""

import json
import math
from dataclasses import replace

import pytest
import soundfile
import torch
from PIL import Image

from xbind.conditioning.prompt import encode_prompt
from xbind.conditioning.understood import RECORDED, Reading, Share, article, understand
from xbind.config.options import PromptConfig
from xbind.mini.world.categories import CATEGORIES, COLOUR_NAMES
from xbind.mini.world.dataset import make_object
from xbind.mini.world.render import render
from xbind.mini.world.sounds import synthesise
from xbind.networks.load import load_bind
from xbind.networks.manifest import BundleError, load_manifest
from xbind.scene.cameras import Cameras


@pytest.fixture(scope="module")
def encoder():
    return load_bind(load_manifest("mini"))


def readings(encoder, **prompt):
    return encode_prompt(PromptConfig(**prompt), encoder, 64).understood


def test_shares_are_a_softmax_of_cosines_times_the_trained_factor(encoder):
    assert encoder.text_scale == pytest.approx(14.0, rel=1e-3)
    embedding = torch.nn.functional.normalize(torch.arange(128.0) - 50, dim=0)
    (reading,) = understand({"text": embedding}, embedding, encoder)
    cosines = {}
    for name in CATEGORIES:
        ids = torch.tensor([encoder.tokenizer.encode(f"{article(name)} {name}").ids])
        cosines[name] = float(encoder.embed("text", ids)[0] @ embedding)
    total = sum(math.exp(14.0 * cosine) for cosine in cosines.values())
    best = sorted(cosines, key=cosines.get, reverse=True)[:RECORDED]
    assert [share.name for share in reading.things] == best
    for share in reading.things:
        assert share.share == pytest.approx(math.exp(14.0 * cosines[share.name]) / total, rel=2e-3)


@pytest.mark.parametrize("category", ["car", "drum", "teapot"])
def test_a_sound_is_named_and_has_no_colour(encoder, tmp_path, category):
    wave = synthesise(category, torch.Generator().manual_seed(9))
    soundfile.write(tmp_path / "a.wav", wave, 16_000)
    (reading,) = readings(encoder, audio=tmp_path / "a.wav")
    assert reading.source == "audio"
    assert reading.things[0].name == category
    assert reading.things[0].share > 0.9
    assert reading.colours == ()
    assert reading.line().startswith(f"the audio sounds like: {category} ")


def test_a_picture_is_named_with_its_colour(encoder, tmp_path):
    right = 0
    for index in range(40, 44):
        mesh = make_object(index, 5)
        camera = Cameras(*(torch.tensor([x]) for x in (15.0, 30.0, 2.5, 40.0)))
        rgba = render(mesh, camera, size=128).rgba[0].astype(int)
        on_white = rgba[..., :3] + 255 - rgba[..., 3:]
        Image.fromarray(on_white.astype("uint8")).save(tmp_path / "a.png")
        (reading,) = readings(encoder, image=tmp_path / "a.png")
        named = reading.things[0].name, reading.colours[0].name
        right += named == (mesh.category, mesh.colour)
    assert right == 4


def test_a_mix_is_read_by_part_and_as_a_whole(encoder, tmp_path):
    soundfile.write(
        tmp_path / "a.wav", synthesise("bell", torch.Generator().manual_seed(1)), 16_000
    )
    text, audio, mix = readings(encoder, text="something blue", audio=tmp_path / "a.wav")
    assert [r.source for r in (text, audio, mix)] == ["text", "audio", "mix"]
    assert text.colours[0].name == mix.colours[0].name == "blue"
    assert audio.things[0].name == mix.things[0].name == "bell"
    assert text.line().startswith("the text reads as: no one thing (")
    assert text.line().endswith("; blue 1.00")


def test_a_text_without_a_colour_is_given_none(encoder):
    (reading,) = readings(encoder, text="a mug")
    assert reading.line().startswith("the text reads as: mug .9")
    assert "; no one colour (" in reading.line()


def test_the_line_shows_three_names_that_matter():
    def line(*shares):
        return Reading(
            "audio", tuple(Share(n, s) for n, s in zip("abcd", shares, strict=False)), ()
        ).line()

    assert line(0.62, 0.21, 0.12, 0.05) == "the audio sounds like: a .62, b .21, c .12"
    assert line(0.9, 0.06, 0.04) == "the audio sounds like: a .90, b .06"
    assert line(0.999) == "the audio sounds like: a 1.00"
    assert line(0.39, 0.3) == "the audio sounds like: no one thing (a .39, b .30)"


def test_the_record_is_plain_and_short():
    reading = Reading("image", (Share("mug", 0.123456),), (Share("red", 1.0),))
    assert reading.record() == {"things": {"mug": 0.1235}, "colours": {"red": 1.0}}
    assert replace(reading, colours=()).record() == {"things": {"mug": 0.1235}}


def test_an_open_vocabulary_is_compared_with_the_names_of_the_bundle(encoder):
    opened = replace(encoder, groups={}, names=("duck", "mug", "airplane"))
    (reading,) = readings(opened, text="a red mug")
    assert reading.things[0].name == "mug"
    assert len(reading.things) == 3
    assert sum(share.share for share in reading.things) == pytest.approx(1.0)
    assert reading.colours == ()
    assert readings(replace(opened, names=()), text="a red mug") == ()


def test_every_colour_of_the_vocabulary_is_read(encoder):
    for colour in COLOUR_NAMES:
        (reading,) = readings(encoder, text=f"{article(colour)} {colour} boat")
        assert reading.colours[0].name == colour


def with_names(tmp_path, content, *, listed=True):
    """The mini bundle with a list of names."""
    manifest = load_manifest("mini")
    for part in ("bind",):
        (tmp_path / part).symlink_to(manifest.folder / part)
    raw = json.loads(json.dumps(manifest.raw)) | {"names": "names.txt"}
    if content is not None:
        (tmp_path / "names.txt").write_bytes(content)
    if listed:
        raw["files"]["names.txt"] = {"sha256": "", "bytes": 0}
    return replace(manifest, folder=tmp_path, raw=raw)


def test_names_are_the_lines_of_their_file(tmp_path):
    manifest = with_names(tmp_path, "drum\n\n  café table \ndrum\n".encode())
    assert load_bind(manifest).names == ("drum", "café table")
    assert load_bind(load_manifest("mini")).names == ()


@pytest.mark.parametrize(
    ("content", "listed", "message"),
    [
        (b"drum\n", False, "does not have it among its files"),
        (None, True, "cannot be read"),
        (b"\xff\xfe\x00", True, "cannot be read"),
        (b" \n\n", True, "holds no names"),
    ],
)
def test_a_list_of_names_that_cannot_be_used_is_refused(tmp_path, content, listed, message):
    with pytest.raises(BundleError, match=message):
        load_bind(with_names(tmp_path, content, listed=listed))
