"""Training loop of all networks of the bundle: seeded, with checkpoints, resumable.

Step i draws everything from a generator seeded by (seed, i), so a run that was killed and resumed
sees the same batches as one that was not. Losses are read when a line of the log is written.
"""

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from xbind.errors import XBindError
from xbind.mini.train.lengths import CPU, LoopConfig, samples_seen
from xbind.mini.train.step import Ema, LossesAt, Step


def save_atomic(state: object, path: Path) -> None:
    """Write with `torch.save` so that a killed process leaves the former file."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


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
    losses_at: LossesAt,
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

    Raises:
        XBindError: the loss or a weight is not finite; the last checkpoint stays.
    """
    model.to(config.device)
    run = Step(model, parameters or list(model.parameters()), losses_at, config)
    path = work / f"{name}.pt"
    step = seen = fresh = 0  # `fresh`: the step at which the optimiser started
    if path.exists():
        state = torch.load(path, map_location=config.device, weights_only=True)
        model.load_state_dict(state["model"])
        run.ema.load(state["ema"])
        step, seen, fresh = state["step"], samples_seen(name, state), state.get("fresh", 0)
        if "optimizer" in state:
            run.load_optimizer(state["optimizer"])
        else:  # after `unpack`: a bundle holds weights alone
            fresh = step
        del state

    def checkpoint(count: int, timed: int, since: float) -> None:
        means = run.mean_losses(count)
        rate = timed * config.batch / max(1e-6, time.monotonic() - since)  # the means waited
        waiting = run.waiting_share()
        if not (math.isfinite(means.get("loss", 0.0)) and run.has_finite_weights()):
            raise XBindError(
                f"The loss or a weight of {name} is not finite after {seen} samples; "
                f"{path.name} is not written.\nTrain with a smaller --learning-rate or --batch."
            )
        counts = {"step": step, "samples": seen, "fresh": fresh}
        weights = {"model": _contiguous(model.state_dict()), "ema": _contiguous(run.ema.average)}
        save_atomic(weights | {"optimizer": run.optimizer.state_dict()} | counts, path)
        if config.export is not None:
            export_half(weights["ema"], counts, config.export / path.name)
        row: dict[str, float] = {"samples": seen}
        if timed > 0:
            row["per_s"] = round(rate, 1)
        if waiting is not None:
            row["waiting"] = round(waiting, 3)
        row |= {k: round(v, 5) for k, v in means.items()}
        if validate is not None:
            row |= _validated(model, run.ema, validate)
        with (work / f"{name}.jsonl").open("a") as log:
            log.write(json.dumps(row) + "\n")

    start = saved = since = time.monotonic()
    count = timed = 0  # steps since the last checkpoint, and those that `per_s` counts
    while seen < config.samples and (spent := time.monotonic() - start) < 60 * config.minutes:
        was_ready = run.is_ready
        run(step, seen, config.learning_rate_at(seen, step - fresh, spent))
        step, seen, count, timed = step + 1, seen + config.batch, count + 1, timed + 1
        if not was_ready:  # compiling and recording are not what the figures are of
            run.waiting_share()
            since, timed = time.monotonic(), 0
        if time.monotonic() - saved > config.save_every_s:
            checkpoint(count, timed, since)
            saved = since = time.monotonic()
            count = timed = 0
    checkpoint(count, timed, since)


def _contiguous(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without the memory format of the device that trained them."""
    return {name: value.detach().contiguous() for name, value in state.items()}


def export_half(average: Mapping[str, Tensor], counts: Mapping[str, int], path: Path) -> None:
    """Write averaged weights in half precision as a checkpoint that training can go on from.

    It has no optimiser and a quarter of the tensors: about an eighth of the size.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    half = {k: v.half().cpu() if v.is_floating_point() else v.cpu() for k, v in average.items()}
    save_atomic({"model": half, "ema": half} | dict(counts), path)


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
