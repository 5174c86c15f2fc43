"""An object is told from backgrounds of many kinds, and refused where it cannot be told."""

import numpy as np
import pytest
import torch

from xbind.algorithm.reference_view import sampled_mask
from xbind.conditioning.background import NoObject, cut_out
from xbind.conditioning.errors import PromptError
from xbind.conditioning.foreground import find_foreground
from xbind.config.presets import ReferenceConfig

SIZE = 128
Y, X = np.mgrid[:SIZE, :SIZE] / (SIZE - 1) * 2 - 1
OBJECTS = {
    "disc": X**2 + Y**2 < 0.3,
    "ring": (X**2 + Y**2 < 0.4) & (X**2 + Y**2 > 0.1),
    "cut by the side": (np.abs(Y) < 0.3) & (X > -0.2),
}


def flat(r, g, b):
    return np.array([r, g, b])[:, None, None] * np.ones_like(X)


def noise(strength):
    return strength * np.random.default_rng(0).normal(size=(3, SIZE, SIZE))


BACKGROUNDS = {
    "grey": flat(0.6, 0.6, 0.6),
    "blue": flat(0.2, 0.3, 0.7),
    "from dark to light": flat(0.5, 0.5, 0.5) + 0.35 * (X + 0.3 * Y),
    "a floor's vignette": flat(0.75, 0.74, 0.7) - 0.2 * (X**2 + Y**2),
    "noisy grey": flat(0.55, 0.55, 0.55) + noise(0.03),
    "noisy gradient": flat(0.5, 0.5, 0.55) + 0.2 * Y + noise(0.02),
}
STRIPES = (np.floor(8 * (X + Y)) % 3 * 0.4 + 0.1) * np.ones((3, 1, 1))


def picture(background, inside, colour=(0.75, 0.15, 0.1)):
    shade = 1 - 0.3 * (X + Y) / 2
    paint = np.array(colour)[:, None, None] * shade
    return np.clip(np.where(inside, paint, background), 0, 1).astype(np.float32)


def overlap(found, wanted):
    return (found & wanted).sum() / (found | wanted).sum()


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("shape", OBJECTS)
def test_the_mask_is_the_object(background, shape):
    inside = OBJECTS[shape]
    found = cut_out(picture(BACKGROUNDS[background], inside))
    assert overlap(found, inside) > 0.93


def test_specks_are_left_out():
    inside = OBJECTS["disc"]
    speck = (X + 0.8) ** 2 + (Y + 0.8) ** 2 < 0.003
    found = cut_out(picture(BACKGROUNDS["grey"], inside | speck))
    assert not found[speck].any()


def test_a_dark_object_stands_out_from_dark_and_light_alike():
    inside = OBJECTS["disc"]
    for grey in (0.25, 0.9):
        found = cut_out(picture(flat(grey, grey, grey), inside, (0.05, 0.05, 0.05)))
        assert overlap(found, inside) > 0.93


@pytest.mark.parametrize(
    ("background", "why"),
    [
        (STRIPES, "its border has no plain"),
        (flat(0.5, 0.5, 0.5) + noise(0.3), "its border has no plain"),
        (flat(0.75, 0.15, 0.1) * (1 - 0.3 * (X + Y) / 2), "nothing in it differs"),
    ],
    ids=["stripes", "only noise", "of the object's own colour"],
)
def test_what_cannot_be_told_is_refused(background, why):
    image = picture(background, OBJECTS["disc"])
    with pytest.raises(NoObject, match=why):
        cut_out(image)
    assert sampled_mask(torch.from_numpy(image), ReferenceConfig()) is None


def test_a_sampled_view_on_grey_has_a_mask():
    inside = OBJECTS["ring"]
    mask = sampled_mask(
        torch.from_numpy(picture(BACKGROUNDS["from dark to light"], inside)), ReferenceConfig()
    )
    assert mask.shape == (1, SIZE, SIZE)
    assert overlap(mask[0].numpy() > 0.5, inside) > 0.93


def test_a_user_s_picture_on_a_gradient_has_a_mask_and_one_on_stripes_a_message():
    inside = OBJECTS["disc"]
    image = picture(flat(0.5, 0.5, 0.5) + 0.45 * Y, inside)
    mask = find_foreground(torch.from_numpy(image), None, "a.png").mask
    assert overlap(mask[0].numpy() > 0.5, inside) > 0.93
    image = torch.from_numpy(picture(STRIPES, inside))
    with pytest.raises(PromptError, match="No object can be told from the background"):
        find_foreground(image, None, "a.png")
