"""Optimisers of the stages: groups of parameters, their learning rates, and the decay of these."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from xbind.algorithm.adan import Adan
from xbind.config.method import CoarseConfig, GeometryConfig, TextureConfig
from xbind.config.scene import AdamConfig, AdanConfig
from xbind.config.terms import RatesConfig
from xbind.scene.nerf.field import HashNetwork

Config = CoarseConfig | GeometryConfig | TextureConfig


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters with one learning rate."""

    parameters: Iterable[nn.Parameter]
    rate: float | None = None
    """None for the stage's learning rate."""
    weight_decay: float | None = None
    """Decoupled decay; None for the optimiser's. Only beside a rate."""


def field_groups(field: HashNetwork, rates: RatesConfig, rate: float | None = None) -> list[Group]:
    """Groups of a field: the hash grid, and its MLPs where they have a rate of their own.

    Args:
        field: what is optimised.
        rates: of single groups.
        rate: of the hash grid; None for the stage's learning rate.
    """
    if rates.network is None:
        return [Group(field.parameters(), rate)]
    return [Group([field.table], rate), Group(field.heads.parameters(), rates.network)]


def module_group(module: nn.Module | None, rate: float | None) -> list[Group]:
    """The parameters of a part with its rate (None: the stage's); no group without the part."""
    return [] if module is None else [Group(module.parameters(), rate)]


def make_adam(groups: Sequence[Group], rate: float, config: AdamConfig) -> torch.optim.Optimizer:
    """Adam; with a decay AdamW, whose decay is decoupled from the gradient."""
    if config.weight_decay == 0 and not any(group.weight_decay for group in groups):
        return torch.optim.Adam(_plain(groups), rate, betas=config.betas, eps=config.eps)
    return torch.optim.AdamW(
        _plain(groups), rate, betas=config.betas, eps=config.eps, weight_decay=config.weight_decay
    )


def make_adan(groups: Sequence[Group], rate: float, config: AdanConfig) -> Adan:
    """Adan, the paper's optimiser of Phase II."""
    return Adan(
        _plain(groups), lr=rate, betas=config.betas, eps=config.eps,
        weight_decay=config.weight_decay, max_grad_norm=config.max_grad_norm,
    )  # fmt: skip


def _plain(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Groups as torch takes them; those without a rate of their own stand together, in front."""
    common = [p for group in groups if group.rate is None for p in group.parameters]
    own = []
    for group in groups:
        if group.rate is not None:
            decay = group.weight_decay
            given = {} if decay is None else {"weight_decay": decay}
            own.append({"params": list(group.parameters), "lr": group.rate} | given)
    return [{"params": common}, *own] if common else own


class Rates:
    """The learning rates of an optimiser's groups over a stage."""

    def __init__(self, optimizer: torch.optim.Optimizer, config: Config) -> None:
        self._optimizer, self._config = optimizer, config
        self._first = [group["lr"] for group in optimizer.param_groups]

    def set(self, progress: float) -> None:
        """Set the rates for a share of the stage, in [0, 1]."""
        share = rate_share_at(self._config, progress)
        for group, first in zip(self._optimizer.param_groups, self._first, strict=True):
            group["lr"] = first * share


def rate_share_at(config: Config, progress: float) -> float:
    """Share of the learning rates: 1, and from `rate_decay_from` on a line down to `rate_end`."""
    start = config.rate_decay_from
    share = 1.0 - (1 - config.rate_end) * (progress - start) / (1 - start)
    return min(1.0, share)
