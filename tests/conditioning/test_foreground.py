"""Masks of users' pictures: right where they are called sure, with reasons where they are not."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.drawn_pictures import cases
from xbind.conditioning.errors import PromptError
from xbind.conditioning.foreground import find_foreground
from xbind.conditioning.frame import inside_frame
from xbind.conditioning.image import load_image

PICTURES = Path(__file__).parent.parent / "data/pictures"
SIZE = 160
Y, X = np.mgrid[:SIZE, :SIZE]
RED, WHITE, GREY = (0.8, 0.1, 0.1), (1.0, 1.0, 1.0), (0.6, 0.6, 0.6)


def found(path):
    image = load_image(path)
    return find_foreground(image.rgb, image.alpha, path.name)


def drawn(*layers, background=WHITE):
    """Regions with their colours on a background, and what is found in the picture."""
    pixels = np.ones((3, SIZE, SIZE), np.float32) * np.array(background, np.float32)[:, None, None]
    for region, colour in layers:
        pixels = np.where(region, np.array(colour, np.float32)[:, None, None], pixels)
    return find_foreground(torch.from_numpy(pixels), None, "a.png")


def box(top, bottom, left, right):
    return (top <= Y) & (bottom > Y) & (left <= X) & (right > X)


def overlap(found, wanted):
    found = found.mask[0].numpy() > 0.5 if hasattr(found, "mask") else found
    return (found & wanted).sum() / (found | wanted).sum()


def test_what_is_called_sure_is_right(tmp_path):
    sure, wrong, refused = 0, {}, []
    drawings = cases()
    for name, draw in drawings.items():
        data, wanted = draw()
        path = tmp_path / "picture"
        path.write_bytes(data)
        try:
            got = found(path)
        except PromptError:
            refused.append(name)
            continue
        sure += got.verdict == "sure"
        if got.verdict == "sure" and overlap(got, wanted) < 0.95:
            wrong[name] = overlap(got, wanted)
    assert len(drawings) >= 140
    assert wrong == {}
    assert sure >= 0.8 * len(drawings)
    assert len(refused) <= 0.02 * len(drawings)


def mug(path, right=None):
    """The true mask of the red or grey mug in the cases: what is far from white and grey."""
    rgb = load_image(path).rgb[:, :, :right].numpy()
    return np.ptp(rgb, axis=0) > 0.3


@pytest.mark.parametrize(
    ("name", "doubt"),
    [
        ("frame.png", None),
        ("letterbox.png", None),
        ("rgba_haze.png", None),
        ("rgba_onepixel.png", None),
        ("rgba_roundcorners.png", None),
        ("anim_blankfirst.gif", None),
        ("fakechecker.png", "checkerboard"),
        ("shadow.png", "grey shadow was cut"),
    ],
)
def test_the_red_mug_is_found(name, doubt):
    got = found(PICTURES / name)
    assert overlap(got, mug(PICTURES / name)) > 0.93
    assert got.verdict == ("sure" if doubt is None else "unsure")
    if doubt is not None:
        assert doubt in got.warning(name)
        assert "--mask FILE" in got.warning(name)


@pytest.mark.parametrize("name", ["seg_snowman.png", "seg_whitecar.png", "house_yellow_white.jpg"])
def test_pale_parts_on_white_are_parts(name):
    path = PICTURES / name
    got = found(path)
    assert got.verdict == "sure"
    assert overlap(got, load_image(path).rgb.min(0).values.numpy() < 0.98) > 0.95


@pytest.mark.parametrize("name", ["grey12in16.png", "grey16_trns.png"])
def test_grey_of_16_bits_is_scaled_by_its_range_and_its_trns_is_the_mask(name):
    image = load_image(PICTURES / name)
    assert image.rgb.max() > 0.99
    assert (image.alpha is not None) == ("trns" in name)
    got = found(PICTURES / name)
    assert got.verdict == "sure"
    assert overlap(got, image.rgb[0].numpy() < 0.6) > 0.9


def test_two_objects_are_named():
    got = found(PICTURES / "two.png")
    assert overlap(got, np.pad(mug(PICTURES / "two.png", 256), ((0, 0), (0, 256)))) > 0.93
    assert "two objects or more, and only the largest is kept" in got.warning("two.png")


def test_hardly_any_contrast_is_in_doubt():
    assert "hardly differs from the background" in found(PICTURES / "white_on_white.png").warning(
        "white_on_white.png"
    )


def test_an_object_is_whole_across_a_band_of_the_background_s_colour():
    whole = box(30, 130, 50, 110)
    got = drawn((box(30, 70, 50, 110), RED), (box(90, 130, 50, 110), RED))
    np.testing.assert_array_equal(got.mask[0].numpy() > 0.5, whole)
    assert any("a band of the background's colour was filled" in doubt for doubt in got.doubts)


def test_a_lamp_is_its_shade_and_its_stand():
    shade, stand = box(20, 60, 40, 120), box(62, 140, 76, 84)
    got = drawn((shade, RED), (stand, (0.2, 0.2, 0.2)))
    np.testing.assert_array_equal(got.mask[0].numpy() > 0.5, shade | stand)
    assert got.verdict == "sure"


def test_a_line_drawing_is_filled_and_a_thick_ring_stays_open():
    far = np.hypot(X - 80, Y - 80)
    got = drawn(((far < 50) & (far > 48), (0.0, 0.0, 0.0)))
    assert overlap(got, far < 50) > 0.95
    assert any("thin outlines" in doubt for doubt in got.doubts)
    got = drawn(((far < 50) & (far > 30), RED))
    assert overlap(got, (far < 50) & (far > 30)) > 0.95
    assert got.verdict == "sure"


@pytest.mark.parametrize("step", [4, 10])
def test_a_painted_checkerboard_is_no_object(step):
    tones = ((X // step + Y // step) % 2)[None] * 0.2
    pixels = np.where(box(40, 120, 50, 110), np.array(RED)[:, None, None], 0.8 + tones)
    got = find_foreground(torch.from_numpy(pixels.astype(np.float32)), None, "a.png")
    assert overlap(got, box(40, 120, 50, 110)) > 0.95
    assert any("checkerboard" in doubt for doubt in got.doubts)


def test_a_soft_shadow_below_a_coloured_object_is_cut():
    shadow = 0.5 * np.exp(-(((X - 85) / 40) ** 2) - ((Y - 120) / 8) ** 2)
    pixels = np.where(box(40, 120, 50, 110), np.array(RED)[:, None, None], 1 - shadow)
    got = find_foreground(torch.from_numpy(pixels.astype(np.float32)), None, "a.png")
    assert overlap(got, box(40, 120, 50, 110)) > 0.93


def test_separate_objects_of_an_alpha_channel_are_kept_and_named():
    alpha = torch.from_numpy((box(50, 110, 10, 60) | box(50, 110, 100, 150)).astype(np.float32))
    got = find_foreground(torch.full((3, SIZE, SIZE), 0.5), alpha[None], "a.png")
    torch.testing.assert_close(got.mask[0], alpha)
    assert "several separate objects" in got.warning("a.png")


def test_specks_of_an_alpha_channel_do_not_count():
    alpha = torch.from_numpy(box(50, 110, 50, 110).astype(np.float32))[None]
    dirty = alpha.clone()
    dirty[0, 2, 2] = 1.0
    got = find_foreground(torch.full((3, SIZE, SIZE), 0.5), dirty, "a.png")
    torch.testing.assert_close(got.mask, alpha)
    assert got.record() == {"source": "alpha", "verdict": "sure", "reasons": [], "share": 0.1406}


def test_a_hopeless_picture_is_refused_with_the_ways_out():
    noise = torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    with pytest.raises(PromptError, match="no plain colour") as refusal:
        find_foreground(noise, None, "beach.jpg")
    assert "beach.jpg" in str(refusal.value)
    assert "--mask FILE" in str(refusal.value)


def test_a_large_picture_has_a_mask_of_its_own_size():
    rgb = torch.ones(3, 1500, 1200)
    rgb[:, 400:1100, 300:900] = torch.tensor(RED)[:, None, None]
    got = find_foreground(rgb, None, "a.png")
    wanted = rgb[1] < 0.5
    assert got.mask.shape == (1, 1500, 1200)
    assert overlap(got, wanted.numpy()) > 0.99


def framed(inner, width, colour):
    pads = ((0, 0), (width[0], width[1]), (width[2], width[3]))
    picture = np.pad(np.ones_like(inner), pads)
    return np.where(np.pad(np.ones(inner.shape, bool), pads), np.pad(inner, pads),
                    np.array(colour, np.float32)[:, None, None] * (1 - 0 * picture))  # fmt: skip


INNER = np.where(box(40, 120, 50, 110), np.array(RED)[:, None, None], 0.9).astype(np.float32)


@pytest.mark.parametrize(
    "width", [(3, 3, 3, 3), (40, 40, 0, 0), (0, 0, 25, 30), (0, 30, 0, 0), (30, 30, 2, 2)]
)
def test_frames_and_bars_are_removed(width):
    rows, columns = inside_frame(framed(INNER, width, (0, 0, 0)))
    assert (rows.start, rows.stop - SIZE) == (width[0], width[0])
    assert (columns.start, columns.stop - SIZE) == (width[2], width[2])


def test_nested_frames_are_removed():
    once = framed(INNER, (4, 4, 4, 4), (0.1, 0.2, 0.6))
    rows, columns = inside_frame(framed(once, (30, 30, 0, 0), (0, 0, 0)))
    assert (rows.start, rows.stop, columns.start) == (34, 34 + SIZE, 4)


@pytest.mark.parametrize("object_", [box(0, 100, 50, 110), box(40, 120, 30, 150)])
def test_an_object_is_no_frame(object_):
    pixels = np.where(object_, np.array(RED)[:, None, None], 0.9).astype(np.float32)
    assert inside_frame(pixels) == (slice(0, SIZE), slice(0, SIZE))


@pytest.mark.parametrize("object_", [box(20, 140, 20, 140), box(10, 150, 25, 145)])
def test_a_rectangular_object_in_a_margin_is_found(object_):
    got = drawn((object_, RED), background=GREY)
    np.testing.assert_array_equal(got.mask[0].numpy() > 0.5, object_)


def test_all_blank_frames_are_refused_as_before(tmp_path):
    blank = Image.new("RGB", (40, 40), (255, 255, 255))
    path = tmp_path / "a.gif"
    blank.save(path, save_all=True, append_images=[blank.copy()], duration=50)
    with pytest.raises(PromptError, match="nothing in it differs"):
        found(path)
