"""Pictures, sounds and arrays become files that the loaders read as what they were."""

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from xbind.conditioning.depth import load_depth
from xbind.conditioning.errors import PromptError
from xbind.conditioning.image import load_image
from xbind.run.inputs import remove_unused, store_inputs


def stored(tmp_path, **values):
    return store_inputs(values, tmp_path)


def pixels(kind=np.uint8, channels=3):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (32, 24, channels)).astype(kind)


def test_a_picture_and_its_arrays_are_one_file(tmp_path):
    array = pixels()
    image = Image.fromarray(array)
    paths = {stored(tmp_path, image=x)["image"] for x in (array, image, np.float32(array / 255))}
    assert len(paths) == 1
    loaded = load_image(paths.pop())
    np.testing.assert_allclose(loaded.rgb.permute(1, 2, 0) * 255, array, atol=1e-3)
    assert loaded.alpha is None


def test_floats_are_rounded(tmp_path):
    path = stored(tmp_path, image=np.full((32, 32, 3), 99.6 / 255))["image"]
    assert np.asarray(Image.open(path)).max() == 100


@pytest.mark.parametrize("value", [pixels(channels=4), Image.fromarray(pixels(channels=4))])
def test_an_alpha_channel_stays(tmp_path, value):
    loaded = load_image(stored(tmp_path, image=value)["image"])
    np.testing.assert_allclose(loaded.alpha[0] * 255, pixels(channels=4)[..., 3], atol=1e-3)


def test_a_mask_may_be_true_and_false(tmp_path):
    mask = pixels()[..., 0] > 100
    path = stored(tmp_path, mask=mask)["mask"]
    np.testing.assert_array_equal(np.asarray(Image.open(path)) > 0, mask)


@pytest.mark.parametrize("channels", [(), (2,)])
@pytest.mark.parametrize("kind", ["float32", "float64", "int16", "int32"])
def test_a_sound_keeps_its_samples_and_rate(tmp_path, kind, channels):
    rng = np.random.default_rng(0)
    samples = rng.uniform(-1, 1, (800, *channels))
    whole = np.dtype(kind).kind == "i"
    samples = (samples * np.iinfo(kind).max if whole else samples).astype(kind)
    path = stored(tmp_path, audio=(samples, 8000))["audio"]
    found, rate = soundfile.read(path, dtype=kind)
    assert rate == 8000
    np.testing.assert_array_equal(found, samples)


def test_depth_in_metres_millimetres_and_pictures(tmp_path):
    metres = np.linspace(1, 3, 32 * 32).reshape(32, 32)
    millimetres = (1000 * metres).round().astype(np.uint16)
    wanted = 1 / metres
    for value in (
        metres,
        torch.from_numpy(metres).requires_grad_(),
        Image.fromarray(metres.astype(np.float32)),
        millimetres,
        Image.fromarray(millimetres),
    ):
        found = load_depth(stored(tmp_path, depth=value)["depth"])
        np.testing.assert_allclose(found[0], wanted, rtol=1e-3)


def test_paths_text_and_numbers_pass_through(tmp_path):
    values = {"text": "a mug", "image": "a.png", "audio": tmp_path / "a.wav", "video": "b.gif",
              "elevation": 3.0, "exact_words": True, "depth": None,
              "depth_kind": "disparity"}  # fmt: skip
    found = store_inputs(values, tmp_path)
    assert found == values | {"image": type(tmp_path)("a.png"), "video": type(tmp_path)("b.gif")}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("image", 3.5j, "image must be the path of a file, a PIL image or an array, got complex"),
        ("image", np.zeros((3, 8, 8), np.uint8), r"got shape \[3, 8, 8\].\nMove the channels"),
        ("image", np.zeros((8, 8, 3)) - 0.1, r"floats in \[0, 1\], got -0.1"),
        ("image", np.full((8, 8, 3), 255.0), r"floats in \[0, 1\], got 255 … 255"),
        ("image", np.full((8, 8, 3), np.nan), r"floats in \[0, 1\], got nan"),
        ("image", np.zeros((8, 8, 3), np.int64), "uint8. or floats in .*, got int64"),
        ("image", np.array(["a"]), "with numbers in it; got <U1"),
        ("image", np.zeros((0, 8, 3), np.uint8), r"with numbers in it; got uint8, shape \[0"),
        ("image", np.array([object()]), "with numbers in it; got object"),
        ("audio", np.zeros(8), "samples and their rate, as in .samples, 16000.; got ndarray"),
        ("audio", (16000, np.zeros(8)), "the rate is array"),
        ("audio", (np.zeros(8), 0), "the rate is 0"),
        ("audio", (np.zeros((2, 44100)), 44100), r"got shape \[2, 44100\].\nMove the channels"),
        ("audio", (np.zeros(8, np.uint8), 44100), "audio must hold float32, .* got uint8"),
        ("imu", object(), "imu must be the path of a file or an array, got object"),
        ("video", np.zeros((3, 8, 8, 3)), "video must be the path of a file, got ndarray"),
        ("matting_weights", b"x", "matting_weights must be the path of a file, got bytes"),
    ],
)
def test_what_is_neither_is_refused_by_name(tmp_path, name, value, message):
    with pytest.raises(PromptError, match=message):
        stored(tmp_path, **{name: value})
    assert list(tmp_path.iterdir()) == []


def test_only_files_that_were_made_here_are_removed(tmp_path):
    first = stored(tmp_path, image=pixels())["image"]
    second = stored(tmp_path, image=255 - pixels())["image"]
    own = tmp_path / "inputs" / "holiday.png"
    own.write_bytes(b"x")
    remove_unused(tmp_path, {"image": str(second), "text": "a mug", "audio": None})
    assert {p.name for p in (tmp_path / "inputs").iterdir()} == {second.name, own.name}
    assert not first.exists()
    own.unlink()
    remove_unused(tmp_path, {})
    assert not (tmp_path / "inputs").exists()
