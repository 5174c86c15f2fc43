"""θ of VSD's estimator as a part of what a stage optimises."""

import torch
from torch import nn

from xbind.algorithm.optimizers import Group
from xbind.algorithm.supervision import Supervision
from xbind.config.options import PlanarLoss
from xbind.config.terms import EstimatorConfig
from xbind.diffusion.estimator import Theta


class EstimatorWeights(nn.Module):
    """θ, whose gradient is that of the estimator's own loss alone."""

    def __init__(self, theta: Theta) -> None:
        super().__init__()
        self.theta = nn.Parameter(theta)


def make_estimator(
    planar: PlanarLoss, config: EstimatorConfig, supervision: Supervision, seed: torch.Generator
) -> EstimatorWeights | None:
    """The estimator before any iteration, for a stage whose loss of the 2D prior is VSD; else None.

    Args:
        planar: loss of the 2D prior.
        config: of the estimator.
        supervision: knows the network that the estimator changes.
        seed: source of the first weights.
    """
    if planar != "vsd":
        return None
    return EstimatorWeights(supervision.start_theta(config, seed))


def estimator_groups(estimator: EstimatorWeights | None, config: EstimatorConfig) -> list[Group]:
    """The estimator's parameters, with a rate and a decay of their own."""
    if estimator is None:
        return []
    return [Group(estimator.parameters(), config.learning_rate, config.weight_decay)]


def theta_of(estimator: EstimatorWeights | None) -> Theta | None:
    """Returns θ, or None without an estimator."""
    return None if estimator is None else estimator.theta
