"""Presets by name."""

import json
import subprocess
import sys
from dataclasses import asdict

import pytest

from xbind.config.presets import PRESETS, GuidanceConfig, MethodConfig, UnknownPreset, preset_named


def test_unknown_preset_lists_the_known():
    with pytest.raises(UnknownPreset, match=", ".join(PRESETS)):
        preset_named("turbo")


def test_settings_need_no_torch():
    """`xbind generate --help` reads the configuration."""
    code = "import sys, xbind.config.presets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0


def test_every_setting_is_plain_data_in_config_json():
    """Frozen throughout, and the same after a round trip."""
    written = asdict(preset_named("default"))
    usual = asdict(MethodConfig())
    usual["reference"] |= {"w_cos": 0.5, "w_parts": 3.0, "w_error": 4.0}
    usual["agreement"] |= {"least_share": 0.05}  # the only others
    assert json.loads(json.dumps(written)) == json.loads(json.dumps(usual))
    for part, name in (
        ("coarse", "field"), ("coarse", "occupancy"), ("coarse", "adam"), ("geometry", "adan"),
        ("geometry", "cameras"), ("geometry", "conversion"), ("texture", "fit"),
        ("texture", "unwrap"),
    ):  # fmt: skip
        assert written[part][name]
    for name in ("cds", "augment"):
        assert all(written[part]["guidance"][name] for part in ("coarse", "geometry", "texture"))


def test_only_ours_has_an_image_term_on_the_3d_prior():
    weights = {
        name: [phase.guidance.w_img_3d for phase in preset_named(name).phases] for name in PRESETS
    }
    assert weights["default"] == weights["smoke"] == weights["probe"] == [5e3] * 3
    assert weights["paper"] == weights["fast"] == [0.0] * 3


def test_a_guidance_scale_may_ramp():
    constant, ramp = GuidanceConfig(cfg_2d=7.0), GuidanceConfig(cfg_2d=101.0, cfg_2d_end=31.0)
    assert [constant.cfg_2d_at(p) for p in (0.0, 0.5, 1.0)] == [7.0] * 3
    assert [ramp.cfg_2d_at(p) for p in (0.0, 0.5, 1.0)] == [101.0, 66.0, 31.0]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_uses_every_loss(name):
    method = preset_named(name)
    for phase in (method.coarse, method.geometry, method.texture):
        assert min(phase.guidance.w_2d, phase.guidance.w_3d, phase.guidance.w_ms) > 0
        assert 0 <= phase.guidance.t_min < phase.guidance.t_max <= 1


def test_faster_presets_take_fewer_steps():
    def steps(name):
        method = preset_named(name)
        return method.coarse.steps + method.geometry.steps + method.texture.steps

    assert steps("probe") == 6
    assert steps("probe") < steps("smoke") < steps("default") < steps("fast") < steps("paper") / 5
