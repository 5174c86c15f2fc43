"""Default lengths, batches and learning rates of the training of each component."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopConfig:
    """Length, batch and learning rate of one training."""

    samples: int
    """Training samples in all, over all sessions."""
    batch: int = 32
    """Samples per step."""
    learning_rate: float = 8e-4
    """Peak learning rate of AdamW."""
    warmup_steps: int = 100
    """Steps of linear warm-up."""
    decay_fraction: float = 0.5
    """Last part of the run in which the learning rate falls linearly to 2 %."""
    weight_decay: float = 0.01
    """AdamW's."""
    beta_2: float = 0.99
    """AdamW's second beta; the first is 0.9."""
    ema: float = 0.998
    """Decay of the averaged weights, the ones that are shipped."""
    seed: int = 0
    """Seed of initialisation and batches."""
    bfloat16: bool = False
    """True if forward passes run under autocast; faster on CPUs that multiply bfloat16."""
    minutes: float = math.inf
    """Length of a session at most; a learning rate that follows the clock cannot be repeated."""
    device: torch.device = CPU
    """Device of the network and its data."""

    def autocast(self) -> torch.autocast:
        """The context of forward passes."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)

    def learning_rate_at(self, seen: int, steps: int, elapsed_s: float = 0.0) -> float:
        """Linear warm-up, constant, linear decay towards the last sample or the last minute.

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
        return self.learning_rate * warm * min(1.0, max(0.02, left))


LENGTHS = {
    "vae": LoopConfig(samples=44_000, batch=12, learning_rate=2e-3, weight_decay=1e-4),
    "vae_decoder": LoopConfig(samples=30_000, batch=8, learning_rate=1e-3, weight_decay=1e-4),
    "bind": LoopConfig(
        samples=88_000, batch=96, learning_rate=1.2e-3, weight_decay=0.05, seed=1, ema=0.99
    ),
    "bind_audio": LoopConfig(
        samples=40_000, batch=96, learning_rate=1e-3, weight_decay=0.05, seed=2
    ),
    "bind_depth": LoopConfig(
        samples=40_000, batch=96, learning_rate=1e-3, weight_decay=0.05, seed=3
    ),
    "clip": LoopConfig(samples=60_000, batch=64, learning_rate=1e-3, weight_decay=0.05, seed=4),
    "unclip": LoopConfig(
        samples=1_400_000, batch=64, learning_rate=1e-3, ema=0.999, seed=5, bfloat16=True
    ),
    "view_words": LoopConfig(
        samples=300_000,
        batch=32,
        learning_rate=2e-3,
        weight_decay=0.0,
        ema=0.995,
        seed=10,
        bfloat16=True,
    ),
    "zero123": LoopConfig(
        samples=1_400_000, batch=64, learning_rate=1e-3, ema=0.999, seed=6, bfloat16=True
    ),
    "zero123_narrow": LoopConfig(
        samples=1_400_000, batch=64, learning_rate=1e-3, ema=0.999, seed=9, bfloat16=True
    ),
    "judge": LoopConfig(
        samples=300_000, batch=64, learning_rate=2e-3, weight_decay=0.02, seed=7, bfloat16=True
    ),
    "judge_2": LoopConfig(
        samples=300_000, batch=64, learning_rate=2e-3, weight_decay=0.02, seed=11, bfloat16=True
    ),
    "view": LoopConfig(samples=500_000, batch=64, learning_rate=2e-3, weight_decay=0.02, seed=8),
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
