"""Perp-Neg: guidance away from the words of other directions, perpendicular to the wanted one.

Armandpour et al. 2023, *Re-imagine the Negative Prompt Algorithm*, Eq. 7 and 8, with the weights of
threestudio (`threestudio/models/prompt_processors/base.py` at 28d9d80).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from xbind.config.terms import Decay, PerpNegConfig
from xbind.diffusion.schedule import Latent
from xbind.diffusion.view_words import BACK, FRONT, NO_WORD, OVERHEAD, SIDE, turn_of

TINY = 1e-12
"""A guard: nothing is perpendicular to a difference of zero."""


@dataclass(frozen=True, slots=True, eq=False)
class PerpNegFeeds:
    """Text contexts and weights of Perp-Neg for some views."""

    context: Float[Tensor, "b l c"]
    """Interpolated between the words on either side of a view's azimuth."""
    negatives: Float[Tensor, "b n l c"]
    """Contexts of the words that guidance leads away from."""
    weights: Float[Tensor, "b n"]
    """Their weights; negative ones lead away."""


def perp_neg_feeds(
    contexts: Float[Tensor, "words l c"],
    elevation_deg: Float[Tensor, " b"],
    azimuth_deg: Float[Tensor, " b"],
    *,
    overhead_deg: float,
    factor: float,
    config: PerpNegConfig,
) -> PerpNegFeeds:
    """What Perp-Neg is given for views.

    From the front to the side, at the turn ψ in degrees, r = 1 − ψ/90 and the context is
    r front + (1 − r) side; negatives are front, with the weight −f(r), and side, with −f(1 − r).
    From the side to the back, r = 2 − ψ/90 and the context is r side + (1 − r) back; negatives are
    side and front, with −f(r) of their own curves. Each f is a e^(−b r) + c. Overhead views have
    their own word, and no weight on the empty prompt.

    Args:
        contexts: one row for each of `VIEW_WORDS`.
        elevation_deg: of the cameras.
        azimuth_deg: of the cameras.
        overhead_deg: a view is from overhead above this elevation.
        factor: on all weights.
        config: the curves f.
    """
    turn = turn_of(azimuth_deg)
    in_front, overhead = turn < 90, elevation_deg > overhead_deg
    r = torch.where(in_front, 1 - turn / 90, 2 - turn / 90)

    def choose(front: int, back: int, above: int) -> Float[Tensor, "b l c"]:
        rows = torch.where(in_front, front, back).masked_fill(overhead, above)
        return contexts[rows]

    share = r[:, None, None].to(contexts)
    near, far = choose(FRONT, SIDE, OVERHEAD), choose(SIDE, BACK, OVERHEAD)
    first = torch.where(in_front, _decay(config.front, r), _decay(config.side_to_back, r))
    second = torch.where(in_front, _decay(config.side, 1 - r), _decay(config.front_to_back, r))
    weights = -factor * torch.stack([first, second], 1)
    return PerpNegFeeds(
        torch.where(overhead[:, None, None], near, share * near + (1 - share) * far),
        torch.stack([choose(FRONT, SIDE, NO_WORD), choose(SIDE, FRONT, NO_WORD)], 1),
        weights.masked_fill(overhead[:, None], 0.0).to(contexts),
    )


def _decay(curve: Decay, r: Tensor) -> Tensor:
    """a e^(−b r) + c."""
    scale, rate, offset = curve
    return scale * torch.exp(-rate * r) + offset


def perpendicular(x: Latent, to: Latent) -> Latent:
    """The part of each latent of `x` that is perpendicular to that of `to`."""
    along = (x * to).mean((1, 2, 3), keepdim=True)
    length = to.square().mean((1, 2, 3), keepdim=True).clamp_min(TINY)
    return x - along / length * to


def perp_neg(
    cond: Latent,
    uncond: Latent,
    negatives: list[Latent],
    weights: Float[Tensor, "b n"],
    scale: Float[Tensor, ""],
) -> Latent:
    """ε̂ = ε_u + s (e⁺ + Σ wᵢ ⊥(eᵢ⁻, e⁺)), with e = ε − ε_u.

    Like classifier-free guidance it commutes with the conversions between ε̂, v̂ and ẑ: each e is
    multiplied by a number, and the weights on ε_u add up to one.

    Args:
        cond: prediction under the context of the view.
        uncond: prediction without a condition, ε_u.
        negatives: predictions under the negative contexts.
        weights: wᵢ of each view.
        scale: s.
    """
    wanted = cond - uncond
    total = wanted
    for i, negative in enumerate(negatives):
        away = perpendicular(negative - uncond, wanted)
        total = total + weights[:, i].view(-1, 1, 1, 1) * away
    return uncond + scale * total
