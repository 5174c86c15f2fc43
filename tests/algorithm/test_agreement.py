"""The 3D prior's agreement with the prompt, and the share of its weight that it leaves."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from xbind.algorithm import stereo_condition
from xbind.algorithm.reference_view import ReferenceView
from xbind.algorithm.stereo_condition import (
    StereoCondition,
    make_stereo_condition,
    weighted_by_agreement,
)
from xbind.algorithm.supervision import Condition, Supervision
from xbind.conditioning.prompt import encode_prompt
from xbind.config.options import PromptConfig
from xbind.config.presets import GuidanceConfig, preset_named
from xbind.config.savings import Savings
from xbind.config.terms import AgreementConfig
from xbind.config.variants import method_named
from xbind.mini.judging import real_objects
from xbind.networks.load import load_bundle
from xbind.networks.manifest import load_manifest
from xbind.run.reference import agreement_in_words
from xbind.scene.cameras import Cameras, orbit

CONFIG = AgreementConfig(least_share=0.2, low=0.5, high=0.9, views=3, steps=2)
FEW = Savings(one_at_a_time=True, split_guidance=True)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def camera():
    return Cameras(*(torch.tensor([x]) for x in (15.0, 40.0, 2.5, 40.0)))


def bare():
    """A condition of which nothing is read but x_r."""
    view = ReferenceView(torch.zeros(1, 3, 4, 4), torch.ones(1, 1, 4, 4), camera())
    latent, embedding, seen = torch.zeros(1, 4, 1, 1), torch.zeros(1, 8), torch.zeros(1, 3)
    return StereoCondition(view, latent, embedding, seen, torch.ones(()), torch.tensor(torch.nan))


@pytest.fixture(scope="module")
def bundles():
    manifest = load_manifest("mini")
    return {name: load_bundle(manifest.with_prior_3d(name)) for name in (None, "narrow")}


def condition(bundle, category):
    """x_r is a real object's view, so that nothing is sampled; C_m is that of its text."""
    prompt = encode_prompt(PromptConfig(text=f"a red {category}"), bundle.bind, 64)
    image = real_objects(category, "red").views[0].image[:1]
    view = ReferenceView(image, torch.ones(1, 1, 64, 64), camera())
    return make_stereo_condition(view, prompt, bundle), prompt.c_m


@pytest.mark.parametrize(
    ("cosines", "agreement", "share"),
    [
        ((0.4, 0.4, 0.4), 0.5, 0.2),  # of the reference's 0.8
        ((0.1, 0.2, 0.3), 0.25, 0.2),
        ((0.6, 0.5, 0.58), 0.7, 0.6),
        ((0.72, 0.72, 0.72), 0.9, 1.0),
        ((0.9, 0.9, 0.9), 1.125, 1.0),
        ((-0.5, -0.5, -0.5), -0.625, 0.2),
    ],
)
def test_the_share_is_linear_in_the_agreement(monkeypatch, cosines, agreement, share):
    shown = {1: [0.8], 3: cosines}
    monkeypatch.setattr(stereo_condition, "_draw_views", lambda *_: torch.zeros(3, 3, 4, 4))
    monkeypatch.setattr(
        stereo_condition, "embed_images", lambda x, _: torch.tensor(shown[len(x)])[:, None]
    )
    bundle = SimpleNamespace(zero123=None, bind=None)
    found = weighted_by_agreement(bare(), torch.ones(1), bundle, CONFIG, seeded())
    assert float(found.agreement) == pytest.approx(agreement)
    assert float(found.share) == pytest.approx(share)


def test_the_prior_that_knows_the_thing_keeps_its_weight(bundles):
    """`narrow` was trained on cars and not on boats; the other one on both."""
    config = preset_named("default").agreement
    share = {}
    for name, bundle in bundles.items():
        for category in ("car", "boat"):
            stereo, c_m = condition(bundle, category)
            found = weighted_by_agreement(stereo, c_m, bundle, config, seeded())
            share[name, category] = float(found.share)
    assert share[None, "car"] == share["narrow", "car"] == share[None, "boat"] == 1
    assert share["narrow", "boat"] == pytest.approx(config.least_share)


def test_the_draws_that_follow_are_not_moved(bundles):
    stereo, c_m = condition(bundles[None], "car")
    generator = seeded(3)
    first = weighted_by_agreement(stereo, c_m, bundles[None], CONFIG, generator)
    again = weighted_by_agreement(stereo, c_m, bundles[None], CONFIG, generator)
    torch.testing.assert_close(
        torch.rand(4, generator=generator), torch.rand(4, generator=seeded(3))
    )
    assert torch.equal(first.agreement, again.agreement)
    other = weighted_by_agreement(stereo, c_m, bundles[None], CONFIG, seeded(4))
    assert not torch.equal(first.agreement, other.agreement)


def test_views_are_the_same_one_at_a_time(bundles):
    stereo, c_m = condition(bundles[None], "car")
    found = [
        weighted_by_agreement(stereo, c_m, bundles[None], CONFIG, seeded(), savings).agreement
        for savings in (Savings(), FEW)
    ]
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)


def test_views_are_drawn_all_around_the_reference(monkeypatch):
    asked = []

    def token(self, cameras, _):
        asked.append(cameras)
        return torch.zeros(len(cameras), 1, 2)

    monkeypatch.setattr(StereoCondition, "token", token)
    monkeypatch.setattr(stereo_condition, "ddim", lambda schedule, z, *_: z)
    monkeypatch.setattr(stereo_condition, "decode", lambda vae, z: z)
    prior = SimpleNamespace(
        unet=SimpleNamespace(config=SimpleNamespace(class_embed_type=None)), vae=None,
        schedule=None, latent_shape=(3, 4, 4),
    )  # fmt: skip
    views = stereo_condition._draw_views(bare(), prior, CONFIG, seeded(), Savings())
    assert views.shape == (3, 3, 4, 4)
    assert asked[0].azimuth_deg.tolist() == [130.0, 220.0, 310.0]
    assert asked[0].elevation_deg.tolist() == [15.0] * 3


def test_a_checkpoint_without_a_share_is_of_a_run_that_had_all():
    half = replace(bare(), share=torch.tensor(0.5), agreement=torch.tensor(0.7))
    state = half.state()
    found = StereoCondition.from_state(state)
    assert (float(found.share), float(found.agreement)) == (0.5, pytest.approx(0.7))
    old = {name: x for name, x in state.items() if name not in ("share_3d", "agreement_3d")}
    found = StereoCondition.from_state(old)
    assert float(found.share) == 1
    assert found.agreement.isnan()


@pytest.mark.parametrize(
    ("agreement", "share", "words"),
    [
        (0.64, 0.05, "0.64; its weight is multiplied by 0.05"),
        (1.02, 1.0, "1.02; its weight stays"),
        (torch.nan, 1.0, None),
    ],
)
def test_it_is_said_in_words(agreement, share, words):
    stereo = replace(bare(), share=torch.tensor(share), agreement=torch.tensor(agreement))
    told = Condition(torch.ones(2), torch.ones(1, 4), torch.ones(1, 4, 1, 1), stereo)
    assert agreement_in_words(told) == words
    assert agreement_in_words(replace(told, stereo=None)) is None


def test_the_share_is_a_factor_on_the_whole_term(bundles):
    """Of the 3D prior's latent and image term alike."""
    bundle = bundles[None]
    stereo, c_m = condition(bundle, "car")
    image = torch.rand(1, 3, 64, 64, generator=seeded(1))
    losses = []
    for share in (1.0, 0.25):
        told = SimpleNamespace(stereo=replace(stereo, share=torch.tensor(share)), c_m=c_m)
        call = Supervision(bundle, told).stereo(GuidanceConfig(), image, orbit(1), 0.5, seeded(2))
        losses.append(float(call.loss().detach()))
    assert losses[1] == pytest.approx(0.25 * losses[0], rel=1e-5)


def test_only_ours_measures_it():
    methods = ("paper", "fast", "zerostablecds-3d", "zerosds-3d", "stablesds-3d", "magic3d")
    assert not any(method_named(name).uses_agreement for name in methods)
    assert all(method_named(name).uses_agreement for name in ("default", "smoke", "xbind"))
    assert not method_named("default", ["planar"]).uses_agreement
    assert not method_named("default", ["stereo"]).uses_agreement
    assert method_named("default", ["ms"]).uses_agreement


def test_the_bounds_are_in_order():
    with pytest.raises(ValueError, match=r"low must be below high, got 0.9 and 0.9"):
        AgreementConfig(low=0.9, high=0.9)
