"""The TensorRT backends against a fake that insists on the order of calls; none ran on a GPU."""

import sys

import fake_tensorrt
import pytest
import torch

from xbind.engine.errors import BackendUnavailable, EngineDamaged, FeedError
from xbind.engine.spec import GraphSpec, TensorSpec
from xbind.engine.trt import PLAN, CudaDevice, TrtBackend, Workspace, load_tensorrt

SPEC = GraphSpec(
    "net",
    (TensorSpec("x", "float32", (2, 3)), TensorSpec("t", "int64", ())),
    (TensorSpec("y", "float32", (2, 3)),),
)
BACKENDS = ("tensorrt", "tensorrt-rtx")


@pytest.fixture(autouse=True)
def fakes(monkeypatch):
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, fake_tensorrt.module())
    fake_tensorrt.RuntimeCache.loaded.clear()


def opened(folder, backend, spec=SPEC, plan=None, **changes):
    path = folder / PLAN
    path.write_bytes(plan or (b"plan rtx" if backend == "tensorrt-rtx" else b"plan"))
    given = {"workspace": Workspace(), "device": fake_tensorrt.FakeDevice()} | changes
    return TrtBackend(spec, path, backend=backend, **given)


@pytest.mark.parametrize("backend", BACKENDS)
def test_binds_launches_and_waits(tmp_path, backend):
    with opened(tmp_path, backend) as engine:
        for t in (3, 5):  # the second launch needs everything again
            x = torch.randn(3, 2).t()
            found = engine.run({"x": x, "t": torch.tensor(t)})["y"]
            torch.testing.assert_close(found, 2 * x + t)


@pytest.mark.parametrize("backend", BACKENDS)
def test_outputs_are_fresh_and_all_memory_is_held_until_the_end(tmp_path, backend):
    device = fake_tensorrt.FakeDevice()
    with opened(tmp_path, backend, device=device) as engine:
        feeds = {"x": torch.ones(2, 3), "t": torch.tensor(0)}
        first = engine.run(feeds)["y"]
        engine.run(feeds | {"t": torch.tensor(7)})
        assert first.eq(2).all()
    assert device.joined == [4, 4]  # two inputs, the output, the scratch memory


def test_engines_share_one_workspace_of_the_largest_size(tmp_path, monkeypatch):
    workspace = Workspace()
    feeds = {"x": torch.ones(2, 3), "t": torch.tensor(0)}
    small = opened(tmp_path, "tensorrt", workspace=workspace)
    monkeypatch.setattr(fake_tensorrt.Engine, "size", 5000)
    large = opened(tmp_path, "tensorrt", workspace=workspace)
    small.run(feeds)
    assert workspace.memory.numel() == 1000
    large.run(feeds)
    grown = workspace.memory
    assert grown.numel() == 5000
    small.run(feeds)
    assert workspace.memory is grown


def test_rtx_keeps_the_kernels_that_it_has_compiled(tmp_path):
    cache = tmp_path / "kernels" / "net.bin"
    for loaded in ([], [b"kernels"]):
        opened(tmp_path, "tensorrt-rtx", runtime_cache=cache).close()
        assert fake_tensorrt.RuntimeCache.loaded == loaded
        assert cache.read_bytes() == b"kernels"


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_engine_for_another_version_or_gpu_is_refused(tmp_path, backend):
    with pytest.raises(EngineDamaged, match=r"another version or GPU.\nBuild it again with"):
        opened(tmp_path, backend, plan=b"other")


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


def test_the_real_package_has_every_call_with_these_arguments(monkeypatch):
    """Names and arguments that the fake stands for, looked up in TensorRT-RTX itself."""
    monkeypatch.undo()
    trt = pytest.importorskip("tensorrt_rtx")
    wanted = {
        trt.Runtime: ("deserialize_cuda_engine",),
        trt.ICudaEngine: (
            *("num_io_tensors", "get_tensor_name", "get_tensor_mode", "get_tensor_dtype"),
            *("get_tensor_shape", "device_memory_size_v2", "create_runtime_config"),
            "create_execution_context",
        ),
        trt.IRuntimeConfig: (
            *("set_execution_context_allocation_strategy", "cuda_graph_strategy"),
            *("create_runtime_cache", "set_runtime_cache"),
        ),
        trt.IRuntimeCache: ("serialize", "deserialize"),
        trt.IExecutionContext: ("set_device_memory", "set_tensor_address", "execute_async_v3"),
    }
    for kind, names in wanted.items():
        assert not [name for name in names if not hasattr(kind, name)], kind
    assert "memory: typing.SupportsInt, size" in trt.IExecutionContext.set_device_memory.__doc__
    assert "runtime_config: " in trt.ICudaEngine.create_execution_context.__doc__
    assert "strategy: " in trt.ICudaEngine.create_execution_context.__doc__
    assert "name: str, memory" in trt.IExecutionContext.set_tensor_address.__doc__
    assert "stream_handle" in trt.IExecutionContext.execute_async_v3.__doc__
    assert {"USER_MANAGED"} <= set(trt.ExecutionContextAllocationStrategy.__members__)
    assert {"WHOLE_GRAPH_CAPTURE"} <= set(trt.CudaGraphStrategy.__members__)
    assert str(trt.DataType.BF16) == "DataType.BF16"
