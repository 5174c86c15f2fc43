"""The TensorRT backends against a fake that insists on the order of calls; none ran on a GPU."""

import logging
import sys

import fake_tensorrt
import pytest
import torch

from xbind.engine.errors import BackendUnavailable, EngineDamaged, EngineError, FeedError
from xbind.engine.spec import GraphSpec, TensorSpec
from xbind.engine.trt import PLAN, CudaDevice, TrtBackend, Workspace
from xbind.engine.trt_package import load_tensorrt
from xbind.system.out_of_memory import TooLittleMemory

SPEC = GraphSpec(
    "net",
    (TensorSpec("x", "float32", (2, 3)), TensorSpec("t", "int64", ())),
    (TensorSpec("y", "float32", (2, 3)),),
)
BACKENDS = ("tensorrt", "tensorrt-rtx")
FEEDS = {"x": torch.ones(2, 3), "t": torch.tensor(0)}


@pytest.fixture(autouse=True)
def fakes(monkeypatch):
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, fake_tensorrt.module())
    fake_tensorrt.reset()
    yield
    fake_tensorrt.reset()


def opened(folder, backend, spec=SPEC, plan=None, **changes):
    path = folder / PLAN
    path.write_bytes(plan or (b"plan rtx" if backend == "tensorrt-rtx" else b"plan"))
    given = {"workspace": Workspace(), "device": fake_tensorrt.FakeDevice()} | changes
    return TrtBackend(spec, path, backend=backend, **given)


@pytest.mark.parametrize("backend", BACKENDS)
def test_binds_launches_and_waits(tmp_path, backend):
    with opened(tmp_path, backend) as engine:
        for t in (3, 5):
            x = torch.randn(3, 2).t()
            found = engine.run({"x": x, "t": torch.tensor(t)})["y"]
            torch.testing.assert_close(found, 2 * x + t)


@pytest.mark.parametrize("backend", BACKENDS)
def test_outputs_are_fresh_and_scratch_memory_is_held_until_the_end(tmp_path, backend):
    device = fake_tensorrt.FakeDevice()
    with opened(tmp_path, backend, device=device) as engine:
        first = engine.run(FEEDS)["y"]
        engine.run(FEEDS | {"t": torch.tensor(7)})
        assert first.eq(2).all()
    assert device.joined == [1, 1]


@pytest.mark.parametrize("backend", BACKENDS)
def test_addresses_stay_so_that_a_cuda_graph_is_recorded_once(tmp_path, backend):
    with opened(tmp_path, backend) as engine:
        kept = [engine.run({"x": torch.randn(2, 3), "t": torch.tensor(i)}) for i in range(4)]
        assert len(kept) == 4  # outputs that live on do not force other buffers
        (context,) = fake_tensorrt.contexts()
        assert context.recordings == 1


def test_rtx_logs_once_whether_the_engine_becomes_a_cuda_graph(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    with opened(tmp_path, "tensorrt-rtx") as engine:
        engine.run(FEEDS)
        engine.run(FEEDS)
        (context,) = fake_tensorrt.contexts()
    assert context.asked == [fake_tensorrt.SIDE_STREAM]
    assert caplog.messages == ["net: TensorRT-RTX runs it as one CUDA graph"]


def test_a_run_waits_for_the_run_of_another_engine_that_shares_its_scratch_memory(tmp_path):
    workspace, device = Workspace(), fake_tensorrt.FakeDevice()
    first, second = (
        opened(tmp_path, "tensorrt", workspace=workspace, device=device) for _ in range(2)
    )
    first.run(FEEDS)
    mark = workspace.last
    assert device.waited == []
    second.run(FEEDS)
    assert device.waited == [mark]


@pytest.mark.parametrize("backend", BACKENDS)
def test_closing_waits_for_the_device_and_may_be_repeated(tmp_path, backend):
    device = fake_tensorrt.FakeDevice()
    engine = opened(tmp_path, backend, device=device)
    engine.run(FEEDS)
    with fake_tensorrt.unfinished_work() as done:
        engine.close()
        assert done == [True]
    engine.close()
    assert device.synchronized == 1


def test_engines_share_one_workspace_of_the_largest_size(tmp_path, monkeypatch):
    workspace = Workspace()
    small = opened(tmp_path, "tensorrt", workspace=workspace)
    monkeypatch.setattr(fake_tensorrt.Engine, "size", 5000)
    large = opened(tmp_path, "tensorrt", workspace=workspace)
    small.run(FEEDS)
    assert workspace.memory.numel() == 1000
    large.run(FEEDS)
    grown = workspace.memory
    assert grown.numel() == 5000
    small.run(FEEDS)
    small.run(FEEDS)
    assert workspace.memory is grown
    assert [context.recordings for context in fake_tensorrt.contexts()] == [2, 1]


def test_an_engine_without_scratch_memory_gets_an_address_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(fake_tensorrt.Engine, "size", 0)
    with opened(tmp_path, "tensorrt") as engine:
        assert engine.run(FEEDS)["y"].eq(2).all()


def test_rtx_keeps_the_kernels_that_it_has_compiled(tmp_path):
    cache = tmp_path / "kernels" / "net.bin"
    for loaded in ([], [b"kernels"]):
        opened(tmp_path, "tensorrt-rtx", runtime_cache=cache).close()
        assert fake_tensorrt.RuntimeCache.loaded == loaded
        assert cache.read_bytes() == b"kernels"


def test_kernels_of_another_driver_are_written_again(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    cache = tmp_path / "net.bin"
    cache.write_bytes(b"of another driver")
    opened(tmp_path, "tensorrt-rtx", runtime_cache=cache).close()
    assert cache.read_bytes() == b"kernels"
    assert "another card or driver" in caplog.text


def test_a_cache_that_cannot_be_written_costs_no_result(tmp_path, caplog):
    (tmp_path / "kernels").write_text("a file where the folder should be")
    engine = opened(tmp_path, "tensorrt-rtx", runtime_cache=tmp_path / "kernels" / "net.bin")
    assert engine.run(FEEDS)["y"].eq(2).all()
    engine.close()
    assert "cannot keep compiled kernels" in caplog.text


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_engine_for_another_version_or_gpu_is_refused(tmp_path, backend):
    wanted = r"another version or GPU \(magic tag does not match\).\nBuild it again with"
    with pytest.raises(EngineDamaged, match=wanted):
        opened(tmp_path, backend, plan=b"other")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_driver_that_is_too_old_is_an_engine_error(tmp_path, backend):
    fake_tensorrt.DRIVER_TOO_OLD.append(True)
    with pytest.raises(EngineError, match=r"(?s)load the engine 'net' \(TypeError.*doctor"):
        opened(tmp_path, backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_engine_without_a_context_is_refused(tmp_path, backend, monkeypatch):
    monkeypatch.setattr(fake_tensorrt.Engine, "no_context", True)
    with pytest.raises(EngineError, match=r"(?s)no execution context for the engine 'net'.*memory"):
        opened(tmp_path, backend)


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (ValueError("invalid stream"), EngineError, r"run the engine 'net' \(ValueError"),
        (RuntimeError("CUDA out of memory"), TooLittleMemory, "run the engine 'net'"),
    ],
)
def test_what_a_launch_raises_is_an_error_of_ours(tmp_path, raised, expected, message):
    with opened(tmp_path, "tensorrt") as engine:
        fake_tensorrt.Context.fails.append(raised)
        with pytest.raises(expected, match=message):
            engine.run(FEEDS)


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": (TensorSpec("x", "float32", (2, 4)), SPEC.inputs[1])},
        {"inputs": (SPEC.inputs[0], TensorSpec("t", "float32", ()))},
        {"outputs": (TensorSpec("z", "float32", (2, 3)),)},
        {"inputs": (*SPEC.inputs, SPEC.outputs[0]), "outputs": ()},
    ],
)
def test_an_engine_with_another_signature_is_refused(tmp_path, change):
    fields = {"name": "net", "inputs": SPEC.inputs, "outputs": SPEC.outputs} | change
    with pytest.raises(EngineDamaged, match="another signature"):
        opened(tmp_path, "tensorrt", GraphSpec(**fields))


def test_an_engine_that_wants_a_tensor_in_main_memory_is_refused(tmp_path, monkeypatch):
    """Its address would be read by the CPU, and ours lies on the device."""
    monkeypatch.setattr(fake_tensorrt.Engine, "on_host", {"t"})
    with pytest.raises(EngineDamaged, match=r"another signature.*on the GPU\?"):
        opened(tmp_path, "tensorrt")


def test_feeds_are_checked_before_anything_is_bound(tmp_path):
    with opened(tmp_path, "tensorrt") as engine, pytest.raises(FeedError):
        engine.run({"x": torch.ones(2, 4), "t": torch.tensor(0)})


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_missing_package_says_what_to_type(monkeypatch, backend):
    monkeypatch.setitem(sys.modules, backend.replace("-", "_"), None)
    with pytest.raises(BackendUnavailable, match="pip install tensorrt"):
        load_tensorrt(backend)


def test_a_gpu_is_not_imagined(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(BackendUnavailable, match=r"none here.\nChoose --engine onnxruntime"):
        CudaDevice()


def test_the_second_gpu_has_streams_and_memory_of_its_own(monkeypatch):
    asked = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: (8, 9))
    monkeypatch.setattr("torch.cuda.current_device", lambda: 0)
    monkeypatch.setattr("torch.cuda.Stream", asked.append)
    monkeypatch.setattr("torch.cuda.synchronize", asked.append)
    second = torch.device("cuda", 1)
    device = CudaDevice(second)
    device.synchronize()
    assert device.device == second
    assert asked == [second, second]
    assert CudaDevice(torch.device("cuda")).device == torch.device("cuda", 0)


def test_the_real_package_has_every_call_with_these_arguments(monkeypatch):
    """Names and arguments that the fake stands for, looked up in TensorRT-RTX itself."""
    monkeypatch.undo()
    trt = pytest.importorskip("tensorrt_rtx")
    wanted = {
        trt.Runtime: ("deserialize_cuda_engine",),
        trt.ICudaEngine: (
            *("num_io_tensors", "get_tensor_name", "get_tensor_mode", "get_tensor_dtype"),
            *("get_tensor_shape", "get_tensor_location", "device_memory_size_v2"),
            *("create_runtime_config", "create_execution_context"),
        ),
        trt.IRuntimeConfig: (
            *("set_execution_context_allocation_strategy", "cuda_graph_strategy"),
            *("create_runtime_cache", "set_runtime_cache"),
        ),
        trt.IRuntimeCache: ("serialize", "deserialize"),
        trt.IExecutionContext: (
            *("set_device_memory", "set_tensor_address", "execute_async_v3"),
            "is_stream_capturable",
        ),
        trt.IBuilderConfig: (
            *("clear_flag", "set_flag", "create_timing_cache", "set_timing_cache"),
            *("get_timing_cache", "num_compute_capabilities", "set_compute_capability"),
        ),
    }
    for kind, names in wanted.items():
        assert not [name for name in names if not hasattr(kind, name)], kind
    assert "memory: typing.SupportsInt, size" in trt.IExecutionContext.set_device_memory.__doc__
    assert "runtime_config: " in trt.ICudaEngine.create_execution_context.__doc__
    assert "strategy: " in trt.ICudaEngine.create_execution_context.__doc__
    assert "name: str, memory" in trt.IExecutionContext.set_tensor_address.__doc__
    assert "stream_handle" in trt.IExecutionContext.execute_async_v3.__doc__
    assert "-> bool" in trt.IExecutionContext.is_stream_capturable.__doc__
    assert "-> bool" in trt.IRuntimeCache.deserialize.__doc__
    assert "ignore_mismatch: bool) -> bool" in trt.IBuilderConfig.set_timing_cache.__doc__
    assert {"USER_MANAGED"} <= set(trt.ExecutionContextAllocationStrategy.__members__)
    assert {"WHOLE_GRAPH_CAPTURE"} <= set(trt.CudaGraphStrategy.__members__)
    assert {"DEVICE", "HOST"} <= set(trt.TensorLocation.__members__)
    assert {"TF32", "REQUIRE_USER_ALLOCATION"} <= set(trt.BuilderFlag.__members__)
    fake = set(fake_tensorrt.ComputeCapability.__members__)
    assert fake <= set(trt.ComputeCapability.__members__)
    assert str(trt.DataType.BF16) == "DataType.BF16"
