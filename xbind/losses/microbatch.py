"""A guidance step on a few views at a time: the same loss and gradient, less memory."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from xbind.losses.step import GuidanceStep


class MicroBatched:
    """A step that calls another one with `count` rows of its first input at a time."""

    def __init__(
        self,
        step: GuidanceStep,
        count: int,
        *,
        reduction: Literal["mean", "sum"] = "mean",
        shared: Sequence[str] = (),
    ) -> None:
        """Take the step and how it puts rows together.

        Args:
            step: computes a microbatch.
            count: rows at a time; the last microbatch may have fewer.
            reduction: whether its loss is a mean over rows, or a sum with weights among its feeds.
            shared: feeds that all rows have in common; every other one has a row per view, or is
                one number. Outputs of a loss of such a feed are means over rows too.
        """
        self._step, self._count, self._reduction = step, count, reduction
        self._shared = frozenset(shared)
        self.inputs, self.outputs = step.inputs, step.outputs

    def __call__(self, image: Tensor, /, **feeds: Tensor) -> tuple[Tensor, ...]:
        """Return one tensor for each of `outputs`, as if all rows had been given at once."""
        if len(image) <= self._count:
            return self._step(image, **feeds)
        total: dict[str, list[Tensor]] = {name: [] for name in self.outputs}
        for first in range(0, len(image), self._count):
            rows = slice(first, first + self._count)
            own = {k: x if k in self._shared or not x.ndim else x[rows] for k, x in feeds.items()}
            views = image[rows]
            share = len(views) / len(image) if self._reduction == "mean" else 1.0
            for name, output in zip(self.outputs, self._step(views, **own), strict=True):
                total[name].append(share * output)
        return tuple(
            torch.cat(parts) if name == self.outputs[1] else torch.stack(parts).sum(0)
            for name, parts in total.items()
        )
