"""Timestep distributions, as functions of the run's progress in [0, 1]."""

import math

import torch
from jaxtyping import Int
from torch import Tensor

from xbind.config.method import CdsConfig

Timestep = Int[Tensor, " b"]


def linear_anneal(progress: float, start: float, end: float) -> float:
    """`start` at progress 0, `end` at 1, a straight line between."""
    return start + (end - start) * progress


def sqrt_anneal(progress: float, start: float, end: float) -> float:
    """`start` at progress 0, `end` at 1, along √progress: fast at first.

    With start = t_max this is HiFA's t_min + (t_max − t_min)(1 − √progress).
    """
    return start + (end - start) * math.sqrt(progress)


def annealed_timesteps(
    progress: float,
    views: int,
    *,
    t_min: float,
    t_max: float,
    generator: torch.Generator,
    jitter: float = 0.0,
    steps: int = 1000,
) -> Timestep:
    """HiFA's annealed timestep, from t_max down to t_min along √progress.

    Args:
        progress: share of the phase that is done, in [0, 1].
        views: how many timesteps to return, all equal when there is no jitter.
        t_min: least noise, as a fraction of the schedule in (0, 1).
        t_max: most noise, as a fraction of the schedule in (0, 1).
        generator: source of the jitter.
        jitter: half width of a uniform draw around the annealed value, as a fraction.
        steps: length of the schedule.
    """
    centre = sqrt_anneal(progress, t_max, t_min)
    drawn = torch.rand(views, generator=generator, device=generator.device)
    spread = jitter * (2 * drawn - 1)
    return _index((centre + spread).clamp(t_min, t_max), steps)


def uniform_timesteps(
    views: int, *, t_min: float, t_max: float, generator: torch.Generator, steps: int = 1000
) -> Timestep:
    """Independent uniform draws between two fractions of the schedule."""
    drawn = torch.rand(views, generator=generator, device=generator.device)
    fraction = t_min + (t_max - t_min) * drawn
    return _index(fraction, steps)


def cds_timesteps(
    progress: float,
    views: int,
    *,
    config: CdsConfig,
    generator: torch.Generator,
) -> tuple[Timestep, Timestep]:
    """The pair t₁ > t₂ of Eq. 3.

    t₂ anneals from `t_2[0]` to `t_2[1]` along √progress; t₁ = t₂ + U{gap}, at most `t_1_max`.

    Returns:
        t₁ and t₂. The gap is drawn for every view.
    """
    low, high = config.gap
    device = generator.device
    second = torch.full((views,), round(sqrt_anneal(progress, *config.t_2)), device=device)
    gaps = torch.randint(low, high + 1, (views,), generator=generator, device=device)
    return (second + gaps).clamp_max(config.t_1_max), second


def cds_clamp(progress: float, config: CdsConfig) -> float:
    """Bound on each element of the CDS gradient."""
    return linear_anneal(progress, *config.clamp)


def _index(fraction: Tensor, steps: int) -> Timestep:
    return (fraction * steps).long().clamp(0, steps - 1)
