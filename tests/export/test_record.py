"""What may be written down, and what must be refused rather than baked in."""

import pytest
import torch
from guidance_fakes import tiny_unet, tiny_vae
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor

from xbind.diffusion.schedule import NoiseSchedule
from xbind.export.errors import ExportError
from xbind.export.onnx_graph import lower
from xbind.export.record import record
from xbind.losses.sds2d import Sds2d


class Module(nn.Module):
    def __init__(self, f, **buffers):
        super().__init__()
        self.f = f
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer)

    def forward(self, x):
        return self.f(self, x)


def recorded(f, *outputs, **buffers):
    return record(Module(f, **buffers), {"x": torch.randn(2, 3)}, outputs or ("y",))


def test_a_tensor_from_nowhere_is_refused():
    held = torch.randn(3)
    with pytest.raises(ExportError, match=r"(?s)aten\.mul.*register it as a buffer"):
        recorded(lambda _, x: x * held)


def test_a_registered_tensor_keeps_its_name():
    recording = recorded(lambda self, x: x * self.scale, scale=torch.randn(3))
    assert list(recording.names.values()) == ["scale"]
    assert "scale" in lower("g", recording).weights


def test_reading_a_value_is_refused():
    with pytest.raises(ExportError, match="reads a tensor into Python"):
        recorded(lambda _, x: x * 2 if x.sum() > 0 else x)


@pytest.mark.parametrize("draw", [torch.randn_like, torch.bernoulli])
def test_a_random_draw_is_refused(draw):
    with pytest.raises(ExportError, match="draws random numbers"):
        recorded(lambda _, x: x + draw(x.abs().clamp(max=1)))


def test_dropout_that_drops_nothing_is_no_draw():
    attention = torch.nn.functional.scaled_dot_product_attention
    recording = recorded(lambda _, x: attention(*[x[None, None]] * 3))
    assert any("attention" in str(call.op) for call in recording.calls)


def test_a_change_in_place_of_what_is_also_seen_elsewhere_is_refused():
    def f(_, x):
        y = x * 2
        z = y[0]
        y.add_(1)
        return z

    with pytest.raises(ExportError, match=r"in place \(aten\.add_"):
        recorded(f)


def test_a_feed_or_a_buffer_may_not_change():
    with pytest.raises(ExportError, match="in place"):
        recorded(lambda self, x: self.held.add_(x), held=torch.zeros(2, 3))


def test_an_unknown_operation_is_named():
    recording = recorded(lambda _, x: torch.cumsum(x, 0))
    with pytest.raises(ExportError, match=r"aten\.cumsum\.default"):
        lower("g", recording)


@pytest.mark.parametrize("compute", [True, False])
def test_a_literal_is_a_constant(compute):
    module = Module(lambda _, x: x * torch.tensor([1.0, 2.0, 3.0]))
    graph = lower("g", record(module, {"x": torch.randn(2, 3)}, ["y"], compute=compute))
    assert [x.tolist() for x in graph.weights.values()] == [[1.0, 2.0, 3.0]]


def test_what_no_output_needs_is_left_out():
    recording = recorded(lambda _, x: (x * 2, torch.cumsum(x, 0))[:1])
    assert [node.op_type for node in lower("g", recording).model.graph.node] == ["Mul", "Identity"]


def test_equal_nodes_are_made_once():
    graph = lower("g", recorded(lambda _, x: x.exp() * x.exp()))
    assert [node.op_type for node in graph.model.graph.node] == ["Exp", "Mul", "Identity"]


def test_nodes_that_differ_in_an_attribute_only_are_two():
    graph = lower("g", recorded(lambda _, x: x.softmax(0) + x.softmax(1)))
    operators = [node.op_type for node in graph.model.graph.node]
    assert operators == ["Softmax", "Softmax", "Add", "Identity"]


def test_a_feed_may_not_be_called_like_a_parameter():
    recording = recorded(lambda self, x: self.scale * x, scale=torch.randn(3))
    recording.names[next(iter(recording.names))] = "x"
    with pytest.raises(ExportError, match="already has something called"):
        lower("g", recording)


def step_feeds(seed):
    rng = torch.Generator().manual_seed(seed)
    return {
        "image": torch.rand(1, 3, 16, 16, generator=rng),
        "noise": torch.randn(1, 4, 8, 8, generator=rng),
        "t": torch.randint(0, 1000, (1,), generator=rng),
        "class_labels": torch.randn(1, 12, generator=rng),
        "context": torch.randn(1, 3, 12, generator=rng),
        "null_context": torch.randn(1, 3, 12, generator=rng),
        "cfg_scale": torch.tensor(3.0),
        "weight": torch.ones(1),
    }


def test_shapes_alone_give_the_same_graph():
    """What is too large to compute is recorded without computing."""
    alphas = torch.linspace(0.999, 0.005, 1000)
    step = Sds2d(
        tiny_vae(), tiny_unet(), NoiseSchedule(alphas, "v_prediction"),
        latent_px=2, image_term=False,
    )  # fmt: skip
    first, second = (
        lower("g", record(step, step_feeds(1), step.outputs, compute=compute))
        for compute in (True, False)
    )
    assert first.model == second.model
    assert all(type(x) is not FakeTensor for x in second.weights.values())
    assert first.weights.keys() == second.weights.keys()
