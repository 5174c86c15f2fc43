"""Architectures, cards and start-up of the TensorRT packages, with a device that is pretended."""

import sys

import fake_tensorrt
import pytest
import torch
from fake_gpu import pretend

from xbind.engine.backends import (
    able_backends,
    card_of,
    check_precision,
    check_starts,
    open_backend,
    portable_targets,
    target_of,
)
from xbind.engine.errors import BackendUnavailable, EngineError
from xbind.engine.record import Entry, Key
from xbind.engine.spec import GraphSpec, TensorSpec
from xbind.engine.trt import PLAN
from xbind.engine.trt_package import timing_cache_name

CARDS = {
    (7, 5): "Tesla T4", (8, 0): "NVIDIA A100", (8, 6): "NVIDIA GeForce RTX 3090",
    (8, 9): "NVIDIA GeForce RTX 4090", (9, 0): "NVIDIA H200", (10, 0): "NVIDIA B200",
    (12, 1): "NVIDIA GB10",
}  # fmt: skip


@pytest.fixture(autouse=True)
def fakes(monkeypatch):
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, fake_tensorrt.module())
    fake_tensorrt.reset()
    yield
    fake_tensorrt.reset()


@pytest.mark.parametrize(
    ("capability", "targets"),
    [
        ((7, 5), ("sm75",)),  # not among those of NVIDIA's default engine
        ((8, 0), ("sm80",)),
        ((8, 6), ("sm86", "sm89", "sm120")),
        ((8, 9), ("sm86", "sm89", "sm120")),
        ((12, 1), ("sm121",)),
    ],
)
def test_the_local_architecture_is_always_named(monkeypatch, capability, targets):
    pretend(monkeypatch, capability, CARDS[capability])
    assert portable_targets("tensorrt-rtx") == targets
    assert portable_targets("tensorrt") == ()


@pytest.mark.parametrize(
    ("capability", "words"),
    [((9, 0), "sm90 (H100, H200)"), ((10, 0), "sm100 (B200)"), ((11, 0), "sm110")],
)
def test_an_architecture_that_rtx_does_not_know_is_refused_at_once(monkeypatch, capability, words):
    pretend(monkeypatch, capability, "a card")
    for ask in (target_of, portable_targets):
        with pytest.raises(BackendUnavailable) as caught:
            ask("tensorrt-rtx")
        assert f"does not build for {words}, but for sm75, sm80" in str(caught.value)
        assert "--engine cuda-graphs" in str(caught.value)
    assert able_backends("cuda", ["float16"]) == ["tensorrt"]


def test_what_is_installed_is_taken(monkeypatch):
    pretend(monkeypatch, (8, 9), CARDS[8, 9])
    assert able_backends("cuda", ["float16"]) == ["tensorrt", "tensorrt-rtx"]
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert able_backends("cuda", ["float16"]) == ["tensorrt-rtx"]
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(BackendUnavailable, match=r"(?s)pip install tensorrt`.*tensorrt-rtx-cu12`"):
        able_backends("cuda", ["float16"])


def test_a_plan_is_bound_to_the_card_and_an_rtx_engine_to_its_architecture(monkeypatch):
    pretend(monkeypatch, (8, 6), CARDS[8, 6])
    target = target_of("tensorrt")
    assert target == "sm86 NVIDIA GeForce RTX 3090"
    assert target_of("tensorrt-rtx") == "sm86"
    assert card_of("tensorrt", target) == target
    pretend(monkeypatch, (8, 6), "NVIDIA A40")  # as large a version number, other clocks and memory
    assert card_of("tensorrt", target) is None
    assert card_of("tensorrt-rtx", "sm86+sm89") == "sm86 NVIDIA A40"
    assert card_of("tensorrt-rtx", "sm89+sm120") is None
    assert card_of("onnxruntime", "cpu x86_64") is None


def test_measured_times_are_of_one_card(monkeypatch):
    names = set()
    for card in ("NVIDIA A40", "NVIDIA GeForce RTX 3090"):
        pretend(monkeypatch, (8, 6), card)
        names.add(timing_cache_name("tensorrt"))
    assert len(names) == 2


def test_turing_has_no_bfloat16():
    check_precision("tensorrt-rtx", "bfloat16", ("sm86",))
    with pytest.raises(BackendUnavailable, match="no bfloat16 on sm75"):
        check_precision("tensorrt-rtx", "bfloat16", ("sm75", "sm86"))


@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt-rtx"])
def test_a_runtime_that_does_not_start_is_an_engine_error(monkeypatch, backend):
    monkeypatch.setattr(fake_tensorrt, "ACTIVE", [True])
    check_starts(backend)
    fake_tensorrt.DRIVER_TOO_OLD.append(True)
    with pytest.raises(EngineError, match=rf"{backend} failed to start \(TypeError"):
        check_starts(backend)


def test_an_engine_for_another_gpu_is_not_opened(monkeypatch, tmp_path):
    """TensorRT's own answer would be a message about a failed deserialisation."""
    pretend(monkeypatch, (8, 9), CARDS[8, 9])
    entry = entry_for(tmp_path, "tensorrt-rtx", "sm86")
    with pytest.raises(BackendUnavailable, match=r"built for sm86, but this GPU is sm89 NVIDIA Ge"):
        open_backend(entry, threads=1)


def test_compiled_kernels_are_kept_under_the_engine_s_final_name(monkeypatch, tmp_path):
    """A builder opens the engine in its building folder, whose name no later process has."""
    pretend(monkeypatch, (8, 9), CARDS[8, 9])
    monkeypatch.setenv("XBIND_CACHE", str(tmp_path))
    monkeypatch.setattr("xbind.engine.trt.CudaDevice", lambda device: fake_tensorrt.FakeDevice())
    building = entry_for(tmp_path / ".building-net", "tensorrt-rtx", "sm86+sm89")
    open_backend(building, threads=1, device=torch.device("cuda", 0)).close()
    (kept,) = (tmp_path / "kernels").iterdir()
    assert kept.name == f"{building.key.folder_name}-sm89.bin"


def entry_for(folder, backend, target):
    folder.mkdir(exist_ok=True)
    (folder / PLAN).write_bytes(b"plan rtx")
    spec = GraphSpec(
        "net",
        (TensorSpec("x", "float32", (2, 3)), TensorSpec("t", "int64", ())),
        (TensorSpec("y", "float32", (2, 3)),),
    )
    key = Key({"graph": "net", "backend": backend, "target": target})
    return Entry(folder, key, spec, {}, {})
