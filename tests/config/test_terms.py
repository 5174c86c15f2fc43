"""Parts that methods are made of: ramps, levels, timesteps; and settings that were added later."""

from dataclasses import replace

import pytest

from xbind.config.method import (
    CoarseConfig,
    GeometryConfig,
    GuidanceConfig,
    MethodConfig,
    ReferenceConfig,
    TextureConfig,
)
from xbind.config.ranges import recorded
from xbind.config.terms import (
    BackgroundConfig,
    EllipsoidConfig,
    LevelsConfig,
    PbrConfig,
    Ramp,
    ShadingConfig,
)

LIT = ShadingConfig(light="bundle")
LATENTS = GuidanceConfig(latent_share=0.1)
AWAY = GuidanceConfig(view_words=True, perp_neg=1.0)


def test_a_ramp_is_flat_straight_and_flat():
    ramp = Ramp(start=10.0, end=1000.0, first=0.25, last=0.75)
    values = [ramp.at(p) for p in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert values == [10.0, 10.0, 505.0, 1000.0, 1000.0]
    assert [Ramp().is_used, Ramp(start=1.0).is_used, Ramp(end=1.0).is_used] == [False, True, True]


def test_a_ramp_of_no_length_is_a_step():
    step = Ramp(end=1000.0, first=0.4, last=0.4)
    assert [step.at(p) for p in (0.0, 0.39, 0.4, 1.0)] == [0.0, 0.0, 1000.0, 1000.0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Ramp(first=0.6, last=0.5), "first must be at most last, got 0.6 and 0.5"),
        (lambda: Ramp(start=-1.0), "start must be at least 0"),
        (lambda: LevelsConfig(until=0.6, last=0.5), "until must be at most last"),
        (lambda: GuidanceConfig(t_min=0.3, t_max_late=0.2), "t_max_late must be at least t_min"),
        (lambda: EllipsoidConfig(radii=(0.1, 0.9, 0.1)), "radii must be below half_side .0.85."),
        (lambda: GeometryConfig(form="network"), "set start to 'ellipsoid' too"),
        (
            lambda: GeometryConfig(
                form="network", start="ellipsoid", ellipsoid=EllipsoidConfig(half_side=0.9)
            ),
            "half_side must be at most field.radius, got 0.9 and 0.85",
        ),
        (lambda: TextureConfig(material="pbr"), "set inherit to false too"),
        (
            lambda: TextureConfig(material="pbr", inherit=False, shading=LIT),
            "material 'pbr' has a light of its own",
        ),
        (lambda: GeometryConfig(shading=LIT), "set colour to true too"),
        (lambda: GeometryConfig(background=BackgroundConfig(kind="learned")), "for colours"),
        (lambda: TextureConfig(guidance=LATENTS), "latent_share is for views of normals alone"),
        (lambda: CoarseConfig(guidance=LATENTS), "here it must be 0, got 0.1"),
        (lambda: GeometryConfig(colour=True, guidance=LATENTS), "here it must be 0, got 0.1"),
        (lambda: GuidanceConfig(perp_neg=1.0), "set view_words to true too"),
        (lambda: replace(AWAY, latent_share=0.1), "must be 0 where latent_share is above 0, got 1"),
        (lambda: CoarseConfig(planar="vsd", guidance=AWAY), "is for planar 'sds', got 'vsd'"),
        (lambda: GeometryConfig(guidance=AWAY), "perp_neg is for planar 'sds', got 'cds'"),
        (lambda: TextureConfig(planar="vsd", guidance=AWAY), "is for planar 'sds', got 'vsd'"),
        (lambda: GuidanceConfig(weighting="none"), "weighting must be one of 'residual', 'sds'"),
    ],
)
def test_what_a_part_cannot_mean_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_levels_come_one_after_the_other():
    """threestudio's dreamfusion-sd: 8 of 16, from step 2000 of 10000 on one more every 500."""
    levels = LevelsConfig(first=8)
    steps = (0, 1999, 2001, 2501, 3001, 5501, 6000, 9999)
    assert [levels.at(s / 10_000, 16) for s in steps] == [8, 8, 8, 9, 10, 15, 16, 16]
    assert {LevelsConfig().at(p, 16) for p in (0.0, 0.5, 1.0)} == {16}
    assert LevelsConfig(first=8).at(0.0, 6) == 6


def test_the_largest_timestep_may_be_switched():
    guidance = GuidanceConfig(t_max=0.98, t_max_late=0.5, late_from=0.2)
    assert [guidance.t_max_at(p) for p in (0.0, 0.19, 0.2, 1.0)] == [0.98, 0.98, 0.5, 0.5]
    assert GuidanceConfig(t_max=0.9).t_max_at(1.0) == 0.9


def test_a_record_leaves_out_what_was_added_and_is_not_used():
    """Otherwise no run of the version before could be resumed."""
    record = recorded(MethodConfig())
    assert "weighting" not in record["coarse"]["guidance"]
    assert "shading" not in record["texture"]
    assert "weight_decay" not in record["coarse"]["adam"]
    assert "size_2d" not in record["coarse"]["guidance"]
    assert record["coarse"]["cameras"]["elevation_deg"] == [-45.0, 45.0]
    guidance = replace(GuidanceConfig(), weighting="sds", t_max=0.9)
    assert recorded(guidance)["weighting"] == "sds"
    assert recorded(guidance)["t_max"] == 0.9


def test_an_added_group_is_recorded_whole():
    coarse = MethodConfig().coarse
    lit = replace(coarse, shading=replace(coarse.shading, light="bundle"))
    assert recorded(lit)["shading"]["p_lit"] == 0.75


def test_the_settings_of_the_first_version_are_still_recorded():
    """Names that runs before `added` hold. A new one among them makes their records differ."""
    names = {
        "steps", "views", "size", "learning_rate", "rate_end", "rate_decay_from", "adam", "field",
        "occupancy", "stream", "ray_step", "threshold", "planar", "w_nz", "nz_ramp", "nz_opacity",
        "w_nv", "nv_blur_taps", "nv_blur_sigma", "normal_opacity", "normal_spacing", "w_opacity",
        "cameras", "guidance",
    }  # fmt: skip
    record = recorded(MethodConfig())
    assert record["coarse"].keys() == names
    assert record["geometry"].keys() == {
        "steps", "views", "size", "learning_rate", "adan", "conversion", "resolution", "planar",
        "close_share", "cameras", "whole_cameras", "w_nc", "nc_normals", "w_ls", "ls_form",
        "guidance",
    }  # fmt: skip
    assert record["texture"].keys() == {
        "steps", "views", "size", "learning_rate", "adam", "field", "fit", "stream", "texture_px",
        "unwrap", "planar", "cameras", "guidance",
    }  # fmt: skip


def test_the_sky_s_direction_is_a_unit_vector():
    assert PbrConfig(sky_direction=(0.6, 0.0, 0.8)).sky_direction == (0.6, 0.0, 0.8)
    with pytest.raises(ValueError, match="sky_direction must have the length 1, got 2"):
        PbrConfig(sky_direction=(0.0, 0.0, 2.0))


def test_the_error_of_the_reference_needs_a_timestep():
    assert ReferenceConfig(error_t=(10,)).error_t == (10,)
    for wrong in ((), (1000,)):
        with pytest.raises(ValueError, match="error_t"):
            ReferenceConfig(error_t=wrong)
