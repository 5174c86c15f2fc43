"""Picture files of every kind, and the object they show."""

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from xbind.conditioning import image as module
from xbind.conditioning.errors import PromptError
from xbind.conditioning.foreground import find_foreground
from xbind.conditioning.image import LoadedImage, load_image, to_square

RED = (200, 20, 10)


def disc(height=60, width=80, radius=15, centre=(25, 50), background=(255, 255, 255)):
    """A red disc on a plain background, and its mask."""
    y, x = np.mgrid[:height, :width]
    inside = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2
    pixels = np.where(inside[..., None], RED, background).astype(np.uint8)
    return pixels, inside


def foreground_mask(image, name="the picture"):
    return find_foreground(image.rgb, image.alpha, name).mask


def square_of(image, size, **options):
    return to_square(image.rgb, foreground_mask(image), size, **options)


def saved(tmp_path, picture, name="a.png", **options):
    path = tmp_path / name
    picture.save(path, **options)
    return path


def loaded(pixels, alpha=None):
    rgb = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
    return LoadedImage(rgb, None if alpha is None else torch.from_numpy(alpha).float()[None])


@pytest.mark.parametrize(
    ("mode", "colour"),
    [("RGB", (200, 100, 50)), ("L", 100), ("1", 255), ("P", 7), ("CMYK", (0, 128, 255, 0))],
)
def test_opaque_modes_come_out_as_colours_without_alpha(tmp_path, mode, colour):
    picture = Image.new(mode, (20, 30), colour)
    got = load_image(saved(tmp_path, picture, "a.tif" if mode == "CMYK" else "a.png"))
    assert got.rgb.shape == (3, 30, 20)
    assert got.alpha is None
    want = torch.tensor(picture.convert("RGB").getpixel((0, 0))) / 255
    torch.testing.assert_close(got.rgb[:, 3, 4], want)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_kept_and_colours_are_not_multiplied(tmp_path, mode):
    picture = Image.new("RGBA", (20, 30), (*RED, 64))
    picture.paste((*RED, 255), (0, 0, 5, 30))
    got = load_image(saved(tmp_path, picture.convert(mode)))
    grey = Image.new("RGB", (1, 1), RED).convert("L").getpixel((0, 0))
    want = torch.tensor(RED if mode == "RGBA" else (grey,) * 3) / 255
    torch.testing.assert_close(got.rgb[:, 9, 9], want)
    assert got.alpha[0, 9, 9] == pytest.approx(64 / 255)
    assert got.alpha[0, 9, 2] == 1.0


def test_a_transparent_palette_colour_is_alpha(tmp_path):
    picture = Image.new("P", (20, 20), 1)
    picture.putpalette([0, 0, 0, 200, 20, 10])
    picture.paste(0, (0, 0, 10, 20))
    got = load_image(saved(tmp_path, picture, "a.gif", transparency=0))
    assert got.alpha[0, 5].tolist() == [0.0] * 10 + [1.0] * 10


def test_sixteen_bit_grey_keeps_its_range(tmp_path):
    values = np.linspace(0, 65535, 20 * 30).astype(np.uint16).reshape(30, 20)
    got = load_image(saved(tmp_path, Image.fromarray(values)))
    np.testing.assert_allclose(got.rgb[1].numpy(), values / 65535, atol=1e-6)
    assert got.rgb.shape == (3, 30, 20)


def test_float_grey_outside_of_its_range_is_refused(tmp_path):
    values = np.full((20, 20), 3.0, np.float32)
    with pytest.raises(PromptError, match="outside of what its format calls"):
        load_image(saved(tmp_path, Image.fromarray(values), "a.tif"))


def test_a_turned_photograph_is_upright(tmp_path):
    picture = Image.new("RGB", (40, 20), (0, 0, 0))
    picture.paste((255, 255, 255), (0, 0, 40, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate 90° clockwise to see it": its top row is shown at the right
    got = load_image(saved(tmp_path, picture, "a.jpg", exif=exif, quality=95))
    assert got.rgb.shape == (3, 40, 20)
    assert got.rgb[:, :, 17:].min() > 0.9
    assert got.rgb[:, :, :14].max() < 0.1


def test_a_large_picture_is_reduced(tmp_path):
    picture = Image.new("RGBA", (5000, 500), (*RED, 0))
    picture.paste((*RED, 255), (0, 0, 2500, 500))
    got = load_image(saved(tmp_path, picture))
    assert got.rgb.shape == (3, 205, module.MAX_SIDE)
    torch.testing.assert_close(got.rgb[:, 0, 100], torch.tensor(RED) / 255)


def png_of_size(width, height):
    """A PNG whose header claims a size and whose body is empty."""

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def _encoded(**options):
    buffer = io.BytesIO()
    Image.fromarray(disc()[0]).save(buffer, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "does not exist"),
        (b"", "cannot be read as a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "cannot be read as a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\n", "cannot be read as a picture"),
        (_encoded(format="PCX"), "cannot be read as a picture"),
        (_encoded(format="PNG")[:150], "cannot be read as a picture"),
        (_encoded(format="JPEG")[:400], "cannot be read as a picture"),
        (png_of_size(30_000, 30_000), "more pixels than can be decoded safely"),
        (png_of_size(10_000, 8_000), "has 10000 × 8000 pixels; at most 64 million"),
        (png_of_size(8, 100), "at least 16 × 16"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path, data, message):
    path = tmp_path / "a.png"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(PromptError, match=message) as refusal:
        load_image(path)
    assert f"--image {path}" in str(refusal.value)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(PromptError, match="is a folder"):
        load_image(tmp_path)


def test_a_fully_transparent_picture_is_refused(tmp_path):
    with pytest.raises(PromptError, match="transparent throughout"):
        load_image(saved(tmp_path, Image.new("RGBA", (20, 20), (9, 9, 9, 0))))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM"])
def test_a_damaged_file_is_read_or_refused_but_never_a_crash(tmp_path, kind):
    whole = _encoded(format=kind)
    path = tmp_path / "a"
    random = np.random.default_rng(0)
    for _ in range(40):
        data = bytearray(whole)
        for at in random.integers(0, len(data), 4) // random.integers(1, 30):
            data[at] = random.integers(0, 256)
        path.write_bytes(data)
        with contextlib.suppress(PromptError):
            assert torch.isfinite(load_image(path).rgb).all()


@pytest.mark.parametrize("background", [(255, 255, 255), (30, 60, 200)])
def test_a_disc_on_a_plain_background_is_found(background):
    pixels, inside = disc(background=background)
    np.testing.assert_array_equal(foreground_mask(loaded(pixels))[0].numpy() > 0, inside)


def test_highlights_are_filled_and_a_handles_hole_stays_open():
    pixels, inside = disc(120, 120, 50, (60, 60))
    pixels[60, 60] = pixels[40:42, 40:42] = 255
    pixels[70:84, 50:64] = 255
    inside[70:84, 50:64] = False
    np.testing.assert_array_equal(foreground_mask(loaded(pixels))[0].numpy() > 0, inside)


def test_specks_beside_the_object_are_left_out():
    pixels, inside = disc()
    pixels[3, 3] = pixels[55:57, 5:7] = 0
    np.testing.assert_array_equal(foreground_mask(loaded(pixels))[0].numpy() > 0, inside)


@pytest.mark.parametrize("quality", [75, 95])
def test_a_jpeg_background_is_still_plain(tmp_path, quality):
    pixels, inside = disc()
    path = saved(tmp_path, Image.fromarray(pixels), "a.jpg", quality=quality)
    mask = foreground_mask(load_image(path))[0].numpy() > 0
    assert (mask & inside).sum() / (mask | inside).sum() > 0.85


@pytest.mark.parametrize(
    ("pixels", "why"),
    [
        (np.full((40, 40, 3), 255, np.uint8), "nothing in it differs"),
        (np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8), "no plain colour"),
        (disc(100, 100, 1, (50, 50))[0], "covers 0.1%"),
    ],
)
def test_no_object_is_told_with_what_to_give(pixels, why):
    with pytest.raises(PromptError, match=why) as refusal:
        foreground_mask(loaded(pixels), "cat.png")
    assert "cat.png" in str(refusal.value)
    assert "alpha" in str(refusal.value)


def test_alpha_is_the_mask_whatever_the_background():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    alpha = np.zeros((40, 40), np.float32)
    alpha[10:20, 10:20] = 0.7
    torch.testing.assert_close(foreground_mask(loaded(pixels, alpha))[0].numpy(), alpha)


@pytest.mark.parametrize("with_alpha", [False, True])
@pytest.mark.parametrize(("size", "margin"), [(64, 0.1), (256, 0.1), (64, 0.0), (33, 0.25)])
def test_the_square_centres_the_object_and_keeps_its_share(with_alpha, size, margin):
    pixels, inside = disc(90, 140, 30, (40, 45))
    square = square_of(
        loaded(pixels, inside.astype(np.float32) if with_alpha else None), size, margin=margin
    )
    assert square.rgb.shape == (3, size, size)
    mask = square.mask[0].double()
    grid = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    for axis in (0, 1):
        assert (mask.sum(1 - axis) @ grid / mask.sum()).item() == pytest.approx(0.5, abs=0.01)
    diameter = 1.0 - 2.0 * margin
    assert mask.mean().item() == pytest.approx(torch.pi / 4 * diameter**2, rel=0.04)
    centre = size // 2
    torch.testing.assert_close(square.rgb[:, centre, centre], torch.tensor(RED) / 255)


@pytest.mark.parametrize("background", [0.0, 1.0])
def test_nothing_of_the_old_background_leaks(background):
    pixels, inside = disc(60, 80, 15, (25, 50), background=(0, 255, 0))
    square = square_of(loaded(pixels, inside.astype(np.float32)), 48, background=background)
    red = torch.tensor(RED)[:, None, None] / 255
    want = red * square.mask + background * (1 - square.mask)
    torch.testing.assert_close(square.rgb, want.float(), atol=1e-5, rtol=0)


def test_an_object_at_the_border_is_padded():
    pixels, inside = disc(60, 80, 20, (5, 3))
    square = square_of(loaded(pixels, inside.astype(np.float32)), 64)
    corners = square.rgb[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    torch.testing.assert_close(corners, torch.ones(3, 4))
    rows = square.mask[0].amax(1).nonzero()
    # the window begins at a whole pixel of the picture, which is 1.7 of the square's
    assert (rows.min() + rows.max()).item() == pytest.approx(63, abs=2)
