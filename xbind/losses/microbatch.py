"""A guidance step on a few views at a time: the same loss and gradient, less memory."""

from typing import Literal

import torch
from torch import Tensor

from xbind.losses.step import GuidanceStep

SHARED = ("eps_star", "class_labels", "reference_latent", "c_m", "cfg_scale", "clamp", "w_img")
"""Feeds that all views have in common; every other one has a row per view."""


class InParts:
    """A step that calls another one with `count` rows of its first input at a time."""

    def __init__(
        self, step: GuidanceStep, count: int, *, reduction: Literal["mean", "sum"] = "mean"
    ) -> None:
        """Take the step and how it puts rows together.

        Args:
            step: what computes.
            count: rows at a time; the last part may have fewer.
            reduction: whether its loss is a mean over rows, or a sum with weights among its feeds.
        """
        self._step, self._count, self._reduction = step, count, reduction
        self.inputs, self.outputs = step.inputs, step.outputs

    def __call__(self, image: Tensor, /, **feeds: Tensor) -> tuple[Tensor, ...]:
        """Return one tensor for each of `outputs`, as if all rows had been given at once."""
        if len(image) <= self._count:
            return self._step(image, **feeds)
        losses, gradients = [], []
        for first in range(0, len(image), self._count):
            rows = slice(first, first + self._count)
            own = {k: x if k in SHARED or not x.ndim else x[rows] for k, x in feeds.items()}
            loss, x_bar = self._step(image[rows], **own)
            share = len(x_bar) / len(image) if self._reduction == "mean" else 1.0
            losses.append(share * loss)
            gradients.append(share * x_bar)
        return torch.stack(losses).sum(), torch.cat(gradients)
