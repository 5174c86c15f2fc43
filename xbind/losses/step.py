"""Interface of a guidance step, and the call of one in an optimisation."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

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
        """Names of the feeds in the order of the graph; the first is the one differentiated."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs: `loss` and `x_bar` = ∂loss/∂(first input)."""

    def __call__(self, image: Tensor, /, **feeds: Tensor) -> tuple[Tensor, ...]:
        """Return one tensor for each of `outputs`."""


class _Guided(Function):
    """loss = f(x) by a step that has computed x̄ = ∂f/∂x beside it."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        image: Tensor,
        step: GuidanceStep,
        feeds: Mapping[str, Tensor],
    ) -> Tensor:
        loss, x_bar = step(image.detach(), **feeds)
        ctx.save_for_backward(x_bar)
        return loss

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,  # noqa: ANN401
        loss_bar: Tensor,
    ) -> tuple[Tensor, None, None]:
        (x_bar,) = ctx.saved_tensors
        return loss_bar * x_bar, None, None


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
    wanted = step.inputs[1:]
    if feeds.keys() != set(wanted):
        raise GuidanceError(
            f"{type(step).__name__} takes the feeds {sorted(wanted)}, got {sorted(feeds)}.\n"
            "Give every feed of `step.inputs` by its name, and no other."
        )
    loss: Tensor = _Guided.apply(image, step, feeds)  # type: ignore[no-untyped-call]
    return loss
