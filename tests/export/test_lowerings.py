"""Every operation of the table against torch, run by ONNX Runtime on inputs that were not recorded.

If one of these fails after a new torch, its name says which operation torch has changed.
"""

import onnxruntime as ort
import pytest
import torch
from graph_cases import CASES, gradient, weight
from torch import nn

from xbind.export.builder import Dialect
from xbind.export.lowerings import LOWERINGS
from xbind.export.onnx_graph import PLAIN, lower, save
from xbind.export.record import record


class Function(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, **inputs):
        return self.f(*inputs.values())


def feeds(shapes, seed):
    generator = torch.Generator().manual_seed(seed)
    return {f"in_{i}": torch.randn(shape, generator=generator) for i, shape in enumerate(shapes)}


def outputs_of(f, shapes):
    with torch.no_grad():
        result = f(*feeds(shapes, 0).values())
    return [f"out_{i}" for i in range(1 if isinstance(result, torch.Tensor) else len(result))]


def run_graph(folder, inputs):
    session = ort.InferenceSession(str(folder / "model.onnx"))
    return session.run(None, {name: x.numpy() for name, x in inputs.items()})


def test_every_operation_of_the_table_has_a_case():
    assert set(CASES) == set(LOWERINGS)


DIALECTS = [PLAIN, Dialect(spread_scalars=True), Dialect(channel_norms=True)]


@pytest.mark.parametrize("dialect", DIALECTS, ids=["plain", "spread scalars", "channel norms"])
@pytest.mark.parametrize("op", CASES, ids=str)
def test_agrees_with_torch(op, dialect, tmp_path):
    for f, *shapes in CASES[op]:
        names = outputs_of(f, shapes)
        recording = record(Function(f), feeds(shapes, 0), names)
        assert op in {call.op for call in recording.calls}, "the case does not call it"
        save(lower("case", recording, dialect), tmp_path)
        fresh = feeds(shapes, 1)
        with torch.no_grad():
            wanted = f(*fresh.values())
        wanted = (wanted,) if isinstance(wanted, torch.Tensor) else wanted
        for want, got in zip(wanted, run_graph(tmp_path, fresh), strict=True):
            found = torch.as_tensor(got)
            torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-5, equal_nan=False)


@pytest.mark.parametrize(
    ("shared", "grid"),
    [
        ({"stride": 2, "padding": 1}, (4, 5)),
        ({"stride": 2}, (3, 4)),
        ({"stride": 3, "padding": 2}, (4, 4)),
        ({"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}, (4, 6)),
    ],
)
def test_a_strided_convolution_s_gradient_in_half_needs_no_transposed_one(shared, grid, tmp_path):
    """Some engines have none in half; the zeros that a stride skips are put back instead."""

    def f(x, y_bar):
        def run(x):
            kernel = weight(4, 6, 3, 3).to(x.dtype)
            return torch.nn.functional.conv2d(x, kernel, **shared)

        return gradient(run)(x, y_bar)

    shapes = [(2, 6, 8, 10), (2, 4, *grid)]
    graph = lower("case", record(Function(f), half(feeds(shapes, 0)), ["x_bar"]))
    assert "ConvTranspose" not in {node.op_type for node in graph.model.graph.node}
    save(graph, tmp_path)
    fresh = half(feeds(shapes, 1))
    (found,) = run_graph(tmp_path, fresh)
    wanted = f(*(x.float() for x in fresh.values()))
    torch.testing.assert_close(torch.as_tensor(found).float(), wanted, rtol=2e-2, atol=2e-2)


def half(inputs):
    return {name: x.half() for name, x in inputs.items()}
