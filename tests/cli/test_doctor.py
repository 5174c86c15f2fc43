"""`xbind doctor` on backends: which `--engine auto` takes, and why the others cannot run."""

import importlib.util
import os
import sys

import pytest

from xbind.cli.doctor import examine
from xbind.engine.record import Key, Made
from xbind.engine.spec import GraphSpec
from xbind.engine.store import EngineStore
from xbind.networks.fingerprint import key_of
from xbind.networks.graphs import GraphRequest
from xbind.networks.manifest import load_manifest


def make(folder):
    (folder / "model.onnx").write_bytes(b"graph")
    return Made(GraphSpec("ms-b3-64px", (), ()))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XBIND_CACHE", str(tmp_path))


def findings():
    return {finding.topic: finding for finding in examine("mini")}


def test_names_what_auto_takes_and_why_a_gpu_backend_cannot_run(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    found = findings()
    assert found["engine"].detail.startswith("--engine auto takes openvino")
    assert found["onnxruntime"].state == "ok"
    assert "for cpu " in found["onnxruntime"].detail
    assert found["tensorrt-rtx"].state == "note"
    assert found["tensorrt-rtx"].detail.startswith("cannot run here: ")
    assert found["engines"].detail.startswith("0 of 0 for openvino fit this installation")


def test_only_engines_of_what_auto_takes_are_counted(tmp_path):
    store, manifest = EngineStore(tmp_path / "engines"), load_manifest("mini")
    for backend in ("openvino", "onnxruntime"):
        store.build(key_of(GraphRequest("ms", 3, 64), backend, manifest), make)
    assert findings()["engines"].detail.startswith("1 of 1 for openvino fit")
    old = key_of(GraphRequest("ms", 3, 64), "openvino", manifest)
    damaged = store.build(Key({**old.fields, "torch": "1.0"}), make).folder
    found = findings()["engines"]
    assert (found.state, found.detail[:23]) == ("note", "1 of 2 for openvino fit")
    (damaged / "engine.json").write_text("{")
    assert "1 of 1 for openvino fit" in findings()["engines"].detail
    assert "; 1 damaged; xbind engines gc" in findings()["engines"].detail


def test_the_cache_folder_is_named_or_what_is_in_its_way(tmp_path, monkeypatch):
    assert findings()["cache"].detail == str(tmp_path)
    monkeypatch.delenv("XBIND_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", os.devnull)
    found = findings()["cache"]
    assert (found.state, "XBIND_CACHE" in found.detail) == ("note", True)


def test_without_openvino_auto_is_onnx_runtime(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert findings()["engine"].detail.startswith("--engine auto takes onnxruntime")


def test_without_either_auto_is_eager_and_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    found = findings()
    assert found["engine"].detail.startswith("--engine auto takes eager")
    assert "pip install onnxruntime" in found["onnxruntime"].detail


@pytest.fixture
def on_a_gpu(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda *_: (8, 9))
    monkeypatch.setattr("torch.cuda.get_device_name", lambda *_: "a card")


def test_on_a_gpu_auto_is_tensorrt_where_it_is_installed(on_a_gpu, monkeypatch):
    found = findings()
    assert found["device"].detail == "--device auto takes cuda"
    assert found["engine"].detail.startswith("--engine auto takes tensorrt-rtx")
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    assert findings()["engine"].detail.startswith("--engine auto takes cuda-graphs")


def test_a_gpu_without_triton_is_not_taken_and_says_why(on_a_gpu, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "triton" else find(name)
    )
    device = findings()["device"]
    assert (device.state, "pip install triton" in device.detail) == ("note", True)
    assert "takes cpu" in device.detail
