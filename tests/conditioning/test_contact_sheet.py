"""The grid of sampled views, and the frame around the chosen one."""

import pytest
import torch

from xbind.conditioning.contact_sheet import CHOSEN, GAP, columns_of, contact_sheet, strip_of


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (5, 3, 2), (24, 5, 5)])
def test_every_picture_is_shown_once_in_a_square_grid(count, columns, rows):
    values = (torch.arange(count) + 0.5) / 64
    images = values[:, None, None, None].expand(count, 3, 4, 6)
    sheet = contact_sheet(images, count - 1)
    cell = strip_of(4) + 4 + GAP
    assert sheet.shape == (3, rows * cell + GAP, columns * (6 + GAP) + GAP)
    assert columns_of(count) == columns
    for i, value in enumerate(values.tolist()):
        top, left = i // columns * cell + strip_of(4) + GAP, i % columns * (6 + GAP) + GAP
        assert (sheet[:, top : top + 4, left : left + 6] == value).all()
        assert (sheet == value).sum() == 3 * 4 * 6


def test_only_the_chosen_one_has_a_frame():
    sheet = contact_sheet(torch.zeros(4, 3, 8, 8), 1)
    red = (sheet == torch.tensor(CHOSEN)[:, None, None]).all(0)
    assert red.sum() == (8 + 2 * GAP) ** 2 - 64
    assert red[:, : 8 + GAP].sum() == 0
    assert red[strip_of(8) + 8 + 2 * GAP :].sum() == 0


@pytest.mark.parametrize("side", [64, 480])
def test_every_picture_has_its_number_above_it(side):
    """Equal digits give equal strips; 11 has twice the ink of 1."""
    sheet = contact_sheet(torch.ones(12, 3, side, side), 11)
    strip, cell = strip_of(side), strip_of(side) + side + GAP
    ink = [
        (0.8 - sheet[0, row * cell + GAP : row * cell + strip, left : left + side + GAP]).sum()
        for row in range(3)
        for left in range(GAP, 4 * (side + GAP), side + GAP)
    ]
    assert min(ink) > 1
    assert len({round(float(x), 3) for x in ink[:9]}) > 6
    torch.testing.assert_close(ink[10], 2 * ink[0], rtol=0.1, atol=0)
