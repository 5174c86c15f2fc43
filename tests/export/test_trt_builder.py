"""TensorRT-RTX builds on a machine without a GPU: real builds of small graphs."""

import importlib.util

import pytest
import torch
from torch import nn

from xbind.engine.errors import BackendUnavailable
from xbind.engine.trt import PLAN
from xbind.export.builder import Dialect
from xbind.export.errors import ExportError
from xbind.export.onnx_graph import lower
from xbind.export.record import record
from xbind.export.trt_builder import build_plan

RTX = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed"
)
TARGETS = ("sm86", "sm89", "sm120")


class Gradient(nn.Module):
    """A convolution's value and gradient, the gradient scaled by a number."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.SiLU()).requires_grad_(False)

    def forward(self, x):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            y = self.net(2 * x - 1).sum()
        (x_bar,) = torch.autograd.grad(y, x)
        return y.detach(), x_bar


def graph(dtype=torch.float32):
    module = Gradient().to(dtype)
    recording = record(module, {"x": torch.rand(1, 3, 8, 8).to(dtype)}, ["y", "x_bar"])
    return lower("gradient", recording, Dialect(spread_scalars=True))


@RTX
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_builds_for_gpus_that_are_not_there_and_twice_the_same(tmp_path, dtype):
    phases = []
    plans = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        build_plan(
            "tensorrt-rtx", graph(dtype), folder, targets=TARGETS,
            progress=lambda phase, share: phases.append((phase, share)),
        )  # fmt: skip
        plans.append((folder / PLAN).read_bytes())
    assert plans[0] == plans[1]
    assert len(plans[0]) > 10_000
    assert all(0 <= share <= 1 for _, share in phases)


@RTX
@pytest.mark.parametrize("target", ["sm90", "sm1"])
def test_a_gpu_that_it_does_not_build_for_is_named(tmp_path, target):
    with pytest.raises(ExportError, match=rf"(?s)does not build for {target}.*--target"):
        build_plan("tensorrt-rtx", graph(), tmp_path, targets=[target])
    assert not list(tmp_path.iterdir())


@RTX
def test_a_graph_that_it_cannot_read_is_named(tmp_path):
    made = graph()
    next(node for node in made.model.graph.node if node.op_type == "Sigmoid").op_type = "Bernoulli"
    with pytest.raises(ExportError, match="cannot read the graph 'gradient' at Bernoulli"):
        build_plan("tensorrt-rtx", made, tmp_path, targets=["sm89"])
    assert not list(tmp_path.iterdir())


def test_a_missing_package_says_what_to_type(tmp_path):
    if importlib.util.find_spec("tensorrt") is not None:
        pytest.skip("tensorrt is installed")
    with pytest.raises(BackendUnavailable, match="pip install tensorrt"):
        build_plan("tensorrt", graph(), tmp_path)
