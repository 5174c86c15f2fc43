"""ONNX Runtime: results, and every way in which it may refuse."""

import sys

import pytest
import torch
from torch import nn

from xbind.engine.errors import BackendUnavailable, EngineDamaged, FeedError
from xbind.engine.ort import MODEL, OrtBackend
from xbind.export.onnx_graph import lower, save
from xbind.export.record import record


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3).requires_grad_(False)

    def forward(self, x, t):
        return self.linear(x).exp() * t, t + 1


@pytest.fixture
def saved(tmp_path):
    net = Net()
    graph = lower("net", record(net, {"x": torch.randn(2, 4), "t": torch.tensor(1)}, ["y", "u"]))
    save(graph, tmp_path)
    return net, graph.spec, tmp_path / MODEL


def test_agrees_with_torch_on_what_torch_holds_in_odd_ways(saved):
    net, spec, model = saved
    with OrtBackend(spec, model, threads=1) as backend:
        x, t = torch.randn(4, 2).t(), torch.tensor(3)  # not contiguous, and 0-dimensional
        with torch.inference_mode():
            found = backend.run({"x": x.clone().t().contiguous().t(), "t": t})
        for got, want in zip(found.values(), net(x, t), strict=True):
            torch.testing.assert_close(got, want)


def test_outputs_are_fresh(saved):
    _, spec, model = saved
    with OrtBackend(spec, model, threads=1) as backend:
        feeds = {"x": torch.randn(2, 4), "t": torch.tensor(3)}
        first = backend.run(feeds)
        kept = first["y"].clone()
        backend.run({"x": torch.randn(2, 4), "t": torch.tensor(5)})
        assert torch.equal(first["y"], kept)


def test_feeds_are_checked(saved):
    _, spec, model = saved
    with OrtBackend(spec, model, threads=1) as backend, pytest.raises(FeedError):
        backend.run({"x": torch.randn(3, 4), "t": torch.tensor(3)})


@pytest.mark.parametrize("damage", [b"", b"not a graph", None])
def test_a_file_that_it_cannot_load_is_an_error(saved, damage):
    _, spec, model = saved
    model.write_bytes(model.read_bytes()[:-40] if damage is None else damage)
    with pytest.raises(EngineDamaged, match="cannot load"):
        OrtBackend(spec, model, threads=1)


def test_a_missing_package_says_what_to_type(saved, monkeypatch):
    _, spec, model = saved
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendUnavailable, match="pip install onnxruntime"):
        OrtBackend(spec, model, threads=1)
