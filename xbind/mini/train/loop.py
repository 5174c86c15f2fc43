"""Training loop of all networks of the bundle: seeded, with checkpoints, resumable.

Step i draws everything from a generator seeded by (seed, i), so a run that was killed and resumed
sees the same batches as one that was not. Nothing in a step waits for the device: losses are read
when a line of the log is written.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from xbind.mini.train.lengths import CPU, LoopConfig, samples_seen

SAVE_EVERY_S = 90.0
"""Seconds between two checkpoints, log lines and validations."""

Losses = Mapping[str, Tensor]
"""Named terms of one step; the key `loss` is the one that is differentiated."""


class Ema:
    """Exponential moving average of a module's parameters, with a warm-up of its own."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.average = {k: v.detach().clone() for k, v in model.state_dict().items()}
        self.decay = decay

    def update(self, model: nn.Module, step: int) -> None:
        """Move the average towards the model."""
        learnt = dict(model.named_parameters(remove_duplicate=False))
        average = get_ema_multi_avg_fn(min(self.decay, (1 + step) / (10 + step)))
        average([self.average[name] for name in learnt], list(learnt.values()), step)
        for name, value in model.named_buffers():
            if name in self.average:  # it may hold infinities, which have no average
                self.average[name].copy_(value)


def save_atomic(state: object, path: Path) -> None:
    """Write with `torch.save` so that a killed process leaves the former file."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def generator_for(seed: int, step: int, device: torch.device = CPU) -> torch.Generator:
    """The generator of one step; CPUs and GPUs draw other numbers from one seed."""
    return torch.Generator(device).manual_seed((seed + 1) * 1_000_003 + step)


def averaged(checkpoint: Path) -> dict[str, Tensor]:
    """The averaged weights of a checkpoint, on the CPU.

    Raises:
        FileNotFoundError: that part has not been trained yet.
    """
    state: dict[str, dict[str, Tensor]] = torch.load(
        checkpoint, map_location=CPU, weights_only=True
    )
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
    """Train `model` in place until `config.samples`, or for `config.minutes`.

    It goes on from `work/<name>.pt` where that is there, on whichever device it was made.

    Args:
        name: names the checkpoint `<name>.pt` and the log `<name>.jsonl` in `work`.
        model: what the EMA follows.
        losses_at: (step, generator) → named terms; `loss` is differentiated.
        config: how long and how fast.
        work: folder of checkpoints, outside the package.
        validate: called on the model holding the averaged weights; its figures are logged.
        parameters: what is optimised; all parameters of the model by default.
    """
    model.to(config.device)
    trained = parameters or list(model.parameters())
    optimizer = torch.optim.AdamW(
        trained, lr=config.learning_rate, weight_decay=config.weight_decay,
        betas=(0.9, config.beta_2), fused=True,
    )  # fmt: skip
    ema = Ema(model, config.ema)
    path = work / f"{name}.pt"
    step = seen = fresh = 0  # `fresh`: the step at which the optimiser started
    if path.exists():
        state = torch.load(path, map_location=config.device, weights_only=True)
        model.load_state_dict(state["model"])
        ema.average, step, seen = state["ema"], state["step"], samples_seen(name, state)
        fresh = state.get("fresh", 0)
        if "optimizer" in state:
            optimizer.load_state_dict(state["optimizer"])
        else:  # after `unpack`: a bundle holds weights alone
            fresh = step

    def checkpoint(totals: dict[str, Tensor], count: int, rate: float) -> None:
        save_atomic(
            {
                "model": model.state_dict(),
                "ema": ema.average,
                "optimizer": optimizer.state_dict(),
                "step": step,
                "samples": seen,
                "fresh": fresh,
            },
            path,
        )
        row: dict[str, float] = {"samples": seen, "per_s": round(rate, 1)}
        row |= {k: round(float(v) / max(1, count), 5) for k, v in totals.items()}
        if validate is not None:
            row |= _validated(model, ema, validate)
        with (work / f"{name}.jsonl").open("a") as log:
            log.write(json.dumps(row) + "\n")

    totals: dict[str, Tensor] = {}
    count, since = 0, time.monotonic()
    start = time.monotonic()
    while seen < config.samples and (spent := time.monotonic() - start) < 60 * config.minutes:
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate_at(seen, step - fresh, spent)
        losses = losses_at(step, generator_for(config.seed, step, config.device))
        optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        step, seen = step + 1, seen + config.batch
        ema.update(model, step)
        for key, value in losses.items():
            value = value.detach().double()
            totals[key] = totals[key] + value if key in totals else value
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
