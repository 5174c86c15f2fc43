"""Builds of small graphs: real ones with TensorRT-RTX, which needs no GPU, and with the fake."""

import importlib.util
import sys

import fake_tensorrt
import pytest
import torch
from torch import nn

from xbind.engine.errors import BackendUnavailable, EngineError, EngineRefused
from xbind.engine.trt import PLAN
from xbind.export.builder import Dialect
from xbind.export.errors import BuildRefused
from xbind.export.onnx_graph import lower
from xbind.export.record import record
from xbind.export.trt_builder import build_plan
from xbind.system.out_of_memory import TooLittleMemory

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
@pytest.mark.parametrize(
    ("target", "cards"),
    [("sm90", r" \(H100, H200\)"), ("sm100", r" \(B200\)"), ("sm1", "")],
)
def test_a_gpu_that_it_does_not_build_for_is_named_before_anything_is_built(
    tmp_path, monkeypatch, target, cards
):
    monkeypatch.setattr("xbind.export.trt_builder._build", lambda *_: pytest.fail("it was tried"))
    with pytest.raises(
        BackendUnavailable, match=rf"(?s)does not build for {target}{cards}, but for sm75, .*sm121"
    ):
        build_plan("tensorrt-rtx", graph(), tmp_path, targets=[target])
    assert not list(tmp_path.iterdir())


@RTX
def test_turing_builds_where_it_is_named(tmp_path):
    """NVIDIA's default engine leaves 7.5 out."""
    build_plan("tensorrt-rtx", graph(), tmp_path, targets=["sm75"])
    assert (tmp_path / PLAN).stat().st_size > 10_000


@RTX
def test_a_graph_that_the_builder_cannot_build_is_refused_with_its_words(tmp_path):
    with pytest.raises(BuildRefused, match=r"(?s)cannot build 'gradient'.*b16.*xbind engines gc"):
        build_plan("tensorrt-rtx", graph(torch.bfloat16), tmp_path, targets=["sm75"])


@RTX
def test_a_graph_that_it_cannot_read_is_named(tmp_path):
    made = graph()
    next(node for node in made.model.graph.node if node.op_type == "Sigmoid").op_type = "Bernoulli"
    with pytest.raises(BuildRefused, match="cannot read the graph 'gradient' at Bernoulli"):
        build_plan("tensorrt-rtx", made, tmp_path, targets=["sm89"])
    assert not list(tmp_path.iterdir())


def test_a_missing_package_says_what_to_type(tmp_path):
    if importlib.util.find_spec("tensorrt") is not None:
        pytest.skip("tensorrt is installed")
    with pytest.raises(BackendUnavailable, match="pip install tensorrt"):
        build_plan("tensorrt", graph(), tmp_path)


@pytest.fixture
def fake(monkeypatch):
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, fake_tensorrt.module())
    fake_tensorrt.reset()
    yield fake_tensorrt.Builder
    fake_tensorrt.reset()


@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt-rtx"])
def test_float32_is_not_rounded_to_tf32(fake, tmp_path, backend):
    """The fake refuses a configuration that has TensorRT's default."""
    build_plan(backend, graph(), tmp_path, targets=["sm89"], timing_cache=tmp_path / "times")
    assert (tmp_path / PLAN).read_bytes() == b"plan"
    (config,) = fake.built
    assert [c.name for c in config.capabilities] == ([] if backend == "tensorrt" else ["SM89"])
    assert (config.cache is None) == (backend == "tensorrt-rtx")


def test_without_a_target_rtx_builds_for_the_gpu_that_is_there(fake, tmp_path, monkeypatch):
    monkeypatch.setattr("xbind.export.trt_builder.local_target", lambda: "sm75")
    build_plan("tensorrt-rtx", graph(), tmp_path)
    assert [c.name for c in fake.built[0].capabilities] == ["SM75"]


@pytest.mark.parametrize("before", [None, fake_tensorrt.TIMES, b"times of another card"])
def test_measured_times_are_kept_for_the_next_build(fake, tmp_path, before):
    path = tmp_path / "cache" / "times.bin"
    if before is not None:
        path.parent.mkdir()
        path.write_bytes(before)
    for builds in (1, 2):
        build_plan("tensorrt", graph(), tmp_path, timing_cache=path)
        assert path.read_bytes() == fake_tensorrt.TIMES + builds * b"+measured"


def test_a_driver_that_is_too_old_is_an_engine_error(fake, tmp_path):
    fake_tensorrt.DRIVER_TOO_OLD.append(True)
    with pytest.raises(EngineError, match=r"build 'gradient' \(TypeError") as caught:
        build_plan("tensorrt", graph(), tmp_path)
    assert not isinstance(caught.value, EngineRefused)  # another driver may do


@pytest.mark.parametrize(
    ("says", "expected"),
    [("no implementation of Conv", BuildRefused), ("Out of memory in tactic 3", TooLittleMemory)],
)
def test_what_cannot_be_built_is_told_from_too_little_memory(
    fake, tmp_path, monkeypatch, says, expected
):
    monkeypatch.setattr(fake, "plan", None)
    monkeypatch.setattr(fake, "says", says)
    with pytest.raises(expected):
        build_plan("tensorrt", graph(), tmp_path)
