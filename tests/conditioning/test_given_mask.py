"""The mask that a user gives, and the one of a network of the user's own."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image

from xbind.conditioning.errors import PromptError
from xbind.conditioning.given_mask import load_mask
from xbind.conditioning.matting import MEAN, STD, matte

PICTURE = np.zeros((60, 80), np.uint8)
PICTURE[20:50, 30:60] = 255


def saved(tmp_path, values, name="m.png"):
    path = tmp_path / name
    Image.fromarray(values).save(path)
    return path


def loaded(path, size=(60, 80), picture="cat.jpg"):
    return load_mask(path, size, picture)


def test_white_is_the_object(tmp_path):
    got = loaded(saved(tmp_path, PICTURE))
    np.testing.assert_array_equal(got.mask[0].numpy(), PICTURE / 255)
    assert (got.source, got.verdict) == ("file", "sure")


def test_alpha_goes_before_grey(tmp_path):
    rgba = np.dstack([np.full((60, 80, 3), 90, np.uint8), PICTURE])
    np.testing.assert_allclose(loaded(saved(tmp_path, rgba)).mask[0].numpy(), PICTURE / 255)


def test_the_same_aspect_is_resized(tmp_path):
    got = loaded(saved(tmp_path, PICTURE), (120, 160))
    assert got.mask.shape == (1, 120, 160)
    assert got.mask[0, 70, 90] == 1.0
    assert got.mask[0, 20, 20] == 0.0


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.zeros((60, 60), np.uint8) + np.eye(60, dtype=np.uint8) * 255, "has 60 × 60 pixels"),
        (PICTURE * 0 + 4, "marks 0.0% of the picture"),
        (PICTURE * 0 + 255, "marks 100.0% of the picture"),
        (np.dstack([PICTURE, PICTURE * 0, PICTURE * 0]), "is a colour picture"),
    ],
)
def test_what_is_no_mask_of_the_picture_is_refused(tmp_path, values, why):
    path = saved(tmp_path, values)
    with pytest.raises(PromptError, match=why) as refusal:
        loaded(path)
    assert f"--mask {path}" in str(refusal.value)


def test_a_mask_that_is_white_all_around_is_in_doubt(tmp_path):
    got = loaded(saved(tmp_path, 255 - PICTURE))
    assert "white all around" in got.warning("cat.jpg")


def network(path, side=64, output="mask", kind=TensorProto.FLOAT):
    """A fake U²-Net: how red a pixel is, out of ImageNet's normalisation."""
    nodes = [
        helper.make_node("Slice", ["x", "first", "second", "axes"], ["red"]),
        helper.make_node("Slice", ["x", "second", "third", "axes"], ["green"]),
        helper.make_node("Sub", ["red", "green"], [output]),
    ]
    numbers = {"first": [0], "second": [1], "third": [2], "axes": [1]}
    constants = [helper.make_tensor(k, TensorProto.INT64, [1], v) for k, v in numbers.items()]
    if kind != TensorProto.FLOAT:
        nodes[0] = helper.make_node("Identity", ["x"], [output])
        nodes, constants = nodes[:1], []
    graph = helper.make_graph(
        nodes, "u2net",
        [helper.make_tensor_value_info("x", kind, [1, 3, side, side])],
        [helper.make_tensor_value_info(output, kind, None)], constants,
    )  # fmt: skip
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def scene():
    """A red square on a photograph's noise of grey values, which no border tells."""
    grey = torch.rand(1, 96, 128, generator=torch.Generator().manual_seed(0))
    rgb = grey.expand(3, -1, -1).clone()
    rgb[:, 20:80, 30:90] = torch.tensor([0.9, 0.1, 0.1])[:, None, None]
    return rgb


def test_a_network_finds_what_no_plain_background_tells(tmp_path):
    got = matte(scene(), network(tmp_path / "net.onnx"), "cat.jpg")
    inside = torch.zeros(96, 128, dtype=torch.bool)
    inside[20:80, 30:90] = True
    found = got.mask[0] > 0.5
    assert (found & inside).sum() / (found | inside).sum() > 0.9
    assert got.source == "network"


def test_the_network_sees_imagenet_s_normalisation(tmp_path):
    flat = torch.full((3, 64, 64), 0.5)
    flat[:, :, :32] = 1.0  # the largest value is divided by first
    got = matte(flat, network(tmp_path / "net.onnx"), "cat.jpg")
    sides = [(v - MEAN[0]) / STD[0] - (v - MEAN[1]) / STD[1] for v in (1.0, 0.5)]
    assert (sides[0] > sides[1]) == bool(got.mask[0, 32, 5] > got.mask[0, 32, 60])


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path, "does not exist"),
        (lambda path: path.write_bytes(b"no network") and path, "cannot be used"),
        (lambda path: network(path, kind=TensorProto.DOUBLE), "is not one picture"),
        (lambda path: network(path, side=4096), "a side of 4096 pixels"),
    ],
)
def test_a_file_that_is_no_such_network_is_refused(tmp_path, make, why):
    path = make(tmp_path / "net.onnx")
    with pytest.raises(PromptError, match=why) as refusal:
        matte(scene(), path, "cat.jpg")
    assert f"--matting-weights {path}" in str(refusal.value)


def test_a_network_that_sees_nothing_is_no_mask(tmp_path):
    with pytest.raises(PromptError, match="the network sees no object"):
        matte(torch.full((3, 64, 64), 0.0), network(tmp_path / "net.onnx"), "cat.jpg")
