"""Interface of a guidance step, and the call of one in an optimisation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from xbind.diffusion.errors import GuidanceError


@runtime_checkable
class GuidanceStep(Protocol):
    """A pure function of tensors, run by torch or by an engine: same feeds, same outputs.

    It draws no random number and holds nothing that changes between two calls: noise, timesteps,
    weights and conditions are all feeds.
    """

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the feeds in the order of the graph; the first is differentiated."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs: `loss` and `x_bar` = ∂loss/∂(first input).

        A step that also trains a feed, such as `theta`, has `loss_theta` and `theta_bar` as well:
        a loss of its own, and ∂loss_theta/∂theta.
        """

    def __call__(self, image: Tensor, /, **feeds: Tensor) -> tuple[Tensor, ...]:
        """Return one tensor for each of `outputs`."""


class _Guided(Function):
    """loss = f(x) of a step that has computed x̄ = ∂f/∂x beside it."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        image: Tensor,
        outputs: tuple[Tensor, ...],
    ) -> Tensor:
        del image
        loss, x_bar = outputs
        ctx.save_for_backward(x_bar)
        return loss

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,  # noqa: ANN401
        loss_bar: Tensor,
    ) -> tuple[Tensor, None]:
        (x_bar,) = ctx.saved_tensors
        return loss_bar * x_bar, None


@dataclass(frozen=True, slots=True, eq=False)
class StepCall:
    """A guidance step with everything that it is given, not run yet.

    Raises:
        GuidanceError: the feeds are not those that the step names.
    """

    step: GuidanceStep
    """An eager step or an engine."""
    image: Float[Tensor, "b c h w"]
    """The step's first input."""
    feeds: Mapping[str, Tensor]
    """Its other inputs by name."""

    def __post_init__(self) -> None:
        wanted = self.step.inputs[1:]
        if self.feeds.keys() != set(wanted):
            raise GuidanceError(
                f"{type(self.step).__name__} takes the feeds {sorted(wanted)}, got "
                f"{sorted(self.feeds)}.\n"
                "Give every feed of `step.inputs` by its name, and no other."
            )

    @torch.no_grad()
    def run(self) -> tuple[Tensor, ...]:
        """The step's outputs. Any thread may call it: nothing is recorded for autograd."""
        return self.step(self.image.detach(), **{k: x.detach() for k, x in self.feeds.items()})

    def losses_of(self, outputs: tuple[Tensor, ...]) -> tuple[Float[Tensor, ""], ...]:
        """The losses among the outputs of `run`.

        The first is differentiable once in `image` alone; each other one, of a feed that the step
        trains, in that feed alone.
        """
        found = dict(zip(self.step.outputs, outputs, strict=True))
        trained = [name for name in self.step.inputs[1:] if f"{name}_bar" in found]
        return (
            _guided(self.image, *outputs[:2]),
            *(
                _guided(self.feeds[name], found[f"loss_{name}"], found[f"{name}_bar"])
                for name in trained
            ),
        )

    def losses(self) -> tuple[Float[Tensor, ""], ...]:
        """Run the step; returns its losses as `losses_of` does."""
        return self.losses_of(self.run())

    def loss(self) -> Float[Tensor, ""]:
        """Run the step; returns its loss, differentiable once in `image` alone."""
        return self.losses()[0]


def _guided(x: Tensor, loss: Tensor, x_bar: Tensor) -> Tensor:
    guided: Tensor = _Guided.apply(x, (loss, x_bar))  # type: ignore[no-untyped-call]
    return guided


def guide(
    step: GuidanceStep, image: Float[Tensor, "b c h w"], **feeds: Tensor
) -> Float[Tensor, ""]:
    """Run a guidance step as one call that is differentiable in the image.

    Args:
        step: an eager step or an engine.
        image: the step's first input; the others go by name.

    Returns:
        The loss, differentiable once in `image` and in nothing else.

    Raises:
        GuidanceError: the feeds are not those that the step names.
    """
    return StepCall(step, image, feeds).loss()
