"""One training loop for every network of the bundle: seeded, checkpointed, resumable.

Step i draws everything from a generator seeded by (seed, i), so a run that was killed and resumed
sees the same batches as one that was not.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

SAVE_EVERY_S = 90.0
"""Seconds between two checkpoints, log lines and validations."""

Losses = Mapping[str, Tensor]
"""Named terms of one step; the key `loss` is the one that is differentiated."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopConfig:
    """How long and how fast."""

    samples: int
    """Training samples in all, over all sittings."""
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
    """Whether forward passes run under autocast; it pays on CPUs that multiply bfloat16."""

    def autocast(self) -> torch.autocast:
        """The context of forward passes."""
        return torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16)

    def learning_rate_at(self, step: int) -> float:
        """Linear warm-up, constant, linear decay."""
        steps = max(1, self.samples // self.batch)
        warm = min(1.0, (step + 1) / self.warmup_steps)
        left = (steps - step) / max(1.0, steps * self.decay_fraction)
        return self.learning_rate * warm * min(1.0, max(0.02, left))


class Ema:
    """Exponential moving average of a module's parameters, with a warm-up of its own."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.average = {k: v.detach().clone() for k, v in model.state_dict().items()}
        self.decay = decay

    def update(self, model: nn.Module, step: int) -> None:
        """Move the average towards the model."""
        decay = min(self.decay, (1 + step) / (10 + step))
        learnt = {name for name, _ in model.named_parameters()}
        for name, value in model.state_dict().items():
            if name in learnt:
                self.average[name].lerp_(value, 1 - decay)
            else:  # a buffer: it may hold infinities, which have no average
                self.average[name].copy_(value)


def save_atomic(state: object, path: Path) -> None:
    """Write with `torch.save` so that a killed process leaves the former file."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def generator_for(seed: int, step: int) -> torch.Generator:
    """The generator of one step."""
    return torch.Generator().manual_seed((seed + 1) * 1_000_003 + step)


def averaged(checkpoint: Path) -> dict[str, Tensor]:
    """The averaged weights of a checkpoint.

    Raises:
        FileNotFoundError: that part has not been trained yet.
    """
    state: dict[str, dict[str, Tensor]] = torch.load(checkpoint, weights_only=True)
    return state["ema"]


def train(
    name: str,
    model: nn.Module,
    losses_at: Callable[[int, torch.Generator], Losses],
    config: LoopConfig,
    work: Path,
    *,
    validate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    parameters: list[nn.Parameter] | None = None,
) -> None:
    """Train `model` in place until `config.samples`, resuming from `work/<name>.pt` if it is there.

    Args:
        name: names the checkpoint `<name>.pt` and the log `<name>.jsonl` in `work`.
        model: what the EMA follows.
        losses_at: (step, generator) → named terms; `loss` is differentiated.
        config: how long and how fast.
        work: folder of checkpoints, outside the package.
        validate: called on the model holding the averaged weights; its figures are logged.
        parameters: what is optimised; all parameters of the model by default.
    """
    trained = parameters or list(model.parameters())
    optimizer = torch.optim.AdamW(
        trained, lr=config.learning_rate, weight_decay=config.weight_decay,
        betas=(0.9, config.beta_2), fused=True,
    )  # fmt: skip
    ema = Ema(model, config.ema)
    path = work / f"{name}.pt"
    step = 0
    if path.exists():
        state = torch.load(path, weights_only=True)
        model.load_state_dict(state["model"])
        if "optimizer" in state:  # not after `unpack`: a bundle holds weights alone
            optimizer.load_state_dict(state["optimizer"])
        ema.average, step = state["ema"], state["step"]

    def checkpoint(totals: dict[str, float], count: int, rate: float) -> None:
        save_atomic(
            {
                "model": model.state_dict(),
                "ema": ema.average,
                "optimizer": optimizer.state_dict(),
                "step": step,
            },
            path,
        )
        row: dict[str, float] = {"samples": step * config.batch, "per_s": round(rate, 1)}
        row |= {k: round(v / max(1, count), 5) for k, v in totals.items()}
        if validate is not None:
            row |= _validated(model, ema, validate)
        with (work / f"{name}.jsonl").open("a") as log:
            log.write(json.dumps(row) + "\n")

    totals: dict[str, float] = {}
    count, since = 0, time.monotonic()
    while step * config.batch < config.samples:
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate_at(step)
        losses = losses_at(step, generator_for(config.seed, step))
        optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        step += 1
        ema.update(model, step)
        for key, value in losses.items():
            totals[key] = totals.get(key, 0.0) + float(value.detach())
        count += 1
        elapsed = time.monotonic() - since
        if elapsed > SAVE_EVERY_S:
            checkpoint(totals, count, count * config.batch / elapsed)
            totals, count, since = {}, 0, time.monotonic()
    checkpoint(totals, count, count * config.batch / max(1e-6, time.monotonic() - since))


def _validated(
    model: nn.Module, ema: Ema, validate: Callable[[nn.Module], Mapping[str, float]]
) -> dict[str, float]:
    """Figures of the averaged weights; the model's own come back afterwards."""
    own = {k: v.detach().clone() for k, v in model.state_dict().items()}
    model.load_state_dict(ema.average)
    model.eval()
    with torch.no_grad():
        figures = {k: round(float(v), 4) for k, v in validate(model).items()}
    model.load_state_dict(own)
    model.train()
    return figures
