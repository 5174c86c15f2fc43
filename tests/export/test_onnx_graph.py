"""What is written to disk: the same bytes each time, weights inside or beside, checked."""

import onnx
import onnxruntime as ort
import pytest
import torch
from torch import nn

from xbind.export.errors import ExportError
from xbind.export.onnx_graph import MODEL, OPSET, WEIGHTS, lower, save
from xbind.export.record import record


def network():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.SiLU(), nn.Conv2d(8, 3, 3))
    return layers.requires_grad_(False)


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = network()

    def forward(self, image, t):
        return self.net(image) * t.float()


def graph():
    feeds = {"image": torch.randn(1, 3, 8, 8), "t": torch.tensor(3)}
    return lower("named", record(Named(), feeds, ["y"]))


def test_the_same_run_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save(graph(), tmp_path / name)
    assert (tmp_path / "a" / MODEL).read_bytes() == (tmp_path / "b" / MODEL).read_bytes()


def test_large_weights_go_beside_the_graph_and_change_nothing(tmp_path):
    inputs = {"image": torch.randn(1, 3, 8, 8), "t": torch.tensor(5)}
    results, files = [], []
    for name, limit in (("inside", 2**30), ("beside", 100)):
        folder = tmp_path / name
        folder.mkdir()
        files.append([path.name for path in save(graph(), folder, embedded_bytes=limit)])
        session = ort.InferenceSession(str(folder / MODEL))
        results.append(session.run(None, {k: v.numpy() for k, v in inputs.items()})[0])
    assert files == [[MODEL], [MODEL, WEIGHTS]]
    assert (results[0] == results[1]).all()
    assert (tmp_path / "beside" / MODEL).stat().st_size < 4000
    model = onnx.load(tmp_path / "beside" / MODEL, load_external_data=False)
    offsets = [int(e.value) for i in model.graph.initializer for e in i.external_data
               if e.key == "offset"]  # fmt: skip
    assert all(offset % 4096 == 0 for offset in offsets)


class Reshaped(torch.nn.Module):
    """A new shape whose numbers the checker has to read."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(12, 100).requires_grad_(False)

    def forward(self, x):
        return self.linear(x.reshape(2, 3, 4).transpose(1, 2).reshape(2, 12))


def test_shapes_stay_in_the_graph_when_weights_go_beside_it(tmp_path):
    recording = record(Reshaped(), {"x": torch.randn(4, 6)}, ["y"])
    save(lower("turned", recording), tmp_path, embedded_bytes=0)
    assert (tmp_path / WEIGHTS).stat().st_size >= 4 * 1200
    ort.InferenceSession(str(tmp_path / MODEL))


def test_lengths_of_many_parts_stay_in_the_graph(tmp_path):
    class Split(nn.Module):
        def forward(self, x):
            return sum(part.sum() * (k + 1) for k, part in enumerate(x.split([3] * 300)))

    x = torch.randn(900)
    recording = record(Split(), {"x": x}, ["y"])
    save(lower("split", recording), tmp_path, embedded_bytes=0)
    [y] = ort.InferenceSession(str(tmp_path / MODEL)).run(None, {"x": x.numpy()})
    assert y == pytest.approx(float(Split()(x)), rel=1e-4)


def test_a_weight_that_torch_spreads_over_a_batch_is_stored_once():
    """A linear layer on tokens that do not lie in order is a batched product in torch."""
    layer = nn.Linear(8, 16).requires_grad_(False)
    tokens = torch.randn(4, 5, 8).transpose(0, 1)
    recording = record(layer, {"input": tokens}, ["y"])
    assert torch.ops.aten.bmm.default in {call.op for call in recording.calls}
    assert lower("linear", recording).weight_bytes <= 4 * (8 * 16 + 16) + 200  # shapes


def test_a_parameter_that_is_folded_away_is_not_stored():
    class Folded(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(30, 30), requires_grad=False)

        def forward(self, x):
            return x * self.weight.square().mean()

    made = lower("folded", record(Folded(), {"x": torch.rand(3)}, ["y"]))
    assert [tuple(weight.shape) for weight in made.weights.values()] == [()]


def test_the_signature_is_the_module_s(tmp_path):
    made = graph()
    assert made.spec.input_names == ("image", "t")
    assert [str(spec) for spec in made.spec.inputs] == ["float32 [1, 3, 8, 8]", "int64 []"]
    assert [str(spec) for spec in made.spec.outputs] == ["float32 [1, 3, 6, 6]"]
    save(made, tmp_path)
    model = onnx.load(tmp_path / MODEL)
    assert model.opset_import[0].version == OPSET
    assert {i.name for i in model.graph.initializer} > {"net.0.weight", "net.2.bias"}


def test_a_graph_that_onnx_refuses_is_not_accepted(tmp_path):
    made = graph()
    made.model.graph.node[0].input[0] = "nothing"
    with pytest.raises(ExportError, match="ONNX refuses"):
        save(made, tmp_path)


class Turned(nn.Module):
    """One square weight, as it is and turned: the same memory, two constants."""

    def __init__(self):
        super().__init__()
        self.register_buffer("weight", torch.arange(1024.0).reshape(32, 32))

    def forward(self, x):
        return (x + self.weight) * 2 - self.weight.t()


def test_a_square_weight_and_its_transpose_are_two(tmp_path):
    save(lower("turned", record(Turned(), {"x": torch.zeros(32, 32)}, ["y"])), tmp_path)
    session = ort.InferenceSession(str(tmp_path / MODEL))
    x = torch.randn(32, 32)
    (found,) = session.run(None, {"x": x.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), Turned()(x))


@pytest.mark.parametrize(
    ("dtype", "code"),
    [(torch.float16, onnx.TensorProto.FLOAT16), (torch.bfloat16, onnx.TensorProto.BFLOAT16)],
)
def test_half_weights_are_stored_as_they_are(tmp_path, dtype, code):
    net = network().to(dtype)
    made = lower("half", record(net, {"input": torch.randn(1, 3, 8, 8).to(dtype)}, ["y"]))
    save(made, tmp_path)
    model = onnx.load(tmp_path / MODEL)
    stored = {i.name: i for i in model.graph.initializer}["0.weight"]
    assert stored.data_type == code
    assert stored.raw_data == net[0].weight.view(torch.int16).numpy().tobytes()
