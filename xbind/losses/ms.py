"""The modality similarity loss (Eq. 2)."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn


@runtime_checkable
class ImageEncoder(Protocol):
    """E: normalised pixels to embeddings in the space of C_m, of any length."""

    def __call__(self, pixels: Float[Tensor, "k 3 s s"], /) -> Float[Tensor, "k d"]:
        """Return one embedding per image."""


class Ms(nn.Module):
    """Eq. 2 as a guidance step: augmented views to loss and gradient."""

    inputs = ("augmented", "c_m", "weight")
    outputs = ("loss", "x_bar")

    def __init__(self, encoder: ImageEncoder) -> None:
        """Freeze the encoder."""
        super().__init__()
        self.encoder = encoder
        self.eval().requires_grad_(False)

    def forward(
        self,
        augmented: Float[Tensor, "k 3 s s"],
        c_m: Float[Tensor, " d"],
        weight: Float[Tensor, " k"],
    ) -> tuple[Tensor, Tensor]:
        """Turn the views' embeddings towards C_m.

        Eq. 2:  L = −Σ_k weight_k cos(C_m, E(x_k)): the printed sign would turn them away.

        Args:
            augmented: G, L and Z of the views, normalised for the encoder (`augment`).
            c_m: C_m, the prompt's embedding; its length does not matter.
            weight: one factor per image; `ms_weights` makes it Eq. 2's sums and averages.

        Returns:
            loss and x_bar = ∂loss/∂augmented.
        """
        with torch.enable_grad():
            augmented = augmented.detach().requires_grad_()
            cosines = (_unit(self.encoder(augmented)) * _unit(c_m)).sum(-1)
            loss = -(weight * cosines).sum()
        (x_bar,) = torch.autograd.grad(loss, augmented)
        return loss.detach(), x_bar


def ms_weights(
    views: int,
    n: int,
    *,
    w_g: float,
    w_l: float,
    w_z: float,
    w: Float[Tensor, " n"] | None = None,
    device: torch.device | str = "cpu",
) -> Float[Tensor, " k"]:
    """Eq. 2's weight of every image that `augment` makes of `draw_augmentations(views, n)`.

    `avg` is the mean of the cosines over views, not the cosine of a mean. Z is the same n times,
    so it is evaluated once and weighs Σ_i W_i.

    Args:
        views: b.
        n: global and local augmentations per view.
        w_g: ω_g.
        w_l: ω_l.
        w_z: ω_z.
        w: W_i, by default all 1 (no value in the paper).
        device: of the result, where `w` is not given.

    Returns:
        Weights [views · (2n + 1)], view by view: n times G, n times L, once Z.
    """
    w = torch.ones(n, device=device) if w is None else w
    return torch.cat([w_g * w, w_l * w, w_z * w.sum()[None]]).repeat(views) / views


def _unit(x: Float[Tensor, "*k d"]) -> Float[Tensor, "*k d"]:
    return x * x.square().sum(-1, keepdim=True).clamp_min(1e-12).rsqrt()
