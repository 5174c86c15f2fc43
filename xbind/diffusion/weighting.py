"""λ(t) of score distillation: how much each timestep counts."""

from jaxtyping import Float
from torch import Tensor

from xbind.config.terms import Weighting
from xbind.diffusion.schedule import NoiseSchedule, Timestep


def latent_weight(
    schedule: NoiseSchedule, weighting: Weighting, t: Timestep
) -> Float[Tensor, " b"]:
    """Returns the factor on the latent residual z − ẑ that a weighting of ε̂ − ε stands for.

    As z − ẑ = (σ/α)(ε̂ − ε), a gradient w(t) (ε̂ − ε) is (w α/σ)(z − ẑ):

        residual    w = σ/α     factor 1
        sds         w = σ²      factor α σ
        uniform     w = 1       factor α/σ
        fantasia3d  w = α σ²    factor α² σ

    Args:
        schedule: of the prior.
        weighting: names w(t).
        t: timesteps.
    """
    alpha, sigma = schedule.alpha(t).flatten(), schedule.sigma(t).flatten()
    if weighting == "sds":
        return alpha * sigma
    if weighting == "uniform":
        return alpha / sigma
    if weighting == "fantasia3d":
        return alpha.square() * sigma
    return alpha.new_ones(alpha.shape)
