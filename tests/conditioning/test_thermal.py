"""Thermal pictures."""

import numpy as np
import pytest
import torch
from PIL import Image

from xbind.conditioning.errors import PromptError
from xbind.conditioning.thermal import load_thermal


def test_grey_values_are_kept(tmp_path):
    values = np.arange(400, dtype=np.uint8).reshape(20, 20)
    Image.fromarray(values).save(tmp_path / "a.png")
    got = load_thermal(tmp_path / "a.png")
    torch.testing.assert_close(got, torch.from_numpy(values / 255).float()[None])


def test_colours_become_pillow_s_grey(tmp_path):
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8))
    picture.save(tmp_path / "a.png")
    want = torch.from_numpy(np.asarray(picture.convert("L")) / 255).float()[None]
    torch.testing.assert_close(load_thermal(tmp_path / "a.png"), want, rtol=0, atol=1 / 255)


def test_a_flat_picture_and_a_missing_one_are_refused(tmp_path):
    Image.new("L", (20, 20), 90).save(tmp_path / "a.png")
    with pytest.raises(PromptError, match=r"--thermal .*a\.png is one flat grey"):
        load_thermal(tmp_path / "a.png")
    with pytest.raises(PromptError, match=r"--thermal .*b\.png does not exist"):
        load_thermal(tmp_path / "b.png")
