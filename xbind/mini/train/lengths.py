"""Default lengths, batches, learning rates and averages of the training of each component."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

CPU = torch.device("cpu")

DecayShape = Literal["linear", "sqrt", "cosine"]
"""How the learning rate falls at the end of a run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopConfig:
    """Length, batch, learning rate and averaging of one training."""

    samples: int
    """Training samples in all, over all sessions."""
    batch: int = 32
    """Samples per step."""
    base_batch: int = 0
    """Samples per step that `learning_rate` is for; 0 stands for `batch`."""
    learning_rate: float = 8e-4
    """Peak learning rate of AdamW for steps of `base_batch` samples."""
    largest_rate_factor: float = 3.0
    """Largest factor by which a batch above `base_batch` raises the learning rate. The square-root
    rule holds below the critical batch size, which has not been measured for these networks."""
    warmup_steps: int = 100
    """Steps of linear warm-up."""
    decay_fraction: float = 0.5
    """Last part of the run in which the learning rate falls, in (0, 1]."""
    decay_shape: DecayShape = "linear"
    """How it falls, with x from 0 to 1 over that part: `linear` 1 − x, `sqrt` 1 − √x (Hägele et al.
    2024, arXiv 2405.18392), `cosine` (1 + cos πx)/2 (Loshchilov and Hutter 2016, arXiv
    1608.03983)."""
    final_rate: float = 0.02
    """Lowest learning rate of the decay, as a share of the peak."""
    weight_decay: float = 0.01
    """AdamW's."""
    beta_2: float = 0.99
    """AdamW's second beta; the first is 0.9."""
    ema_half_life: float = 11_000.0
    """Half-life of the averaged weights, the ones that are shipped, in training samples."""
    ema_ramp: float = 0.05
    """Largest half-life as a share of the samples so far: a young average follows the network more
    closely (the ramp of EDM, Karras et al. 2022, arXiv 2206.00364)."""
    min_snr_gamma: float | None = None
    """γ of the Min-SNR weighting (Hang et al. 2023, arXiv 2303.09556, where it is 5), or None for
    equal weights at all noise levels. Only the priors have noise levels."""
    seed: int = 0
    """Seed of initialisation and batches."""
    bfloat16: bool = False
    """True if forward passes run under autocast; faster on CPUs that multiply bfloat16."""
    compile: bool = False
    """True if the network is compiled by `torch.compile`, with channels last."""
    cuda_graph: bool = False
    """True if a whole step is recorded as a CUDA graph and replayed; needs a GPU."""
    save_every_s: float = 90.0
    """Seconds between two checkpoints, log lines and validations."""
    export: Path | None = None
    """Folder that also gets the averaged weights in half precision with each checkpoint."""
    minutes: float = math.inf
    """Length of a session at most; a learning rate that follows the clock cannot be repeated."""
    device: torch.device = CPU
    """Device of the network and its data."""

    def __post_init__(self) -> None:
        """Fix the base batch, so that a copy with another batch keeps it."""
        if self.base_batch == 0:
            object.__setattr__(self, "base_batch", self.batch)

    def autocast(self) -> torch.autocast:
        """The context of forward passes."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)

    @property
    def peak_rate(self) -> float:
        """Peak learning rate for this batch: proportional to √batch, up to a largest factor.

        The square-root rule of Adam is that of Malladi et al. 2022 (arXiv 2205.10287).
        """
        factor = min(math.sqrt(self.batch / self.base_batch), self.largest_rate_factor)
        return self.learning_rate * factor

    def learning_rate_at(self, seen: int, steps: int, elapsed_s: float = 0.0) -> float:
        """Linear warm-up, constant, then a decay towards the last sample or the last minute.

        Without a limit in minutes it depends on the counts alone, so a run that is interrupted and
        resumed follows the same curve.

        Args:
            seen: training samples so far, over all sessions.
            steps: steps of the optimiser so far: a new one is warmed up, wherever the run stands.
            elapsed_s: seconds of this session so far.
        """
        warm = min(1.0, (steps + 1) / self.warmup_steps)
        left = (self.samples - seen) / max(1.0, self.samples * self.decay_fraction)
        if self.minutes < math.inf:
            limit_s = 60 * self.minutes
            left = min(left, (limit_s - elapsed_s) / (limit_s * max(1e-9, self.decay_fraction)))
        return self.peak_rate * warm * max(self.final_rate, self._decayed(left))

    def _decayed(self, left: float) -> float:
        """Share of the peak when a share `left` of the decay is still to come; before it, 1."""
        x = 1 - min(1.0, max(0.0, left))
        if self.decay_shape == "sqrt":
            return 1 - math.sqrt(x)
        if self.decay_shape == "cosine":
            return (1 + math.cos(math.pi * x)) / 2
        return 1 - x

    def ema_weight_at(self, seen: int) -> float:
        """Weight of the network in its average after a step: 1 − 2^(−batch / half-life).

        Args:
            seen: training samples so far, over all sessions, those of this step included.
        """
        half_life = min(self.ema_half_life, self.ema_ramp * seen)
        return 1 - 0.5 ** (self.batch / half_life)


def _prior(*, seed: int) -> LoopConfig:
    """The training of a diffusion prior."""
    return LoopConfig(
        samples=1_400_000,
        batch=64,
        learning_rate=1e-3,
        decay_fraction=0.2,
        decay_shape="sqrt",
        ema_half_life=200_000,
        seed=seed,
        bfloat16=True,
    )


def _judge(*, seed: int) -> LoopConfig:
    """The training of a judge."""
    return LoopConfig(
        samples=300_000,
        batch=64,
        learning_rate=2e-3,
        weight_decay=0.02,
        ema_half_life=22_000,
        seed=seed,
        bfloat16=True,
    )


LENGTHS = {
    "vae": LoopConfig(
        samples=44_000, batch=12, learning_rate=2e-3, weight_decay=1e-4, ema_half_life=4_200
    ),
    "vae_decoder": LoopConfig(
        samples=30_000, batch=8, learning_rate=1e-3, weight_decay=1e-4, ema_half_life=2_800
    ),
    "bind": LoopConfig(
        samples=88_000,
        batch=96,
        learning_rate=1.2e-3,
        weight_decay=0.05,
        seed=1,
        ema_half_life=6_600,
    ),
    "bind_audio": LoopConfig(
        samples=40_000,
        batch=96,
        learning_rate=1e-3,
        weight_decay=0.05,
        seed=2,
        ema_half_life=33_000,
    ),
    "bind_depth": LoopConfig(
        samples=40_000,
        batch=96,
        learning_rate=1e-3,
        weight_decay=0.05,
        seed=3,
        ema_half_life=33_000,
    ),
    "clip": LoopConfig(
        samples=60_000,
        batch=64,
        learning_rate=1e-3,
        weight_decay=0.05,
        seed=4,
        ema_half_life=22_000,
    ),
    "unclip": _prior(seed=5),
    "view_words": LoopConfig(
        samples=300_000,
        batch=32,
        learning_rate=2e-3,
        weight_decay=0.0,
        ema_half_life=4_400,
        seed=10,
        bfloat16=True,
    ),
    "zero123": _prior(seed=6),
    "zero123_narrow": _prior(seed=9),
    "judge": _judge(seed=7),
    "judge_2": _judge(seed=11),
    "view": LoopConfig(
        samples=500_000,
        batch=64,
        learning_rate=2e-3,
        weight_decay=0.02,
        seed=8,
        ema_half_life=22_000,
    ),
}
"""Name of the checkpoint → its configuration."""
BATCHES = {name: config.batch for name, config in LENGTHS.items()}
"""Samples per step of each part."""


def samples_seen(name: str, checkpoint: Mapping[str, int]) -> int:
    """Samples that the part `name` was trained on, over all sessions.

    A checkpoint without them is of a version whose every step took the default batch.
    """
    if "samples" in checkpoint:
        return checkpoint["samples"]
    return checkpoint["step"] * BATCHES[name]
