"""Recorded runs as fx graphs: the same numbers as torch, on inputs that were not recorded."""

import pytest
import torch
from graph_cases import CASES
from torch import nn

from tests.export.test_lowerings import Function, feeds, outputs_of
from xbind.export.fx_graph import to_fx
from xbind.export.record import record


def graph_of(f, given, outputs):
    return to_fx("case", record(Function(f), given, outputs), given)


@pytest.mark.parametrize("op", CASES, ids=str)
def test_agrees_with_torch(op):
    for f, *shapes in CASES[op]:
        graph = graph_of(f, feeds(shapes, 0), outputs_of(f, shapes))
        fresh = feeds(shapes, 1)
        with torch.no_grad():
            wanted = f(*fresh.values())
            found = graph.module(*fresh.values())
        wanted = (wanted,) if isinstance(wanted, torch.Tensor) else wanted
        for want, got in zip(wanted, found, strict=True):
            torch.testing.assert_close(got, want, rtol=0, atol=0, equal_nan=True)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3).requires_grad_(False)
        self.unused = nn.Linear(50, 50).requires_grad_(False)

    def forward(self, x, t):
        self.linear(x).sum()  # nothing depends on it
        return x, self.linear.weight, self.linear(x) * t


def test_outputs_are_copies_and_what_nothing_needs_is_left_out():
    net, given = Net(), {"x": torch.randn(2, 4), "t": torch.tensor(3)}
    graph = to_fx("net", record(net, given, ["x_again", "w", "y"]), given)
    assert [spec.name for spec in graph.spec.outputs] == ["x_again", "w", "y"]
    assert [spec.dtype for spec in graph.spec.inputs] == ["float32", "int64"]
    x_again, w, y = graph.module(*graph.feeds)
    assert torch.equal(x_again, given["x"])
    assert x_again.data_ptr() != graph.feeds[0].data_ptr()
    assert torch.equal(w, net.linear.weight)
    assert w.data_ptr() != net.linear.weight.data_ptr()
    torch.testing.assert_close(y, net(**given)[2])
    assert sum(buffer.numel() for buffer in graph.module.buffers()) == 4 * 3 + 3
    calls = [node for node in graph.module.graph.nodes if node.op == "call_function"]
    assert not any("sum" in str(node.target) for node in calls)


def test_an_output_that_is_a_view_of_an_input_is_a_copy():
    def f(x):
        return x.t(), (x + 1).t(), x.split(2, dim=1)[1]

    graph = graph_of(f, feeds([(3, 4)], 0), ["a", "b", "c"])
    (x,) = graph.feeds
    for found, wanted in zip(graph.module(x), f(x), strict=True):
        assert torch.equal(found, wanted)
        assert found.untyped_storage().data_ptr() != x.untyped_storage().data_ptr()


def test_literals_and_parts_of_tensors():
    def f(x):
        low, high = x.split(2, dim=1)
        values, _ = high.max(dim=1, keepdim=True)
        return low * torch.tensor([2.0, 3.0]) + values

    graph, fresh = graph_of(f, feeds([(3, 4)], 0), ["y"]), feeds([(3, 4)], 1)
    torch.testing.assert_close(graph.module(*fresh.values())[0], f(*fresh.values()))
