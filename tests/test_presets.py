"""Presets by name."""

import pytest

from xbind.presets import PHASE_2_CAMERAS, PRESETS, UnknownPreset, preset_named


def test_unknown_preset_lists_the_known():
    with pytest.raises(UnknownPreset, match=", ".join(PRESETS)):
        preset_named("turbo")


def test_paper_holds_what_the_paper_says():
    """Sec. V-A: cameras, resolutions, learning rates, 120 views."""
    method = preset_named("paper")
    sizes = [getattr(method, phase).size for phase in ("coarse", "geometry", "texture")]
    rates = [getattr(method, phase).learning_rate for phase in ("coarse", "geometry", "texture")]
    assert sizes == [128, 512, 512]
    assert rates == [0.01, 0.01, 0.001]
    for cameras in (method.coarse.cameras, method.texture.cameras):
        assert cameras.elevation_deg == (-45.0, 45.0)
        assert cameras.azimuth_deg == (-180.0, 180.0)
        assert (cameras.distance, cameras.fov_y_deg) == ((2.5, 2.5), (40.0, 40.0))
    assert PHASE_2_CAMERAS.elevation_deg == (-10.0, 45.0)
    assert PHASE_2_CAMERAS.azimuth_deg == (-135.0, 225.0)
    assert PHASE_2_CAMERAS.distance == (1.5, 2.0)
    assert PHASE_2_CAMERAS.fov_y_deg == (30.0, 45.0)
    assert method.geometry.planar == "cds"
    assert method.geometry.close_share == 1.0
    assert method.geometry.guidance.w_rgb == 0.0
    assert method.turntable_frames == 120
    assert method.coarse.threshold == 10.0


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
