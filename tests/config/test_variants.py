"""Baselines and ablations: which losses they use, and that they take the same steps and views."""

from dataclasses import replace

import pytest

from xbind.config.presets import PRESETS, UnknownPreset, preset_named
from xbind.config.terms import ShadingConfig
from xbind.config.variants import BASELINES, METHODS, VARIANTS, WITHOUT, method_named
from xbind.networks.graphs import requests_of_run
from xbind.networks.manifest import load_manifest

MINI = load_manifest("mini")


def graphs(method):
    return {request.name for request in requests_of_run(method, MINI)}


def steps(method):
    return method.coarse.steps + method.geometry.steps + method.texture.steps


@pytest.mark.parametrize(
    ("preset", "without", "wanted"),
    [
        ("xbind", (), {"unet2d", "unet3d", "sds2d_img", "cds2d", "sds3d_img", "ms"}),
        ("delit", (), {"unet2d", "unet3d", "sds2d_img", "cds2d", "sds3d_img", "ms"}),
        ("zerostablecds-3d", (), {"unet2d", "cds2d", "sds3d"}),
        ("stablesds-3d", (), {"sds2d"}),
        ("zerosds-3d", (), {"unet2d", "sds3d"}),
        ("default", ("stereo",), {"sds2d_img", "cds2d", "ms"}),
        ("default", ("planar",), {"unet2d", "sds3d_img"}),
        ("default", ("three-phase",), {"unet2d", "unet3d", "sds2d_img", "sds3d_img", "ms"}),
        ("default", ("ms",), {"unet2d", "unet3d", "sds2d_img", "cds2d", "sds3d_img"}),
        ("paper", (), {"unet2d", "sds2d_img", "cds2d", "sds3d", "ms"}),
        ("dreamfusion", (), {"sds2d"}),
        ("magic3d", (), {"sds2d"}),
        ("fantasia3d", (), {"sds2d", "sds2d_latents"}),
        ("prolificdreamer", (), {"sds2d", "vsd2d"}),
    ],
)
def test_only_the_graphs_that_a_method_uses_are_asked_for(preset, without, wanted):
    assert graphs(method_named(preset, without)) == wanted


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_are_compute_matched(name):
    ours, default = method_named(name), preset_named("default")
    for phase in ("coarse", "geometry", "texture"):
        mine, theirs = getattr(ours, phase), getattr(default, phase)
        for field in ("steps", "views", "size", "learning_rate"):
            assert getattr(mine, field) == getattr(theirs, field)
    assert ours.coarse.cameras == default.coarse.cameras
    assert ours.geometry.close_share == default.geometry.close_share


@pytest.mark.parametrize("numbers", PRESETS)
@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("xbind", *VARIANTS)])
def test_no_baseline_has_an_image_term_on_the_3d_prior(numbers, name):
    """Eq. 10 is the latent term alone."""
    method = method_named(f"{numbers}:{name}")
    assert all(phase.guidance.w_img_3d == 0 for phase in method.phases)


@pytest.mark.parametrize("part", WITHOUT)
def test_ablations_take_as_many_steps(part):
    assert steps(method_named("default", (part,))) == steps(preset_named("default"))


def test_without_stereo_has_no_reference_view_and_no_loss_of_it():
    method = method_named("paper", ("stereo",))
    assert not method.uses_reference
    assert all(max(p.guidance.w_rgb, p.guidance.w_mask) == 0 for p in method.phases)


def test_without_planar_loses_all_of_eq_9():
    method = method_named("default", ("planar",))
    assert method.coarse.w_nz == 0
    assert all(max(p.guidance.w_2d, p.guidance.w_ms) == 0 for p in method.phases)
    assert method.coarse.w_opacity == preset_named("default").coarse.w_opacity


@pytest.mark.parametrize("numbers", PRESETS)
def test_delit_changes_the_light_alone(numbers):
    method, plain = method_named(f"{numbers}:delit"), preset_named(numbers)
    for stage in (method.coarse, method.texture):
        assert (stage.shading.light, stage.shading.p_lit) == ("bundle", 1.0)
    assert method.uses_light
    assert not plain.uses_light
    dark = ShadingConfig()
    coarse, texture = (replace(s, shading=dark) for s in (method.coarse, method.texture))
    assert replace(method, coarse=coarse, texture=texture) == plain


def test_without_three_phase_is_one_long_first_phase():
    method = method_named("default", ("three-phase",))
    assert [phase is method.coarse for phase in method.phases] == [True]


def test_phase_2_loss_changes_nothing_else():
    method, default = method_named("default", (), "sds"), preset_named("default")
    assert method.geometry.planar == "sds"
    assert "cds2d" not in graphs(method)
    assert replace(method, geometry=default.geometry) == default


def test_methods_at_other_numbers():
    method = method_named("smoke:stablesds-3d")
    assert steps(method) == steps(preset_named("smoke"))
    assert not method.uses_reference
    assert method_named("xbind") == method_named("default:xbind") == preset_named("default")


@pytest.mark.parametrize("name", ["turbo", "turbo:xbind", "paper:turbo", "smoke:smoke", ":", ""])
def test_a_wrong_name_lists_the_right_ones(name):
    with pytest.raises(UnknownPreset, match=r"default.*stablesds-3d.*paper:stablesds-3d"):
        method_named(name)


def test_a_picture_needs_no_sampling_of_the_reference():
    requests = requests_of_run(preset_named("default"), MINI, samples_reference=False)
    assert "unet2d" not in {request.name for request in requests}
