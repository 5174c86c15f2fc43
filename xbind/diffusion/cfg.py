"""Classifier-free guidance: one convention for every prior."""

from jaxtyping import Float
from torch import Tensor

from xbind.diffusion.schedule import Latent


def classifier_free(cond: Latent, uncond: Latent, scale: Float[Tensor, ""]) -> Latent:
    """uncond + s (cond − uncond): s = 1 is the plain condition, s = 0 is none.

    It commutes with the conversions between ε̂, v̂ and ẑ, because the two weights add up to one.
    """
    return uncond + scale * (cond - uncond)
