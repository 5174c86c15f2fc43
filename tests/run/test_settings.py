"""What is compared when a run is resumed, and the engine that it goes on with."""

from pathlib import Path

import pytest

from xbind.config.options import GenerateConfig, PromptConfig
from xbind.config.presets import preset_named
from xbind.config.variants import method_named
from xbind.networks.manifest import BundleManifest, load_manifest
from xbind.run.settings import ResumeMismatch, check_resumed, run_settings

CONFIG = GenerateConfig(prompt=PromptConfig(text="a red mug"), preset="smoke", engine="eager")
OTHER = {
    "prompt": {"text": "a hat"}, "seed": 1, "preset": "probe", "without": ["ms"],
    "phase2_loss": "sds", "from_phase1": "/runs/first", "bundle_sha256": "0", "prior_3d": "wide",
    "prior_2d": "sd_base",
    "device": "cuda", "engine": "openvino", "precision": "float16", "vram": 3.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def settings():
    return run_settings(CONFIG, preset_named("smoke"), load_manifest("mini"), "cpu")


def config(engine):
    return GenerateConfig(prompt=PromptConfig(text="a red mug"), preset="smoke", engine=engine)


@pytest.mark.parametrize("key", OTHER)
def test_every_setting_that_decides_the_result_is_compared(settings, key):
    found = settings | {"engine": "eager"}
    assert check_resumed(CONFIG, found, settings) == "eager"
    with pytest.raises(ResumeMismatch, match=rf"but {key} differs(.|\n)*asked for"):
        check_resumed(CONFIG, found | {key: OTHER[key]}, settings)


def test_a_number_of_the_method_is_compared(settings):
    method = settings["method"] | {"checkpoint_every": 3}
    with pytest.raises(ResumeMismatch, match="numbers of preset 'smoke' have changed"):
        check_resumed(CONFIG, settings | {"engine": "eager", "method": method}, settings)


@pytest.mark.parametrize(
    ("started", "asked", "engine"),
    [
        ("openvino", "auto", "openvino"),
        ("auto", "auto", "auto"),  # stopped at the reference view, where no engine is chosen
        ("auto", "eager", "eager"),
        ("eager", "eager", "eager"),
    ],
)
def test_a_resumed_run_keeps_its_engine_if_it_has_one(settings, started, asked, engine):
    found = settings | {"engine": started}
    assert check_resumed(config(asked), found, settings) == engine
    assert found["engine"] == started


def test_settings_are_plain_and_leave_out_what_is_none(settings):
    prompt = PromptConfig(text="a mug", image=Path("mug.png"))
    held = run_settings(
        GenerateConfig(prompt=prompt, from_phase1=Path("first")), preset_named("default"),
        load_manifest("mini"), "cuda",
    )  # fmt: skip
    assert held["prompt"]["image"] == "mug.png"
    assert held["from_phase1"] == str(Path("first").resolve())
    assert held["device"] == "cuda"
    assert "size_2d" not in held["method"]["coarse"]["guidance"]
    assert "image_term" not in held
    assert run_settings(CONFIG, preset_named("fast"), load_manifest("mini"), "cpu")["image_term"]


@pytest.mark.parametrize(
    ("preset", "recorded"), [("smoke", False), ("dreamfusion", True), ("fantasia3d", True)]
)
def test_the_light_of_the_bundle_is_recorded_where_it_decides(preset, recorded):
    manifest = load_manifest("mini")
    settings = run_settings(CONFIG, method_named(preset), manifest, "cpu")
    assert settings.get("light") == (manifest.raw["light"] if recorded else None)
    assert "lighting" not in settings
    if recorded:
        other = settings | {"light": settings["light"] | {"ambient": 0.0}}
        with pytest.raises(ResumeMismatch, match="light differs"):
            check_resumed(CONFIG, other | {"engine": "eager"}, settings)


@pytest.mark.parametrize(
    ("preset", "said"),
    [("dreamfusion", "none, colours alone"), ("fantasia3d", "texture.pbr's sky"), ("smoke", None)],
)
def test_a_bundle_without_a_light_is_reported(preset, said):
    known = load_manifest("mini")
    raw = {k: v for k, v in known.raw.items() if k != "light"}
    settings = run_settings(CONFIG, method_named(preset), BundleManifest(known.folder, raw), "cpu")
    found = settings.get("lighting")
    assert found == (None if said is None else f"{said}; this bundle names no light")


def test_the_bundle_is_recorded_with_what_the_run_uses_of_it():
    manifest = load_manifest("mini")

    def digest(preset):
        return run_settings(CONFIG, method_named(preset), manifest, "cpu")["bundle_sha256"]

    assert digest("smoke:magic3d") == manifest.digest
    assert digest("smoke") == manifest.with_view_words(False).digest != manifest.digest
