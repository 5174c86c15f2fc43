"""Eq. 11, summed by hand."""

import torch

from xbind.losses.reference import reference_mask_loss, reference_rgb_loss


def test_rgb_term_is_a_mean_over_all_pixels():
    image = torch.zeros(1, 3, 2, 2, requires_grad=True)
    reference = torch.arange(12.0).view(1, 3, 2, 2)
    mask = torch.tensor([[1.0, 0.0], [0.0, 0.5]]).view(1, 1, 2, 2)
    loss = reference_rgb_loss(image, reference, mask)
    want = sum((1.0 * v) ** 2 for v in (0, 4, 8)) + sum((0.5 * v) ** 2 for v in (3, 7, 11))
    torch.testing.assert_close(loss.item(), want / 12)
    loss.backward()
    assert (image.grad[:, :, mask[0, 0] == 0] == 0).all()
    torch.testing.assert_close(image.grad[0, 2, 0, 0].item(), -2 * 8 / 12)


def test_mask_term_is_a_mean_square():
    opacity = torch.tensor([[0.25, 1.0], [0.0, 0.5]]).view(1, 1, 2, 2).requires_grad_()
    mask = torch.tensor([[1.0, 1.0], [0.0, 0.0]]).view(1, 1, 2, 2)
    loss = reference_mask_loss(opacity, mask)
    torch.testing.assert_close(loss.item(), (0.75**2 + 0.5**2) / 4)
    loss.backward()
    assert opacity.grad[0, 0, 0, 0] < 0 < opacity.grad[0, 0, 1, 1]
