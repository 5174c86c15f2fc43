"""Changes to the numbers of a preset: from names, from TOML, and back."""

import dataclasses
import json
import re

import pytest

from xbind.config.changes import (
    ConfigError,
    difference,
    leaves,
    read_config_file,
    with_changes,
)
from xbind.config.describe import as_text, as_toml, documentation, groups
from xbind.config.method import CdsConfig, CoarseConfig, GuidanceConfig, MethodConfig
from xbind.config.options import GenerateConfig, PromptConfig
from xbind.config.presets import PRESETS, preset_named
from xbind.config.ranges import Range
from xbind.config.scene import AdamConfig, CameraRange
from xbind.config.variants import change_rows, changes_of, method_named, method_of

BASE = MethodConfig()


def test_dotted_and_nested_names_are_the_same():
    wanted = dataclasses.replace(BASE, coarse=dataclasses.replace(BASE.coarse, steps=300, size=96))
    for changes in (
        {"coarse.steps": 300, "coarse.size": 96},
        {"coarse": {"steps": 300, "size": 96}},
        {"coarse": {"steps": 300}, "coarse.size": 96},
        {"coarse.size": 96, "coarse": {"steps": 300}},
    ):
        assert with_changes(BASE, changes) == wanted


def test_values_come_in_the_type_of_their_field():
    changed = with_changes(
        BASE,
        {"coarse.field.resolutions": [8, 16], "coarse.adam.betas": [0, 0.5], "coarse.w_nz": 3,
         "geometry.guidance.cfg_2d_end": 31, "coarse.guidance.size_2d": "none"},
    )  # fmt: skip
    assert changed.coarse.field.resolutions == (8, 16)
    assert changed.coarse.adam.betas == (0.0, 0.5)
    assert type(changed.coarse.w_nz) is type(changed.geometry.guidance.cfg_2d_end) is float
    assert changed.coarse.guidance.size_2d is None


@pytest.mark.parametrize("name", PRESETS)
def test_a_difference_leads_back(name):
    changes = difference(BASE, preset_named(name))
    assert with_changes(BASE, json.loads(json.dumps(changes))) == preset_named(name)
    assert difference(preset_named(name), preset_named(name)) == {}


def test_a_setting_that_is_switched_off_is_a_change():
    paper = preset_named("paper")
    changed = with_changes(paper, {"geometry.guidance.cfg_2d_end": "none"})
    assert difference(paper, changed) == {"geometry.guidance.cfg_2d_end": None}
    assert with_changes(paper, {"geometry.guidance.cfg_2d_end": None}) == changed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"coarse.stepz": 3}, r"no setting 'coarse.stepz'. Perhaps you meant coarse.steps"),
        ({"steps": 3}, r"no setting 'steps'. Perhaps you meant reference.steps, agreement.steps"),
        ({"corse": {"steps": 3}}, "no setting 'corse'"),
        ({"coarse": 3}, r"coarse is a group of settings \(steps"),
        ({"coarse.steps": {"first": 3}}, "coarse.steps is one setting, but first is given in it"),
        ({"coarse.steps": 3, "coarse.steps.first": 3}, "given a value and settings inside"),
        ({"coarse.steps": "300"}, "coarse.steps must be a whole number, got '300'"),
        ({"coarse.steps": 3.0}, "coarse.steps must be a whole number, got 3.0"),
        ({"coarse.steps": True}, "coarse.steps must be a whole number, got True"),
        ({"coarse.steps": -1}, "coarse.steps must be at least 0, got -1"),
        ({"coarse.steps": "none"}, "coarse.steps must be a whole number, got 'none'"),
        ({"coarse.steps": [3]}, r"coarse.steps must be a whole number, got \[3\]"),
        ({"coarse.w_nz": "big"}, "coarse.w_nz must be a finite number, got 'big'"),
        ({"coarse.w_nz": float("nan")}, "coarse.w_nz must be a finite number, got nan"),
        ({"coarse.planar": "mse"}, "coarse.planar must be one of 'sds', 'cds', 'vsd', got 'mse'"),
        ({"coarse.field.separate_heads": 1}, "must be true or false, got 1"),
        ({"coarse.field.resolutions": 8}, "a list of one or more whole numbers, got 8"),
        ({"coarse.field.resolutions": []}, r"a list of one or more whole numbers, got \[\]"),
        ({"coarse.field.resolutions": [8, 0]}, r"at least 1, each, got \[8, 0\]"),
        ({"coarse.adam.betas": [0.9]}, r"betas must be a list of 2 numbers, got \[0.9\]"),
        ({"coarse.adam.betas": [0.9, 1]}, r"betas must be in \[0, 1\), each, got \[0.9, 1.0\]"),
        ({"coarse.guidance.size_2d": 0}, "a whole number at least 1 or none, got 0"),
        ({"coarse.guidance.decoder": "big"}, "decoder must be one of 'tiny' or none, got 'big'"),
        ({"coarse.guidance.t_min": 0.99}, "coarse.guidance.t_min must be at most t_max"),
        ({"coarse.cameras.distance": [3, 2]}, "distance must be a pair .least, most."),
        ({"prior_3d": 3}, "prior_3d must be text or none, got 3"),
    ],
)  # fmt: skip
def test_a_wrong_change_is_refused_by_name(changes, message):
    with pytest.raises(ConfigError, match=message):
        with_changes(BASE, changes)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("changes", [{}, {"geometry.guidance.cfg_2d_end": None, "prior_3d": 'a"ä'}])
def test_toml_is_read_back(tmp_path, name, changes):
    method = with_changes(preset_named(name), changes)
    path = tmp_path / "my.toml"
    path.write_text(as_toml(method, name), encoding="utf-8")
    file = read_config_file(path)
    assert file.preset == name
    assert with_changes(BASE, file.changes) == method


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x = [", "is not a TOML file"),
        (b"x = " + b"[" * 5000, "is not a TOML file"),
        (b"\xff = 3", "is not a TOML file"),
        (b"[coarse]\nsteps = 3", "has a key 'coarse'; it may have preset and method"),
        (b"method = 3", "method a table, got 3"),
        (b"preset = 3", "preset must be text .*, got 3"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path, content, message):
    path = tmp_path / "my.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"my\.toml.*{message}"):
        read_config_file(path)


@pytest.mark.parametrize("path", ["", "missing.toml"])
def test_a_file_that_cannot_be_read(tmp_path, path):
    with pytest.raises(ConfigError, match=r"cannot be read: .*\n.*config show"):
        read_config_file(tmp_path / path)


def test_changes_come_after_what_is_left_out():
    config = GenerateConfig(
        prompt=PromptConfig(text="x"), preset="smoke", without="three-phase",
        method={"coarse": {"steps": 5}},
    )  # fmt: skip
    assert method_of(config).coarse.steps == 5
    assert method_of(config).geometry.steps == 0
    assert changes_of(config) == {"coarse.steps": 5}
    settings = {"preset": "smoke", "without": ["three-phase"], "changes": changes_of(config)}
    assert change_rows(settings) == [("coarse.steps", "5 (preset: 20)")]
    assert method_named("smoke", changes={}) == preset_named("smoke")


def test_every_setting_has_a_meaning():
    """The table and the file print the text that stands below each field."""
    silent = [
        f"{group.path}.{name}"
        for group in groups(BASE)
        for name, (_, text) in group.settings.items()
        if not text
    ]
    assert silent == []
    assert all(group.meaning for group in groups(BASE))
    assert documentation(CoarseConfig)["size"] == (
        "Side of the rendered views, in pixels (128 in the paper)."
    )


def test_the_table_has_every_setting_once():
    text = as_text(preset_named("paper"), 100)
    names = re.findall(r"(?m)^  ([a-z_0-9.]+) ", text)
    assert sorted(names) == sorted(name for name, _, _ in leaves(BASE))
    assert max(map(len, text.splitlines())) <= 100
    assert "coarse.steps                     10000      N_phase-1" in text


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CoarseConfig(planar="mse"), "planar must be one of"),
        (lambda: CoarseConfig(steps=2.5), "steps must be a whole number"),
        (lambda: CoarseConfig(guidance=None), "guidance must be a GuidanceConfig"),
        (lambda: GuidanceConfig(w_2d=-1.0), "w_2d must be at least 0"),
        (lambda: GuidanceConfig(t_max=1.5), r"t_max must be in \[0, 1\]"),
        (lambda: CdsConfig(gap=(200, 100)), r"gap must be a pair \(least, most\)"),
        (lambda: CameraRange(fov_y_deg=(0.0, 10.0)), r"fov_y_deg must be in \(0, 180\), each"),
        (lambda: AdamConfig(eps=0.0), "eps must be positive"),
        (lambda: AdamConfig(betas=[0.9, 0.99]), "betas must be a list of 2 numbers"),
    ],
)
def test_configurations_refuse_what_they_cannot_mean(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_range_has_its_bounds_or_not():
    assert [x in Range(0, 1) for x in (-0.1, 0, 1, 1.1)] == [False, True, True, False]
    half_open = Range(0, 1, open_low=True, open_high=True)
    assert [x in half_open for x in (0, 0.5, 1)] == [False, True, False]
