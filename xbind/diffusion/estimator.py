"""The estimator ε_φ of VSD: the 2D prior with low-rank changes and a camera, of one flat vector θ.

θ holds, for every projection W of the network's attention, the factors A [rank, in] and B [out,
rank] of y = W x + B A x (LoRA, Hu et al. 2021), and two matrices C₁, C₂ of the camera's embedding
C₂ silu(C₁ c), which is added to that of the timestep. With B = 0 and C₂ = 0 it is the prior itself.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from xbind.diffusion.errors import GuidanceError
from xbind.diffusion.priors import UNet
from xbind.diffusion.schedule import Latent, Timestep

CAMERA = 16
"""Numbers of a camera: its camera-to-world matrix, row by row."""
PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")
"""Projections of an attention layer, as diffusers names them."""

Theta = Float[Tensor, " p"]


class Estimator(nn.Module):
    """ε_φ as a function of θ; the network itself is frozen, and is not changed."""

    def __init__(self, unet: UNet, *, cross_attention: bool) -> None:
        """Find the projections of a network.

        Args:
            unet: of the 2D prior; shared with it.
            cross_attention: whether the attention to the text context is changed too. Under a
                context of one token it is a constant, which is not worth a change.
        """
        super().__init__()
        self.unet = unet
        modules = dict(cast(nn.Module, unet).named_modules())
        ends = ("attn1", "attn2") if cross_attention else ("attn1",)
        self._projections = tuple(
            cast(nn.Linear, module)
            for name, module in modules.items()
            if name.endswith(tuple(f"{end}.{own}" for end in ends for own in PROJECTIONS))
        )
        self._time: Any = next(m for n, m in modules.items() if n.endswith("time_embedding"))

    def shapes(self, rank: int) -> Iterator[tuple[int, int]]:
        """Shapes of the matrices in θ, in their order: A, B of each projection, then C₁, C₂."""
        for projection in self._projections:
            yield rank, projection.in_features
            yield projection.out_features, rank
        first, last = self._time.linear_1, self._time.linear_2
        yield first.in_features, CAMERA
        yield last.out_features, first.in_features

    def size(self, rank: int) -> int:
        """Length of θ."""
        return sum(rows * columns for rows, columns in self.shapes(rank))

    def start(self, rank: int, generator: torch.Generator) -> Theta:
        """θ of the prior itself: B and C₂ are zero, A and C₁ random.

        A has the standard deviation 1/rank, as in diffusers; C₁ that of a layer with 16 inputs.
        """
        *factors, camera, last = self.shapes(rank)
        parts = [
            torch.randn(shape, generator=generator, device=generator.device) / rank
            if index % 2 == 0
            else torch.zeros(shape, device=generator.device)
            for index, shape in enumerate(factors)
        ]
        parts += [
            torch.randn(camera, generator=generator, device=generator.device) / CAMERA**0.5,
            torch.zeros(last, device=generator.device),
        ]
        return torch.cat([part.flatten() for part in parts])

    def rank_of(self, theta: Theta) -> int:
        """The rank of the changes in a θ.

        Raises:
            GuidanceError: no rank has a θ of its length.
        """
        camera = self.size(0)
        rank = (len(theta) - camera) // (self.size(1) - camera)
        if rank < 1 or self.size(rank) != len(theta):
            raise GuidanceError(
                f"An estimator of this 2D prior has {self.size(1)} numbers at rank 1, and "
                f"{self.size(1) - camera} more for each further rank; got {len(theta)}.\n"
                "Start the run again: its estimator is of another bundle."
            )
        return rank

    def forward(
        self,
        theta: Theta,
        z_t: Latent,
        t: Timestep,
        class_labels: Float[Tensor, "#b d2"] | None,
        context: Float[Tensor, "#b l c"],
        camera: Float[Tensor, "b 16"],
    ) -> Latent:
        """The prediction of the changed network, differentiable in θ; without guidance.

        Args:
            theta: θ.
            z_t: noisy latents of the views.
            t: their timesteps.
            class_labels: unCLIP's class vector of C_m; None for a prior without class embedding.
            context: the encoded text, without a word for the view's direction.
            camera: camera-to-world matrices; zeros stand for no camera.
        """
        shapes = list(self.shapes(self.rank_of(theta)))
        parts = theta.split([rows * columns for rows, columns in shapes])
        *factors, first, last = (
            part.view(shape) for part, shape in zip(parts, shapes, strict=True)
        )
        embedding = linear(silu(linear(camera, first)), last)
        with ExitStack() as hooks:
            hooks.enter_context(self._time.register_forward_hook(_added(embedding)))
            for layer, a, b in zip(self._projections, factors[::2], factors[1::2], strict=True):
                hooks.enter_context(layer.register_forward_hook(_low_rank(a, b)))
            (prediction,) = self.unet(
                z_t, t, context.expand(len(z_t), -1, -1),
                class_labels=None if class_labels is None else class_labels.expand(len(z_t), -1),
                return_dict=False,
            )  # fmt: skip
        return prediction


Hook = Callable[[nn.Module, tuple[Any, ...], Tensor], Tensor]


def _low_rank(a: Float[Tensor, "r i"], b: Float[Tensor, "o r"]) -> Hook:
    """Adds B A x to the output of a layer, in the type of the layer."""

    def hook(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        del layer
        x: Tensor = inputs[0]
        return output + linear(linear(x, a.to(x.dtype)), b.to(x.dtype))

    return hook


def _added(embedding: Float[Tensor, "b e"]) -> Hook:
    """Adds an embedding to the output of a layer."""

    def hook(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        del layer, inputs
        return output + embedding.to(output.dtype)

    return hook
