"""The grid of sampled views, and the frame around the chosen one."""

import pytest
import torch

from xbind.conditioning.contact_sheet import CHOSEN, GAP, contact_sheet


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (5, 3, 2), (24, 5, 5)])
def test_every_picture_is_shown_once_in_a_square_grid(count, columns, rows):
    values = (torch.arange(count) + 0.5) / 64
    images = values[:, None, None, None].expand(count, 3, 4, 6)
    sheet = contact_sheet(images, count - 1)
    assert sheet.shape == (3, rows * (4 + GAP) + GAP, columns * (6 + GAP) + GAP)
    for i, value in enumerate(values.tolist()):
        top, left = i // columns * (4 + GAP) + GAP, i % columns * (6 + GAP) + GAP
        assert (sheet[:, top : top + 4, left : left + 6] == value).all()
        assert (sheet == value).sum() == 3 * 4 * 6


def test_only_the_chosen_one_has_a_frame():
    sheet = contact_sheet(torch.zeros(4, 3, 8, 8), 1)
    red = (sheet == torch.tensor(CHOSEN)[:, None, None]).all(0)
    assert red.sum() == (8 + 2 * GAP) ** 2 - 64
    assert red[:, : 8 + GAP].sum() == 0
    assert red[8 + 2 * GAP :].sum() == 0
