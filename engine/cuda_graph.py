"""A guidance step as one CUDA graph: recorded once for each shape, then replayed as a whole.

Eager torch starts each of a step's one to two thousand kernels from Python, and small networks wait
for that. A step is a pure function of tensors of fixed shapes, gradient included, so its kernels
can be recorded and started together. The numbers are eager torch's.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from xbind.engine.errors import BackendUnavailable

WARM_UP = 3
"""Calls before the recording: libraries choose their kernels and reserve memory in them."""


class Step(Protocol):
    """Step that is recorded; see `xbind.losses.step.GuidanceStep`."""

    @property
    def inputs(self) -> tuple[str, ...]: ...

    @property
    def outputs(self) -> tuple[str, ...]: ...

    def __call__(self, image: Tensor, /, **feeds: Tensor) -> tuple[Tensor, ...]: ...


@dataclass(frozen=True, slots=True, eq=False)
class _Recorded:
    graph: torch.cuda.CUDAGraph
    inputs: Mapping[str, Tensor]
    """Tensors that the graph reads."""
    outputs: tuple[Tensor, ...]
    """Tensors that the graph writes."""


class Recorder:
    """Records steps that share one pool of memory, since they are replayed one after the other."""

    def __init__(self) -> None:
        """Open a pool.

        Raises:
            BackendUnavailable: there is no CUDA device.
        """
        if not torch.cuda.is_available():
            raise BackendUnavailable(
                "CUDA graphs need a CUDA device, and torch finds none here.\n"
                "Choose --engine auto, or --engine eager."
            )
        self._pool: Any = torch.cuda.graph_pool_handle()

    def record(self, step: Step, feeds: Mapping[str, Tensor]) -> _Recorded:
        """Record what `step` does with feeds of these shapes."""
        inputs = {name: x.detach().clone() for name, x in feeds.items()}
        first, *others = step.inputs

        def call() -> tuple[Tensor, ...]:
            return step(inputs[first], **{name: inputs[name] for name in others})

        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with _measured_convolutions():
            with torch.cuda.stream(side):
                for _ in range(WARM_UP):
                    call()
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool):
                outputs = call()
        return _Recorded(graph, inputs, outputs)


@contextmanager
def _measured_convolutions() -> Iterator[None]:
    """While open, cuDNN tries its kernels on each new shape: what it guesses can be 20 × slower."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


class GraphedStep:
    """A guidance step that is replayed: same feeds, same outputs as the eager one."""

    def __init__(self, step: Step, recorder: Recorder) -> None:
        """Nothing is recorded before the first call."""
        self.inputs, self.outputs = step.inputs, step.outputs
        self._step, self._recorder = step, recorder
        self._recorded: dict[tuple[Any, ...], _Recorded] = {}

    def __call__(self, image: Tensor, /, **feeds: Tensor) -> tuple[Tensor, ...]:
        """Return what the eager step returns, in tensors of their own."""
        given = {self.inputs[0]: image, **feeds}
        shapes = tuple((name, tuple(given[name].shape), given[name].dtype) for name in self.inputs)
        if shapes not in self._recorded:
            self._recorded[shapes] = self._recorder.record(self._step, given)
        recorded = self._recorded[shapes]
        for name, x in given.items():
            recorded.inputs[name].copy_(x)
        recorded.graph.replay()
        # another step's graph may write to the same memory next
        return tuple(x.clone() for x in recorded.outputs)
