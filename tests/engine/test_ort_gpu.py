"""ONNX Runtime for CUDA: its calls by a fake that insists on them, its buffers on a CPU."""

import sys

import fake_onnxruntime_gpu as fake
import onnxruntime
import pytest
import torch
from fake_gpu import pretend
from torch import nn

from xbind.engine.errors import BackendUnavailable, EngineDamaged, EngineError, EngineRefused
from xbind.engine.ort import MODEL, OrtBackend
from xbind.engine.ort_gpu import BoundSession, OrtGpuBackend, OrtGpuRuntime
from xbind.engine.record import Entry, Key
from xbind.engine.spec import GraphSpec, TensorSpec
from xbind.export.onnx_graph import lower, save
from xbind.export.record import record
from xbind.system.out_of_memory import TooLittleMemory

SPEC = GraphSpec(
    "net",
    (TensorSpec("x", "float32", (2, 3)), TensorSpec("t", "int64", ())),
    (TensorSpec("y", "float32", (2, 3)),),
)


@pytest.fixture
def faked(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", fake.module())
    fake.reset()
    yield fake.State
    fake.reset()


def opened(folder, device=None):
    return OrtGpuBackend(SPEC, folder / MODEL, device=device or fake.FakeDevice())


@pytest.mark.usefixtures("faked")
def test_computes_through_fixed_buffers_in_the_order_of_streams(tmp_path):
    device = fake.FakeDevice()
    with opened(tmp_path, device) as engine:
        device.calls.clear()
        for t in (3, 5, 7):
            x = torch.randn(3, 2).t()
            found = engine.run({"x": x, "t": torch.tensor(t)})["y"]
            torch.testing.assert_close(found, 2 * x + t)
    once = ["own stream", "join", "mark"]
    assert device.calls == [*once, ("wait", 3), *once, ("wait", 7), *once, "synchronize"]
    assert fake.SESSIONS[0].replays == 2


@pytest.mark.usefixtures("faked")
def test_outputs_are_fresh(tmp_path):
    with opened(tmp_path) as engine:
        first = engine.run({"x": torch.ones(2, 3), "t": torch.tensor(0)})["y"]
        engine.run({"x": torch.ones(2, 3), "t": torch.tensor(9)})
        assert first.eq(2).all()


@pytest.mark.usefixtures("faked")
def test_closing_may_be_repeated(tmp_path):
    device = fake.FakeDevice()
    engine = opened(tmp_path, device)
    engine.close()
    engine.close()
    assert device.calls.count("synchronize") == 1


def test_a_node_on_the_cpu_is_refused_by_the_session(faked, tmp_path):
    faked.on_cpu = (("ConvTranspose", "ConvTranspose_7"),)
    with pytest.raises(EngineRefused, match=r"no CUDA kernel for some of its nodes of 'net'"):
        opened(tmp_path)


def test_a_node_on_the_cpu_is_seen_even_if_the_session_takes_it(faked, tmp_path, monkeypatch):
    faked.on_cpu = (("ConvTranspose", "ConvTranspose_7"),)
    monkeypatch.setattr(
        fake.SessionOptions, "add_session_config_entry",
        lambda self, key, value: self.entries.update({key: value} if "record" in key else {}),
    )  # fmt: skip
    with pytest.raises(EngineRefused, match="kernel for ConvTranspose ConvTranspose_7 of 'net'"):
        opened(tmp_path)
    faked.on_cpu = ()
    opened(tmp_path).close()


def test_a_provider_that_did_not_start_is_refused(faked, tmp_path):
    faked.starts_with = ("CPUExecutionProvider",)
    with pytest.raises(BackendUnavailable, match="its CUDA libraries did not load"):
        opened(tmp_path)


def test_an_older_version_that_does_not_tell_who_runs_what(faked, tmp_path):
    faked.tells_assignment = False
    opened(tmp_path).close()


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("Protobuf parsing failed", EngineDamaged),
        ("Failed to allocate memory for requested buffer of size 9", TooLittleMemory),
    ],
)
def test_what_it_raises_while_loading(faked, tmp_path, message, error):
    faked.fails = message
    with pytest.raises(error):
        opened(tmp_path)


def test_what_it_raises_while_running(faked, tmp_path):
    engine = opened(tmp_path)
    faked.fails = "CUDNN_STATUS_EXECUTION_FAILED"
    with pytest.raises(EngineError, match=r"failed to run 'net' on CUDA .*CUDNN_STATUS"):
        engine.run({"x": torch.ones(2, 3), "t": torch.tensor(0)})


def test_the_package_for_cpus_is_not_enough():
    with pytest.raises(BackendUnavailable, match=r"for CPUs only.\n.*pip install onnxruntime-gpu"):
        OrtGpuRuntime("onnxruntime-gpu").version()


def test_no_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendUnavailable, match="not installed"):
        OrtGpuRuntime("onnxruntime-gpu").version()


@pytest.mark.usefixtures("faked")
def test_it_is_bound_to_the_card(tmp_path, monkeypatch):
    runtime = OrtGpuRuntime("onnxruntime-gpu")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(BackendUnavailable, match="onnxruntime-gpu runs on a CUDA device"):
        runtime.target()
    assert runtime.card("sm89 RTX 4090") is None
    pretend(monkeypatch, (8, 9), "RTX 4090")
    assert runtime.target() == "sm89 RTX 4090"
    assert runtime.card("sm89 RTX 4090") == "sm89 RTX 4090"
    monkeypatch.setattr("xbind.engine.ort_gpu.CudaDevice", lambda device: fake.FakeDevice())
    entry = Entry(tmp_path, Key({"backend": "onnxruntime-gpu"}), SPEC, {}, {})
    runtime.open(entry, threads=1).close()


def test_bfloat16_is_refused():
    runtime = OrtGpuRuntime("onnxruntime-gpu")
    runtime.check_precision("mixed")
    with pytest.raises(BackendUnavailable, match="no bfloat16"):
        runtime.check_precision("bfloat16")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3).requires_grad_(False)

    def forward(self, x, t):
        return self.linear(x).exp() * t, t + 1


def test_bound_buffers_of_a_real_session(tmp_path):
    net, given = Net(), {"x": torch.randn(2, 4), "t": torch.tensor(1)}
    graph = lower("net", record(net, given, ["y", "u"]))
    save(graph, tmp_path)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = onnxruntime.InferenceSession(
        str(tmp_path / MODEL), options, providers=["CPUExecutionProvider"]
    )
    nodes = [n for part in session.get_provider_graph_assignment_info() for n in part.get_nodes()]
    assert {part.ep_name for part in session.get_provider_graph_assignment_info()} == {
        "CPUExecutionProvider"
    }
    assert all(node.op_type and node.name for node in nodes)
    bound = BoundSession(session, graph.spec, torch.device("cpu"))
    with OrtBackend(graph.spec, tmp_path / MODEL, threads=1) as plain:
        for t in (3, 5):
            feeds = {"x": torch.randn(2, 4), "t": torch.tensor(t)}
            for name, x in feeds.items():
                bound.buffers[name].copy_(x)
            bound.run()
            for name, wanted in plain.run(feeds).items():
                torch.testing.assert_close(bound.buffers[name], wanted)
