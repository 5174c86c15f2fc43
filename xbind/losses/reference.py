"""The reference view loss (Eq. 11), as its two terms; ω_rgb and ω_mask are applied outside."""

from jaxtyping import Float
from torch import Tensor

Image = Float[Tensor, "b 3 h w"]
Mask = Float[Tensor, "b 1 h w"]


def reference_rgb_loss(image: Image, reference: Image, mask: Mask) -> Float[Tensor, ""]:
    """‖m ⊙ (x_r − x̂_r)‖²: the *mean* over all pixels and channels, masked ones included.

    Off in Phase II, where the render is a normal map, unless `reference` is one too.

    Args:
        image: x̂_r, rendered from the reference camera, in [0, 1].
        reference: x_r, in [0, 1].
        mask: m, 1 on the reference's foreground.

    Returns:
        Differentiable in `image`.
    """
    return (mask * (reference - image)).square().mean()


def reference_mask_loss(opacity: Mask, mask: Mask) -> Float[Tensor, ""]:
    """‖m − M(x̂_r)‖²: the mean over pixels.

    Args:
        opacity: M(x̂_r), the render's opacity or coverage, in [0, 1].
        mask: m, 1 on the reference's foreground.

    Returns:
        Differentiable in `opacity`.
    """
    return (mask - opacity).square().mean()
