"""Which word says from where a view is seen: threestudio's rules, as a table."""

import pytest
import torch

from xbind.diffusion.view_words import VIEW_WORDS, turn_of, view_rows


def word(elevation, azimuth, front_deg=45.0, overhead_deg=60.0):
    one = (torch.tensor([float(x)]) for x in (elevation, azimuth))
    (row,) = view_rows(*one, front_deg=front_deg, overhead_deg=overhead_deg).tolist()
    return VIEW_WORDS[row]


@pytest.mark.parametrize(
    ("azimuth", "name"),
    [
        (0, "front"), (44, "front"), (-44, "front"), (316, "front"), (404, "front"),
        (45, "side"), (90, "side"), (-135, "side"), (225, "side"), (270, "side"),
        (136, "back"), (180, "back"), (-136, "back"), (224, "back"), (540, "back"),
    ],
)  # fmt: skip
def test_azimuths(azimuth, name):
    assert word(0, azimuth) == name
    assert word(60, azimuth) == name
    assert word(61, azimuth) == "overhead"


def test_the_front_may_be_narrower():
    """Stages 1 and 3 of threestudio's ProlificDreamer: 30°."""
    assert [word(0, a, 30.0) for a in (29, 31, 149, 151)] == ["front", "side", "side", "back"]


def test_turns_are_angles_from_the_front():
    azimuths = torch.tensor([0.0, 30.0, -30.0, 180.0, 190.0, -190.0, 725.0])
    assert turn_of(azimuths).tolist() == [0, 30, 30, 180, 170, 170, 5]


def test_views_of_a_batch_are_told_apart():
    rows = view_rows(
        torch.tensor([0.0, 80.0, 0.0]), torch.tensor([0.0, 0.0, 180.0]),
        front_deg=45.0, overhead_deg=60.0,
    )  # fmt: skip
    assert [VIEW_WORDS[row] for row in rows.tolist()] == ["front", "overhead", "back"]
