"""The reference view: its mask, its pose, and which of several samples it is."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from xbind.algorithm import reference_view
from xbind.algorithm.reference_view import (
    informativeness,
    intricacy,
    make_reference_view,
    outline_length,
    sampled_mask,
    told_pose,
)
from xbind.conditioning.errors import PromptError
from xbind.conditioning.image import SquareImage
from xbind.conditioning.prompt import EncodedPrompt
from xbind.config.presets import ReferenceConfig

CONFIG = ReferenceConfig(elevation_deg=15.0, azimuth_deg=40.0, w_pose=0.0, w_parts=0.0)


def disc(radius, centre=(32, 32), size=64):
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2


def picture(inside, colour=(0.8, 0.1, 0.1)):
    return torch.where(inside, torch.tensor(colour)[:, None, None], torch.ones(3, 1, 1))


def test_the_mask_is_the_object_without_specks_and_with_its_hole():
    ring = disc(20) & ~disc(8)
    speck = disc(1.5, (5, 5))
    mask = sampled_mask(picture(ring | speck), CONFIG)
    assert mask.shape == (1, 64, 64)
    assert (mask[0] > 0).logical_xor(ring).float().mean() < 0.02  # opening rounds the outline
    assert mask[0, 32, 32] == 0
    assert mask[0, 5, 5] == 0


@pytest.mark.parametrize(
    "image",
    [
        picture(torch.zeros(64, 64, dtype=torch.bool)),
        picture(disc(60)),
        picture(disc(3)),
    ],
    ids=["nothing", "fills the border", "a speck"],
)
def test_no_mask_where_there_is_no_object_on_white(image):
    assert sampled_mask(image, CONFIG) is None


def pose(elevation, azimuth, sure=1.0):
    a = math.radians(azimuth)
    return torch.tensor([[elevation / 45, sure * math.cos(a), sure * math.sin(a), 0.0]])


def test_informativeness_is_highest_at_the_preferred_pose_on_either_side():
    best = informativeness(torch.cat([pose(15, 40), pose(15, -40)]), CONFIG)
    torch.testing.assert_close(best, torch.ones(2))
    for other in (pose(15, 180), pose(-30, 40), pose(15, 0), pose(15, 40, sure=0.5)):
        assert informativeness(other, CONFIG).item() < 0.99
    want = math.cos(math.radians(50)) - 30 / 45
    assert informativeness(pose(45, 90), CONFIG).item() == pytest.approx(want, abs=1e-6)


def bundle_of(images, cosines, poses):
    """A 2D prior that samples `images`, an encoder that likes them as `cosines` says."""

    def rows(shown, values):
        which = [next(i for i, x in enumerate(images) if torch.equal(x, one)) for one in shown]
        return torch.as_tensor(values)[which]

    def embed(shown):
        return rows(shown, cosines)[:, None] * torch.tensor([[1.0, 0.0]])

    return SimpleNamespace(
        unclip=images,
        bind=embed,
        view=None if poses is None else lambda shown: rows(shown, poses),
    )


def reference(monkeypatch, bundle, config=CONFIG, **how):
    monkeypatch.setattr(reference_view, "sample_unclip", lambda images, *_, **__: images)
    monkeypatch.setattr(reference_view, "embed_images", lambda shown, encoder: encoder(shown))
    c_m = torch.tensor([1.0, 0.0])
    prompt = EncodedPrompt(c_m, c_m, None, ())
    return make_reference_view(
        prompt, torch.zeros(1, 4), bundle, config, torch.Generator().manual_seed(0), **how
    )


IMAGES = torch.stack([picture(disc(r)) for r in (12, 60, 20, 16)])


def test_the_best_cosine_with_a_usable_mask_wins(monkeypatch):
    view = reference(monkeypatch, bundle_of(IMAGES, [0.5, 0.9, 0.7, 0.6], None))
    assert view.mask.sum() == sampled_mask(IMAGES[2], CONFIG).sum()  # 0.9 fills its border
    assert float(view.camera.elevation_deg) == 0.0
    outside = view.image[0][:, view.mask[0, 0] == 0]
    assert torch.equal(outside, torch.ones_like(outside))


def test_a_candidate_is_taken_by_its_number(monkeypatch):
    bundle, shown = bundle_of(IMAGES, [0.5, 0.9, 0.7, 0.6], None), []
    view = reference(monkeypatch, bundle, candidate=4, show=lambda _, i: shown.append(i))
    assert view.mask.sum() == sampled_mask(IMAGES[3], CONFIG).sum()
    with pytest.raises(PromptError, match=r"candidate 2.*\n.*one of 1, 3, 4"):
        reference(monkeypatch, bundle, candidate=2, show=lambda _, i: shown.append(i))
    assert shown[0] == 3


def test_a_pose_that_shows_more_outweighs_a_small_difference(monkeypatch):
    poses = torch.cat([pose(15, 40), pose(0, 0), pose(15, 180), pose(-45, 180)])
    bundle = bundle_of(IMAGES, [0.69, 0.0, 0.70, 0.60], poses)
    view = reference(monkeypatch, bundle, replace(CONFIG, w_pose=0.5))
    assert view.mask.sum() == sampled_mask(IMAGES[0], CONFIG).sum()
    # the estimator is asked again, about the picture that was chosen and cleaned
    assert float(view.camera.elevation_deg) == pytest.approx(15.0, abs=1e-4)
    assert float(view.camera.azimuth_deg) == pytest.approx(40.0, abs=1e-4)


def test_an_outline_that_shows_parts_outweighs_a_small_difference(monkeypatch):
    cup = disc(14)
    handle = disc(9, (32, 48)) & ~disc(5, (32, 48)) & ~cup
    images = torch.stack([picture(x) for x in (cup, cup | handle, disc(20))])
    bundle = bundle_of(images, [0.70, 0.69, 0.60], None)
    assert reference(monkeypatch, bundle).mask.sum() == sampled_mask(images[0], CONFIG).sum()
    view = reference(monkeypatch, bundle, replace(CONFIG, w_parts=1.0))
    assert view.mask.sum() == sampled_mask(images[1], CONFIG).sum()


def test_a_part_that_hangs_on_a_faint_edge_is_none(monkeypatch):
    whole, torn = (picture(disc(14) | disc(5, (32, 55))) for _ in range(2))
    bridge = (slice(None), slice(30, 34), slice(44, 52))
    whole[bridge] = torch.tensor([0.8, 0.1, 0.1])[:, None, None]
    torn[bridge] = 0.85
    bundle = bundle_of(torch.stack([torn, whole]), [0.70, 0.69], None)
    view = reference(monkeypatch, bundle, replace(CONFIG, w_parts=2.0))
    assert view.image[0, 0, 31, 48] == whole[0, 31, 48]


def with_errors(monkeypatch, totals):
    """The prior's errors, drawn with noise of the generator that it is given."""
    seen = []

    def prior_errors(images, *_, timesteps, generator, **__):
        seen.append(images)
        torch.randn(5, generator=generator)
        return torch.tensor(totals).expand(len(timesteps), -1)

    monkeypatch.setattr(reference_view, "prior_errors", prior_errors)
    return seen


def test_a_small_error_of_the_prior_outweighs_a_small_difference(monkeypatch):
    """Of all samples the errors are asked for; one without an object is not in the comparison."""
    seen = with_errors(monkeypatch, [0.2, 0.01, 0.9, 0.9])
    bundle = bundle_of(IMAGES, [0.6, 0.9, 0.7, 0.6], None)
    usual = reference(monkeypatch, bundle)
    assert usual.mask.sum() == sampled_mask(IMAGES[2], CONFIG).sum()
    assert seen == []
    view = reference(monkeypatch, bundle, replace(CONFIG, w_error=2.0))
    assert view.mask.sum() == sampled_mask(IMAGES[0], CONFIG).sum()
    assert seen[0].shape == IMAGES.shape
    assert torch.equal(seen[0][1], IMAGES[1])
    view = reference(monkeypatch, bundle, replace(CONFIG, w_error=0.1))
    assert view.mask.sum() == sampled_mask(IMAGES[2], CONFIG).sum()


def test_an_error_is_relative_to_the_length_of_the_outline(monkeypatch):
    """Radii 12, 20 and 16: errors of 13, 20 and 16 favour the second over the first."""
    with_errors(monkeypatch, [13.0, 1.0, 20.0, 17.0])
    bundle = bundle_of(IMAGES, [0.7, 0.7, 0.7, 0.7], None)
    view = reference(monkeypatch, bundle, replace(CONFIG, w_error=1.0))
    assert view.mask.sum() == sampled_mask(IMAGES[2], CONFIG).sum()


def test_the_error_changes_no_later_draw(monkeypatch):
    """So a run whose choice stays the same stays the same."""
    with_errors(monkeypatch, [0.2, 0.01, 0.9, 0.9])
    monkeypatch.setattr(reference_view, "sample_unclip", lambda images, *_, **__: images)
    monkeypatch.setattr(reference_view, "embed_images", lambda shown, encoder: encoder(shown))
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    c_m = torch.tensor([1.0, 0.0])
    make_reference_view(
        EncodedPrompt(c_m, c_m, None, ()), torch.zeros(1, 4),
        bundle_of(IMAGES, [0.6, 0.9, 0.7, 0.6], None), replace(CONFIG, w_error=2.0), generator,
    )  # fmt: skip
    assert torch.equal(generator.get_state(), before)


def test_the_cosine_counts_by_its_weight(monkeypatch):
    poses = torch.cat([pose(15, 40), pose(0, 0), pose(15, 180), pose(-45, 180)])
    bundle = bundle_of(IMAGES, [0.0, 0.0, 0.70, 0.69], poses)
    for w_cos, best in ((1.0, 2), (0.1, 0)):
        view = reference(monkeypatch, bundle, replace(CONFIG, w_cos=w_cos, w_pose=0.5))
        assert view.mask.sum() == sampled_mask(IMAGES[best], CONFIG).sum()


def test_the_length_of_an_outline_is_that_of_a_circle():
    assert outline_length(disc(20)[None].float()) == pytest.approx(2 * math.pi * 20, rel=0.02)


def test_intricacy_in_closed_form():
    assert intricacy(disc(24)[None].float(), 3.0) == pytest.approx(1, abs=0.02)
    ring = disc(24) & ~disc(12)
    assert intricacy(ring[None].float(), 3.0) == pytest.approx(
        36 / math.sqrt(24**2 - 12**2), abs=0.05
    )
    bar = torch.zeros(1, 64, 64)
    bar[0, 10:50, 10:20] = 1  # crossed by 2 · 50 straight lines, and 2 · 49 of each slanted kind
    length = math.pi / 8 * (100 + 196 / math.sqrt(2))
    assert intricacy(bar, 3.0) == pytest.approx(length / math.sqrt(1600 * math.pi), abs=1e-6)
    bar[0, 30] = 0  # two pieces now, of 200 and 190 pixels
    length = math.pi / 8 * (118 + 228 / math.sqrt(2))
    wanted = length / math.sqrt(4 * math.pi * 390) - 3 * 190 / 390
    assert intricacy(bar, 3.0) == pytest.approx(wanted, abs=1e-6)


def test_an_azimuth_is_only_believed_when_the_estimator_is_sure(monkeypatch):
    bundle = bundle_of(IMAGES, [0.9, 0.0, 0.0, 0.0], pose(20, 60, sure=0.3).expand(4, -1))
    view = reference(monkeypatch, bundle)
    assert float(view.camera.azimuth_deg) == 0.0
    assert float(view.camera.elevation_deg) == pytest.approx(20.0, abs=1e-4)


def test_no_usable_sample_is_an_error_that_says_what_to_do(monkeypatch):
    with pytest.raises(PromptError, match="--seed"):
        reference(monkeypatch, bundle_of(IMAGES[1:2], [0.9], None))


def given(elevation, azimuth):
    image = SquareImage(IMAGES[2], sampled_mask(IMAGES[2], CONFIG))
    c_m = torch.tensor([1.0, 0.0])
    return EncodedPrompt(c_m, c_m, image, (), elevation_deg=elevation, azimuth_deg=azimuth)


@pytest.mark.parametrize(
    ("elevation", "azimuth", "estimator", "want"),
    [
        (30.0, -70.0, pose(10, 20), (30.0, -70.0)),
        (30.0, None, pose(10, 20), (30.0, 20.0)),
        (None, 0.0, pose(10, 20), (10.0, 0.0)),
        (None, None, pose(10, 20), (10.0, 20.0)),
        (None, -70.0, None, (0.0, -70.0)),
        (None, None, None, (0.0, 0.0)),
    ],
)
def test_a_given_pose_wins_over_the_estimator_s(elevation, azimuth, estimator, want):
    bundle = SimpleNamespace(view=None if estimator is None else lambda _: estimator)
    view = make_reference_view(
        given(elevation, azimuth), torch.zeros(1, 4), bundle, CONFIG, torch.Generator()
    )
    got = float(view.camera.elevation_deg), float(view.camera.azimuth_deg)
    assert got == pytest.approx(want, abs=1e-4)


def test_the_3d_prior_is_told_the_given_pose():
    seen = pose(10, 20, sure=0.5)[:, :3]
    assert torch.equal(told_pose(seen, given(None, None)), seen)
    torch.testing.assert_close(told_pose(seen, given(30.0, -70.0)), pose(30, -70)[:, :3])
    half = told_pose(seen, given(30.0, None))
    torch.testing.assert_close(half, pose(30, 20, sure=0.5)[:, :3])
