"""Graphs in half with some layers in float32, against torch in the same mixture."""

import importlib.util

import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from xbind.engine.ort import MODEL, OrtBackend
from xbind.export.builder import Dialect
from xbind.export.errors import ExportError
from xbind.export.intermediate import tensors_in_graph
from xbind.export.mixed import element_types, keep_float32, marked, tensors_of, widened
from xbind.export.onnx_graph import Graph, lower, save
from xbind.export.record import record
from xbind.export.trt_builder import build_plan

RTX = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed"
)


class Net(nn.Module):
    """Two layers in half between float32 ends; with a large gain, half is infinite between them.

    The casts are written out: ONNX Runtime computes neighbouring operations on halves in float32 on
    a CPU, and rounds at explicit casts only.
    """

    def __init__(self, gain):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(8, 8).half(), nn.Linear(8, 4).half()
        self.gain = gain

    def forward(self, x):
        large = (self.gain * self.first(x.half()).float()).half()
        return self.second((large.float() / self.gain).half()).float()


X = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))


def graph(gain=1.0, dialect=Dialect()):  # noqa: B008
    return lower("net", record(Net(gain), {"x": X}, ["y"]), dialect)


def run(made, folder):
    save(made, folder)
    with OrtBackend(made.spec, folder / MODEL, threads=1) as backend:
        return backend.run({"x": X})


def nodes(made, op):
    return [node.name for node in made.model.graph.node if node.op_type == op]


def test_the_widened_graph_is_the_network_in_float32(tmp_path):
    wide = widened(graph(1e6))
    assert not {TensorProto.FLOAT16} & set(element_types(wide).values())
    expected = Net(1.0).float()
    want = expected.second(expected.first(X))
    torch.testing.assert_close(run(wide, tmp_path)["y"], want, rtol=1e-4, atol=1e-5)


def test_kept_layers_hand_on_values_beyond_half(tmp_path):
    """Between two kept layers a tensor is not rounded to half, where it would be infinite."""
    half = graph(1e6)
    assert not torch.isfinite(run(half, tmp_path)["y"]).all()
    _, _, overflow, reader, _, _ = nodes(half, "Cast")
    alone = run(keep_float32(half, [overflow]), tmp_path)["y"]
    assert not torch.isfinite(alone).all()  # its reader gets it in half
    both = run(keep_float32(half, [overflow, reader]), tmp_path)["y"]
    torch.testing.assert_close(both, Net(1.0)(X), rtol=0.01, atol=0.01)


def test_each_kept_layer_computes_in_float32_and_the_others_in_half(tmp_path):
    half = graph()
    (name,) = (n.name for n in half.model.graph.node if "second.weight" in n.input)
    mixed = keep_float32(half, [name])
    types = element_types(mixed)
    kinds = {
        node.name: {types[x] for x in (*node.input, *node.output) if x}
        for node in mixed.model.graph.node
        if node.op_type in ("MatMul", "Gemm")
    }
    assert kinds.pop(name) == {TensorProto.FLOAT}
    assert all(kind == {TensorProto.FLOAT16} for kind in kinds.values())
    assert mixed.spec == half.spec


def test_a_layer_that_there_is_not_is_named():
    with pytest.raises(ExportError, match=r"no node Conv_99.\n.*xbind engines diagnose"):
        keep_float32(graph(), ["Conv_99"])


def test_marked_tensors_are_those_that_polygraphy_marks(tmp_path):
    half = graph()
    names = list(tensors_of(half))
    assert len(names) == len(half.model.graph.node)
    own = run(marked(half, names), tmp_path)
    theirs = tensors_in_graph(half, names, {"x": X})
    assert set(names) <= own.keys()
    for name in names:
        assert torch.equal(own[name], theirs[name]), name


def test_shapes_are_inferred_through_reshapes(tmp_path):
    half = graph()
    node = helper.make_node("Reshape", ["y", "turned"], ["flat"], name="turn")
    half.model.graph.node.append(node)
    weights = half.weights | {"turned": torch.tensor([2, -1])}
    made = marked(Graph(half.spec, half.model, weights), ["flat"])
    assert made.spec.outputs[-1].shape == (2, 6)
    assert run(made, tmp_path)["flat"].shape == (2, 6)


@RTX
def test_rtx_builds_marked_and_mixed_graphs(tmp_path):
    half = graph(dialect=Dialect(spread_scalars=True))
    mixed = keep_float32(half, nodes(half, "Cast"))
    for name, made in {"marked": marked(half, list(tensors_of(half))), "mixed": mixed}.items():
        (tmp_path / name).mkdir()
        build_plan("tensorrt-rtx", made, tmp_path / name, targets=["sm89"])
