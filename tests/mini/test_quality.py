"""The figures of the priors: known answers for parts, and that the shipped bundle is no worse."""

from dataclasses import replace

import pytest
import torch
from PIL import Image

from xbind.algorithm.reference_view import ddim
from xbind.diffusion.schedule import NoiseSchedule
from xbind.mini import quality
from xbind.mini.quality import held_out
from xbind.mini.sheet import save_sheet
from xbind.mini.view_words import measure_view_words
from xbind.mini.world.categories import CATEGORIES, COLOUR_NAMES, SEEN, UNSEEN
from xbind.networks.load import load_bundle, load_convnet
from xbind.networks.manifest import load_manifest


def test_held_out_objects_are_one_of_each_in_their_poses():
    held = held_out()
    assert held.colour.shape == held.normals.shape == (len(CATEGORIES), 4, 3, 64, 64)
    assert torch.equal(held.colour[:, :, :, 0, 0], torch.ones(len(CATEGORIES), 4, 3))
    assert torch.equal(held.normals[:, :, :, 0, 0], torch.zeros(len(CATEGORIES), 4, 3))
    assert len(held.colours) == len(CATEGORIES)


def test_ddim_with_the_exact_denoiser_of_a_point_arrives_there():
    """All data at one latent c: v = α ε − σ c, with ε = (z − α c) / σ, is exact at every step."""
    alphas = torch.linspace(0.999, 0.01, 100)
    schedule = NoiseSchedule(alphas, "v_prediction")
    c = torch.full((2, 4, 3, 3), 0.7)

    def exact(z, t):
        a = alphas[t].sqrt().view(-1, 1, 1, 1)
        s = (1 - alphas[t]).sqrt().view(-1, 1, 1, 1)
        return a * (z - a * c) / s - s * c

    z = torch.randn(c.shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ddim(schedule, z, 7, exact, start=99), c)


def test_a_sheet_goes_on_in_the_next_column(tmp_path):
    rows = torch.arange(5.0).view(5, 1, 1, 1, 1).expand(5, 2, 3, 4, 4) / 5
    save_sheet(tmp_path / "sheet.png", rows, columns=2)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (2 * 2 * 4, 3 * 4)
        assert sheet.getpixel((0, 0)) == (0, 0, 0)
        assert sheet.getpixel((8, 0)) == (153,) * 3  # row 3
        assert sheet.getpixel((8, 8)) == (255,) * 3  # nothing


@pytest.fixture(scope="module")
def shipped():
    manifest = load_manifest("mini")
    return load_bundle(manifest), load_convnet(manifest.part("judge"))


def test_shipped_prior_draws_what_is_heard(shipped, monkeypatch):
    monkeypatch.setattr(quality, "STEPS", 8)
    monkeypatch.setattr(quality, "SOUNDS", 1)
    figures, sheet = quality.measure_audio(*shipped)
    assert sheet.shape == (len(CATEGORIES), 1, 3, 64, 64)
    assert figures["audio_category"] > 0.75  # by chance: 1 of 17


def test_shipped_prior_draws_what_is_written_in_its_colour(shipped, monkeypatch):
    monkeypatch.setattr(quality, "STEPS", 3)
    figures, sheet = quality.measure_text(*shipped)
    assert sheet.shape == (len(CATEGORIES), len(COLOUR_NAMES), 3, 64, 64)
    assert figures["text_colour"] > 0.9  # by chance: 1 of 8
    assert figures["text_category"] >= figures["text_both"] > 0.6


def test_shipped_prior_turns_the_object(shipped, monkeypatch):
    monkeypatch.setattr(quality, "STEPS", 8)
    (bundle, judge), few = shipped, {"component": "zero123", "categories": list(SEEN)}
    manifest = replace(bundle.manifest, raw=bundle.manifest.raw | {"priors_3d": {"few": few}})
    figures, sheet = quality.measure_views(replace(bundle, manifest=manifest), judge, held_out())
    apart = figures["views_both_seen"], figures["views_both_unseen"]
    whole = (len(SEEN) * apart[0] + len(UNSEEN) * apart[1]) / len(CATEGORIES)
    assert figures["views_both"] == pytest.approx(whole)
    errors = figures["views_psnr_db_seen"], figures["views_psnr_db_unseen"]
    assert min(errors) <= figures["views_psnr_db"] <= max(errors)
    assert sheet.shape == (len(CATEGORIES), 7, 3, 64, 64)
    assert figures["views_category"] > 0.7
    assert figures["views_psnr_db"] > 11


def test_shipped_priors_know_normal_maps(shipped):
    """What Phase II stands on: both priors take noise off a normal map, and leave no colour."""
    figures, sheet = quality.measure_normals(shipped[0], held_out())
    assert sheet.shape == (len(CATEGORIES), 5, 3, 64, 64)
    for prior in ("2d", "3d"):
        assert figures[f"normals_{prior}_psnr_db"] > figures["normals_noisy_psnr_db"] + 3
        assert figures[f"normals_{prior}_psnr_db"] < figures["normals_vae_psnr_db"]


@pytest.fixture(scope="module")
def worded():
    manifest = load_manifest("mini")
    bundle, judge = load_bundle(manifest), load_convnet(manifest.part("judge"))
    return measure_view_words(bundle, judge, steps=8, samples=3)


@pytest.mark.slow
def test_words_turn_the_samples_and_leave_what_they_show(worded):
    """Floors; 20 steps and twelve samples: docs/reference/mini_bundle.md."""
    figures, shown = worded
    assert shown.shape == (len(CATEGORIES), 8, 3, 64, 64)
    for word in ("none", "side", "front", "back"):
        seen = [figures[f"word_{word}_{where}"] for where in ("side", "front", "back")]
        assert sum(seen) == pytest.approx(1.0)
        assert figures[f"word_{word}_both"] > 0.9
        assert figures[f"word_{word}_read"] > 0.6
    assert figures["word_front_front"] > figures["word_none_front"] + 0.15
    assert figures["word_back_back"] > figures["word_none_back"] + 0.15
    assert figures["word_side_side"] > max(figures["word_front_side"], figures["word_back_side"])
