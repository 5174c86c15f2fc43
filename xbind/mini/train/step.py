"""One step of a training: losses, gradients, AdamW, averaged weights, sums of the losses.

Every number that changes from step to step is a tensor on the device or the seed of the device's
generator, so that a GPU can replay the whole step as one CUDA graph. Nothing in a step waits for
the device.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor, nn

from xbind.errors import XBindError
from xbind.mini.train.lengths import LoopConfig

AHEAD = 4
"""Steps that the host may have queued on a GPU; more would delay the end of a timed session."""
EAGER_STEPS = 3
"""Steps before a CUDA graph is recorded: libraries choose kernels and allocate in the first ones.
They are part of the training."""
MAX_NORM = 1.0
"""Norm to which gradients are clipped."""

Losses = Mapping[str, Tensor]
"""Named terms of one step; the key `loss` is the one that is differentiated."""
LossesAt = Callable[[int, torch.Generator], Losses]
"""(step, generator) → the terms. Recorded as a CUDA graph, it is called for one step only, so it
must not depend on the step's number."""


class Ema:
    """Exponential moving average of a module's parameters, and a copy of its buffers."""

    def __init__(self, model: nn.Module) -> None:
        self.average = {k: v.detach().clone() for k, v in model.state_dict().items()}
        learnt = dict(model.named_parameters(remove_duplicate=False))
        self._learnt = [v.detach() for v in learnt.values()]
        self._averages = [self.average[k] for k in learnt]
        buffers = model.named_buffers(remove_duplicate=False)
        self._buffers = [(self.average[k], v) for k, v in buffers if k in self.average]

    def load(self, average: Mapping[str, Tensor]) -> None:
        """Copy an average of the same module, of any device, precision and memory format."""
        for name, own in self.average.items():
            own.copy_(average[name])

    @torch.no_grad()
    def update(self, weight: Tensor) -> None:
        """Move the average towards the module.

        Args:
            weight: share of the module's own weights in the new average, [] on its device.
        """
        moves = torch._foreach_sub(self._learnt, self._averages)
        torch._foreach_mul_(moves, weight)
        torch._foreach_add_(self._averages, moves)
        for average, value in self._buffers:  # they may hold infinities, which have no average
            average.copy_(value)


def seed_of(seed: int, step: int) -> int:
    """The generator's seed in one step; CPUs and GPUs draw other numbers from one seed."""
    return (seed + 1) * 1_000_003 + step


class Step:
    """A training step that can be repeated; `totals` are sums of its losses in float64."""

    def __init__(
        self,
        model: nn.Module,
        trained: list[nn.Parameter],
        losses_at: LossesAt,
        config: LoopConfig,
    ) -> None:
        """Start a new optimiser and an average at the model's own weights.

        Args:
            model: on the device of `config`; the average follows it.
            trained: the parameters that are optimised.
            losses_at: the terms of a step.
            config: batch, optimiser, averaging, and whether steps are recorded as a CUDA graph.
        """
        self.trained, self.losses_at, self.config = trained, losses_at, config
        device, on_gpu = config.device, config.device.type == "cuda"
        self.rate = torch.zeros((), device=device)
        self.ema_weight = torch.zeros((), device=device)
        self.generator = torch.Generator(device)
        self.optimizer = torch.optim.AdamW(
            trained, lr=self.rate, weight_decay=config.weight_decay, betas=(0.9, config.beta_2),
            fused=True, capturable=on_gpu,
        )  # fmt: skip
        self.ema = Ema(model)
        self.totals: dict[str, Tensor] = {}
        self.done = 0
        self._stream = torch.cuda.Stream() if config.cuda_graph else None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._pace = Pace(_timed_event) if on_gpu else None

    def __call__(self, step: int, seen: int, rate: float) -> None:
        """Do step number `step` at a learning rate; `seen` samples came before it."""
        self.rate.fill_(rate)
        self.ema_weight.fill_(self.config.ema_weight_at(seen + self.config.batch))
        self.generator.manual_seed(seed_of(self.config.seed, step))
        if self._pace is not None:
            self._pace.begin()
        if self._stream is None:
            self._work(step)
        else:
            self._replay(step, self._stream)
        if self._pace is not None:
            self._pace.end()
        self.done += 1

    @property
    def is_ready(self) -> bool:
        """False while the first steps compile or record, which take much longer than the others."""
        if self.config.cuda_graph:
            return self._graph is not None
        return self.done > 0 or not self.config.compile

    def mean_losses(self, count: int) -> dict[str, float]:
        """Mean of each term over the last `count` steps; starts new sums. Empty for no steps."""
        if count == 0:
            return {}
        means = {k: float(v) / count for k, v in self.totals.items()}
        for total in self.totals.values():
            total.zero_()
        return means

    def has_finite_weights(self) -> bool:
        """Whether all optimised parameters are finite; a GPU is waited for."""
        return all(bool(parameter.isfinite().all()) for parameter in self.trained)

    def waiting_share(self) -> float | None:
        """Share of the time since the last call in which a GPU had no step to do; None on a CPU.

        Gaps within a step that is not recorded as a CUDA graph count as work.
        """
        return None if self._pace is None else self._pace.waiting_share()

    def load_optimizer(self, state: Mapping[str, object]) -> None:
        """Take moments from a checkpoint, of any device; its settings stay those of `config`."""
        own = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state["state"], "param_groups": own})
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate  # it was copied
        for parameter, moments in self.optimizer.state.items():
            for name, value in moments.items():
                if value.shape == parameter.shape:  # the fused kernel reads both by one stride
                    moments[name] = torch.empty_like(parameter, requires_grad=False).copy_(value)

    def _work(self, step: int) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        losses = self.losses_at(step, self.generator)
        losses["loss"].backward()
        nn.utils.clip_grad_norm_(self.trained, MAX_NORM)
        self.optimizer.step()
        self.ema.update(self.ema_weight)
        for key, value in losses.items():
            if key not in self.totals:
                self.totals[key] = torch.zeros((), dtype=torch.float64, device=value.device)
            self.totals[key] += value.detach()

    def _replay(self, step: int, stream: torch.cuda.Stream) -> None:
        if self._graph is None and self.done < EAGER_STEPS:
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                self._work(step)
            torch.cuda.current_stream().wait_stream(stream)
            return
        if self._graph is None:
            self._graph = self._recorded(step, stream)
        self._graph.replay()

    def _recorded(self, step: int, stream: torch.cuda.Stream) -> torch.cuda.CUDAGraph:
        """The step as a graph; to record it computes nothing.

        Raises:
            XBindError: it cannot be recorded.
        """
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.generator)  # each replay starts at its seed
        self.optimizer.zero_grad(set_to_none=True)
        try:
            with torch.cuda.graph(graph, stream=stream):
                self._work(step)
        except RuntimeError as error:
            raise XBindError(
                f"This training step cannot be recorded as a CUDA graph: {error}\n"
                "Train with --no-cuda-graph."
            ) from error
        return graph


def _timed_event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)


class TimedEvent(Protocol):
    """A point in a GPU's queue, as `torch.cuda.Event` is one."""

    def record(self) -> None:
        """Put it at the end of the queue."""

    def synchronize(self) -> None:
        """Wait until the GPU has passed it."""

    def elapsed_time(self, end_event: Self) -> float:
        """Milliseconds from this event to a later one."""


E = TypeVar("E", bound=TimedEvent)


class Pace(Generic[E]):
    """Keeps the host at most `AHEAD` steps ahead of a GPU, and times what the GPU does."""

    def __init__(self, make_event: Callable[[], E]) -> None:
        self._make_event = make_event
        self._queued: deque[E] = deque()
        self._spans: list[tuple[E, E]] = []

    def begin(self) -> None:
        """Mark the start of a step, once few enough are queued."""
        while len(self._queued) >= AHEAD:
            self._queued.popleft().synchronize()
        start, end = self._make_event(), self._make_event()
        start.record()
        self._spans.append((start, end))

    def end(self) -> None:
        """Mark the end of the step."""
        end = self._spans[-1][1]
        end.record()
        self._queued.append(end)

    def waiting_share(self) -> float:
        """Share of the time from the first start to the last end that lies between steps."""
        if not self._spans:
            return 0.0
        last = self._spans[-1][1]
        last.synchronize()
        whole = self._spans[0][0].elapsed_time(last)
        busy = sum(start.elapsed_time(end) for start, end in self._spans)
        self._spans.clear()
        return max(0.0, 1 - busy / whole) if whole > 0 else 0.0
