"""Ids of jobs: what changes them and what does not."""

from dataclasses import replace
from pathlib import Path

import pytest

from xbind.batch import jobs
from xbind.batch.jobs import config_from_plain, config_to_plain, make_job
from xbind.conditioning.errors import PromptError
from xbind.config.options import FilesConfig, GenerateConfig, PromptConfig

BASE = GenerateConfig(prompt=PromptConfig(text="a red mug"), preset="probe")


def id_of(**changes):
    return make_job(replace(BASE, **changes)).id


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"candidate": 2},
        {"prompt": PromptConfig(text="a red cup")},
        {"prompt": PromptConfig(text="a red mug", exact_words=True)},
        {"preset": "smoke"},
        {"method": {"coarse.steps": 3}},
        {"without": "ms"},
        {"phase2_loss": "sds"},
        {"prior_3d": "narrow"},
        {"engine": "eager"},
        {"device": "cpu"},
        {"precision": "float16"},
        {"vram": 4.0},
        {"files": FilesConfig(height=0.1)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_decides_the_result_decides_the_id(changes):
    assert id_of(**changes) != id_of()


def test_the_light_of_the_bundle_decides_where_the_method_uses_it(monkeypatch):
    presets = ("delit", "default")
    before = [id_of(preset=preset) for preset in presets]
    load = jobs.load_manifest

    def darker(name):
        manifest = load(name)
        light = {**manifest.raw["light"], "ambient": 0.1}
        return replace(manifest, raw={**manifest.raw, "light": light})

    monkeypatch.setattr(jobs, "load_manifest", darker)
    after = [id_of(preset=preset) for preset in presets]
    assert after[0] != before[0]
    assert after[1] == before[1]


@pytest.mark.parametrize(
    "changes",
    [{"out": Path("elsewhere")}, {"overwrite": True}, {"threads": 2}, {"reference_only": True},
     {"method": {"coarse.steps": 2}}, {"phase2_loss": "cds"}],
    ids=lambda changes: next(iter(changes)),
)  # fmt: skip
def test_what_decides_nothing_does_not(changes):
    assert id_of(**changes) == id_of()


def test_files_count_by_their_content(tmp_path):
    one, same, other = tmp_path / "a.png", tmp_path / "b.png", tmp_path / "c.png"
    one.write_bytes(b"picture")
    same.write_bytes(b"picture")
    other.write_bytes(b"Picture")
    ids = [id_of(prompt=PromptConfig(image=path)) for path in (one, same, other)]
    assert ids[0] == ids[1] != ids[2]


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(PromptError, match=r"--image .*nothing\.png does not exist"):
        id_of(prompt=PromptConfig(image=tmp_path / "nothing.png"))


def test_settings_survive_json():
    config = replace(
        BASE,
        prompt=PromptConfig(text="a", audio=Path("b.wav"), audio_weight=2.5),
        method={"coarse.steps": 3},
        files=FilesConfig(material="lit", height=0.5),
        vram=3.0,
    )
    assert config_from_plain(config_to_plain(config)) == config


@pytest.mark.parametrize(
    ("prompt", "start"),
    [
        (PromptConfig(text="A réd  Mug!"), "a-red-mug-s0-"),
        (PromptConfig(text="杯子"), "object-s0-"),
        (PromptConfig(text="../../etc"), "etc-s0-"),
        (PromptConfig(text="x" * 300), "x" * 40 + "-s0-"),
    ],
)
def test_names_of_folders_are_plain(prompt, start):
    job = make_job(replace(BASE, prompt=prompt))
    assert job.name == f"{start}{job.id}"
