"""An allocation that fails is told as such, not as a damaged engine or a traceback."""

import errno
from pathlib import Path
from types import SimpleNamespace

import onnxruntime
import pytest
import torch

from xbind.cli.guard import guard
from xbind.engine import ort, ov
from xbind.engine.errors import EngineDamaged
from xbind.engine.spec import GraphSpec
from xbind.system.out_of_memory import TooLittleMemory, is_memory_error

SPEC = GraphSpec("ms-b3", (), ())
FAILED = [
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("Exception from src/inference/src/core.cpp:\n[ GENERAL_ERROR ] can't alloc"),
    RuntimeError("std::bad_alloc"),
    RuntimeError("could not create a primitive"),
    SystemError("error return without exception set"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
]


@pytest.mark.parametrize("error", FAILED, ids=str)
def test_what_libraries_raise_is_recognised(error):
    assert is_memory_error(error)
    wrapped = ValueError("while converting")
    wrapped.__cause__ = error
    assert is_memory_error(wrapped)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shape mismatch"),
        OSError(errno.ENOSPC, "full"),
        KeyError("out of memory"),
        SystemError("unknown opcode"),
    ],
)
def test_other_errors_are_not(error):
    assert not is_memory_error(error)


def test_torch_s_own_error_is_recognised():
    with pytest.raises(RuntimeError) as failed:
        torch.empty(2**62, dtype=torch.uint8)
    assert is_memory_error(failed.value)


def fake_openvino(monkeypatch, error):
    def import_model(*_args):
        raise error

    core = SimpleNamespace(import_model=import_model)
    monkeypatch.setattr(ov, "_runtime", lambda: SimpleNamespace(Core=lambda: core, __version__="1"))


def load_openvino(path):
    return ov.OvBackend(SPEC, path, threads=1, precision="float32")


def test_openvino_without_memory_is_no_damaged_engine(tmp_path, monkeypatch):
    (tmp_path / "blob").write_bytes(b"x")
    fake_openvino(monkeypatch, RuntimeError("[ GENERAL_ERROR ] can't alloc"))
    with pytest.raises(TooLittleMemory, match=r"memory for the engine 'ms-b3'(?s:.*)--threads"):
        load_openvino(tmp_path / "blob")
    fake_openvino(monkeypatch, RuntimeError("bad magic"))
    with pytest.raises(EngineDamaged, match="engines gc"):
        load_openvino(tmp_path / "blob")


def test_onnx_runtime_without_memory_is_no_damaged_engine(monkeypatch):
    def session(*_args, **_kwargs):
        raise onnxruntime.capi.onnxruntime_pybind11_state.RuntimeException("std::bad_alloc")

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    with pytest.raises(TooLittleMemory, match="the engine 'ms-b3'"):
        ort.OrtBackend(SPEC, Path("model.onnx"), threads=1)


@pytest.mark.parametrize("error", FAILED, ids=str)
def test_a_command_says_it_and_leaves_with_1(error):
    def work():
        raise error

    with pytest.raises(SystemExit) as left:
        guard("xbind", [], work, str)
    assert left.value.code.startswith("xbind: Too little memory")


def test_gpu_memory_is_told_from_main_memory():
    def work():
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(SystemExit) as left:
        guard("xbind", [], work, str)
    assert "GPU memory" in left.value.code
    assert "--vram" in left.value.code
