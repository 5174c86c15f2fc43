"""Recorded steps, with a stand-in for CUDA graphs: what a replay reads, and what it returns."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from xbind.engine.cuda_graph import WARM_UP, GraphedStep, Recorder
from xbind.engine.errors import BackendUnavailable


class FakeGraph:
    """Replays by running the recorded call again into the memory that the recording wrote."""

    def __init__(self):
        self.replays, self.call, self.outputs = 0, lambda: (), ()

    def replay(self):
        self.replays += 1
        for there, x in zip(self.outputs, self.call(), strict=True):
            there.copy_(x)


class Step:
    """loss = w · sum(image), x̄ = w."""

    inputs, outputs = ("image", "weight"), ("loss", "x_bar")

    def __init__(self):
        self.calls, self.seen = 0, None

    def __call__(self, image, /, **feeds):
        self.calls += 1
        weight = feeds["weight"]
        self.seen = image, weight
        return weight * image.sum(), weight * torch.ones_like(image)


@pytest.fixture
def cuda(monkeypatch):
    """A device without kernels, and the graphs recorded on it."""
    graphs = []

    def record(graph, pool):
        assert pool == "pool"
        graphs.append(graph)
        return nullcontext()

    stream = SimpleNamespace(wait_stream=lambda other: None)
    fakes = {
        "is_available": lambda: True, "graph_pool_handle": lambda: "pool",
        "Stream": lambda: stream, "current_stream": lambda: stream,
        "stream": lambda s: nullcontext(), "CUDAGraph": FakeGraph, "graph": record,
    }  # fmt: skip
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    return graphs


def connect(graph, step, graphed):
    """Give the fake graph what a real one has recorded."""
    (recorded,) = [r for r in graphed._recorded.values() if r.graph is graph]
    graph.outputs = recorded.outputs
    graph.call = lambda: step(recorded.inputs["image"], weight=recorded.inputs["weight"])


@pytest.fixture
def graphed(cuda):
    """A recorded step that has been replayed once with [1, 2] and the weight 3."""
    step = Step()
    graphed = GraphedStep(step, Recorder())
    graphed(torch.tensor([1.0, 2.0]), weight=torch.tensor(3.0))
    connect(cuda[0], step, graphed)
    return graphed


def test_a_shape_is_recorded_once_and_then_replayed(cuda, graphed):
    before = graphed._step.calls
    assert before == WARM_UP + 1
    loss, x_bar = graphed(torch.tensor([5.0, 7.0]), weight=torch.tensor(2.0))
    assert float(loss) == 24
    assert x_bar.tolist() == [2, 2]
    assert len(cuda) == 1
    assert cuda[0].replays == 2


def test_what_is_returned_outlives_the_next_replay(graphed):
    first = graphed(torch.tensor([1.0, 2.0]), weight=torch.tensor(3.0))
    graphed(torch.tensor([5.0, 7.0]), weight=torch.tensor(2.0))
    assert float(first[0]) == 9
    assert first[1].tolist() == [3, 3]


def test_the_callers_tensors_are_neither_kept_nor_changed(graphed):
    image = torch.tensor([5.0, 7.0])
    graphed(image, weight=torch.tensor(2.0))
    assert image.tolist() == [5, 7]
    assert graphed._step.seen[0].data_ptr() != image.data_ptr()


def test_another_shape_is_another_graph(cuda, graphed):
    graphed(torch.tensor([1.0, 2.0, 3.0]), weight=torch.tensor(3.0))
    graphed(torch.tensor([1.0, 2.0]), weight=torch.tensor(3.0))
    assert [graph.replays for graph in cuda] == [2, 1]


def test_no_device_is_said():
    with pytest.raises(BackendUnavailable, match="--engine auto"):
        Recorder()
