"""Depth maps of every kind to disparity."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from xbind.conditioning.depth import load_depth, normalise_depth
from xbind.conditioning.depth_background import cut_near
from xbind.conditioning.errors import PromptError
from xbind.conditioning.prompt import encode_prompt
from xbind.config.options import PromptConfig
from xbind.models.inputs import DepthConfig
from xbind.networks.load import load_bundle
from xbind.networks.manifest import load_manifest

PICTURES = Path(__file__).parent.parent / "data/pictures"

MILLIMETRES = np.linspace(500, 4000, 20 * 30).astype(np.uint16).reshape(20, 30)
MILLIMETRES[:3] = 0


def inverse(metres):
    return np.divide(1.0, metres, out=np.zeros(metres.shape), where=metres > 0)


def written(tmp_path, name, values):
    path = tmp_path / name
    if name.endswith(".npy"):
        np.save(path, values)
    else:
        Image.fromarray(values).save(path)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.npy"])
def test_whole_numbers_are_millimetres(tmp_path, name):
    got = load_depth(written(tmp_path, name, MILLIMETRES))
    assert got.shape == (1, 20, 30)
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got[0], inverse(MILLIMETRES / 1000.0), rtol=1e-6)


@pytest.mark.parametrize("name", ["a.tif", "a.npy"])
def test_floats_are_metres_and_what_is_not_finite_is_not_measured(tmp_path, name):
    metres = (MILLIMETRES / 1000.0).astype(np.float32)
    holes = metres.copy()
    holes[5, :2] = np.nan, np.inf
    metres[5, :2] = 0.0
    got = load_depth(written(tmp_path, name, holes))
    np.testing.assert_allclose(got[0], inverse(metres), rtol=1e-6)


def test_eight_bits_and_equal_channels_are_read(tmp_path):
    values = (MILLIMETRES // 16).astype(np.uint8)
    want = load_depth(written(tmp_path, "a.png", values))
    np.testing.assert_allclose(want[0], inverse(values / 1000.0), rtol=1e-6)
    three = load_depth(written(tmp_path, "b.png", np.repeat(values[..., None], 3, -1)))
    torch.testing.assert_close(three, want)


def test_disparity_stays_as_it_is(tmp_path):
    got = load_depth(written(tmp_path, "a.npy", MILLIMETRES), "disparity")
    np.testing.assert_array_equal(got[0], MILLIMETRES.astype(np.float32))


def test_metric_normalisation_is_imagebinds():
    # bf = 38.9 px m: at 2 m 19.46 px of 75; at 0.1 m clamped; nothing measured is 0 px.
    got = normalise_depth(torch.tensor([[[0.5, 10.0, 0.0]]]))
    want = [(0.075 * 518.857901 / 2.0 / 75.0 - 0.0418) / 0.0295, (1 - 0.0418) / 0.0295]
    torch.testing.assert_close(got, torch.tensor([[[*want, -0.0418 / 0.0295]]]))


def test_relative_normalisation_ignores_the_unit():
    config = DepthConfig(scale="relative", mean=0.0, std=1.0)
    values = torch.tensor([[[0.5, 0.25, 0.0]]])
    for unit in (1.0, 1000.0, 1e-6):
        torch.testing.assert_close(
            normalise_depth(unit * values, config), torch.tensor([[[1.0, 0.5, 0.0]]])
        )


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("a.npy", np.zeros((20, 20), np.float32), "next to no measurement"),
        ("a.npy", np.full((20, 20), np.nan), "next to no measurement"),
        ("a.npy", np.full((20, 20), 2.0), "is flat"),
        ("a.npy", np.linspace(-1, 1, 400).reshape(20, 20), "negative distances"),
        ("a.npy", np.ones((20, 20, 3)), "not one 2D array"),
        ("a.npy", np.ones((4, 40)), "has the shape"),
        ("a.npy", np.full((20, 20), "far"), "not numbers"),
        ("a.npy", np.full((20, 20), {}), "cannot be read as a NumPy array"),
        ("a.png", np.random.default_rng(0).integers(0, 255, (20, 20, 3), np.uint8), "colours are"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path, name, values, message):
    path = tmp_path / name
    if values.dtype == object:
        np.save(path, values, allow_pickle=True)
    else:
        written(tmp_path, name, values)
    with pytest.raises(PromptError, match=message) as refusal:
        load_depth(path)
    assert f"--depth {path}" in str(refusal.value)


@pytest.mark.parametrize("name", ["a.png", "a.npy"])
@pytest.mark.parametrize("data", [None, b"", b"neither", b"\x93NUMPY\x01\x00", b"PK\x03\x04"])
def test_missing_and_damaged_files_are_refused(tmp_path, name, data):
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(PromptError, match="does not exist" if data is None else "cannot be read"):
        load_depth(path)


def test_an_archive_of_arrays_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", a=MILLIMETRES)
    path = (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(PromptError, match="cannot be read as a NumPy array"):
        load_depth(path)


def test_an_array_that_claims_terabytes_is_refused(tmp_path):
    path = tmp_path / "a.npy"
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (1 << 20, 1 << 20)}
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(PromptError, match="cannot be read as a NumPy array"):
        load_depth(path)


def scene(wall, near=None):
    """Metres: a disc at 1 m in front of `wall` [64, 64]."""
    y, x = np.mgrid[:64, :64]
    near = (y - 32) ** 2 + (x - 30) ** 2 < 14**2 if near is None else near
    return np.where(near, 1.0, wall).astype(np.float32), near


Y, X = np.mgrid[:64, :64]
WALLS = {
    "far": np.full((64, 64), 4.0),
    "close": np.full((64, 64), 1.15),
    "slanted": 1 / (0.3 + 0.004 * X + 0.002 * Y),
    "room": np.where(Y < 34, 3.0, 3.0 - (Y - 34) * 0.03),
}


@pytest.mark.parametrize("wall", WALLS)
def test_the_near_object_is_cut_out_of_a_scene(wall):
    metres, near = scene(WALLS[wall])
    got, message = cut_near(torch.from_numpy(1 / metres)[None])
    np.testing.assert_allclose(got[0].numpy(), np.where(near, 1 / metres, 0))
    assert "left out" in message


def test_an_object_that_cannot_be_told_from_what_is_behind_is_said():
    metres, _ = scene(3.0 - 0.04 * Y, near=np.zeros((64, 64), bool))
    inverse = torch.from_numpy((1 / (metres + 0.4 * np.sin(X / 5))).astype(np.float32))[None]
    got, message = cut_near(inverse)
    assert got is inverse
    assert "cannot be told" in message


def test_a_map_of_one_object_stays_as_it_is():
    metres, near = scene(np.inf)
    inverse = torch.from_numpy(np.where(near, 1 / metres, 0).astype(np.float32))[None]
    assert cut_near(inverse) == (inverse, None)


@pytest.mark.parametrize(("name", "wall"), [("d16.png", False), ("mug_depth_wall16.png", True)])
def test_a_mug_s_depth_map_is_heard_as_a_mug(name, wall):
    bind = load_bundle(load_manifest("mini")).bind
    got = encode_prompt(PromptConfig(depth=PICTURES / name), bind, 64)
    things = bind.groups["things"]
    cosines = [encode_prompt(PromptConfig(text=t), bind, 64).c_m @ got.c_m for t in things]
    assert things[int(torch.stack(cosines).argmax())] == "mug"
    assert bool(got.warnings) == wall


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("a.jpg", {}, "JPEG"),
        ("a.webp", {}, "lossy WebP"),
        ("a.avif", {}, "AVIF"),
        ("a.tif", {"compression": "jpeg"}, "JPEG in TIFF"),
        ("a.png", {"format": "JPEG"}, "JPEG"),
    ],
)
def test_lossy_files_are_refused_by_name(tmp_path, name, options, kind):
    values = (MILLIMETRES // 16).astype(np.uint8)
    path = tmp_path / name
    Image.fromarray(values).convert("RGB").save(path, **options)
    with pytest.raises(PromptError, match=f"is a lossy picture \\({kind}\\)"):
        load_depth(path)


def test_a_lossless_webp_is_read(tmp_path):
    values = (MILLIMETRES // 16).astype(np.uint8)
    Image.fromarray(values).convert("RGB").save(tmp_path / "a.webp", lossless=True)
    torch.testing.assert_close(
        load_depth(tmp_path / "a.webp"), load_depth(written(tmp_path, "a.png", values))
    )


@pytest.mark.parametrize("odd", [1e-40, 1e-30, -np.inf, np.nan, 1e300])
@pytest.mark.parametrize("kind", ["depth", "disparity"])
def test_vanishing_and_infinite_values_are_not_measured(tmp_path, odd, kind):
    metres = MILLIMETRES.astype(np.float64) / 1000
    metres[5, 5] = odd
    got = load_depth(written(tmp_path, "a.npy", metres), kind)
    assert torch.isfinite(got).all()
    assert got[0, 5, 5] == 0 or (kind, odd) == ("disparity", 1e-30)
