"""Inductor: results of its engines, every way in which one is refused, and CUDA by fakes."""

import contextlib
import os
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fake_gpu import pretend
from torch import nn

from xbind.engine import inductor
from xbind.engine.errors import BackendUnavailable, EngineDamaged, EngineError, FeedError
from xbind.engine.inductor import PACKAGE, InductorBackend, InductorRuntime, check_owned, processor
from xbind.engine.record import Entry, Key
from xbind.engine.spec import GraphSpec, TensorSpec
from xbind.engine.workspace import Workspace
from xbind.export.build_settings import BuildSettings
from xbind.export.errors import BuildRefused
from xbind.export.fx_graph import to_fx
from xbind.export.inductor_builder import build_engine, options
from xbind.export.record import record
from xbind.system.out_of_memory import TooLittleMemory

pytestmark = pytest.mark.slow  # the C++ compiler takes most of a minute on a busy core
SETTINGS = BuildSettings(backend="inductor-cpu", precision="float32")


class Net(nn.Module):
    """A convolution whose gradient is computed inside, and a part of its own for a scalar."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1).requires_grad_(False)

    def forward(self, x, t):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            loss = (self.conv(x).tanh() * t).square().sum()
            (x_bar,) = torch.autograd.grad(loss, x)
        return loss, x_bar


def feeds_of(seed):
    generator = torch.Generator().manual_seed(seed)
    return {"x": torch.randn(2, 3, 48, 40, generator=generator), "t": torch.tensor(1 + seed)}


@pytest.fixture(scope="module")
def net():
    return Net()


def graph_of(net):
    return to_fx("net", record(net, feeds_of(0), ["loss", "x_bar"]), feeds_of(0))


@pytest.fixture(scope="module")
def built(net, tmp_path_factory):
    """Signature and package of an engine; what its build left elsewhere is looked at."""
    folder, cache = tmp_path_factory.mktemp("engine"), tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(cache))
        graph = graph_of(net)
        build_engine(graph, folder, SETTINGS)
    assert [path.name for path in folder.iterdir()] == [PACKAGE]
    assert not [path for path in cache.rglob("*") if path.is_file()]
    return graph.spec, folder / PACKAGE


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_agrees_with_torch_on_what_torch_holds_in_odd_ways(built, net, threads):
    spec, package = built
    with InductorBackend(spec, package, threads=threads) as engine:
        for seed in (1, 2):
            feeds = feeds_of(seed)
            loss, x_bar = net(**feeds)
            turned = feeds["x"].permute(0, 3, 2, 1).contiguous().permute(0, 3, 2, 1)
            assert not turned.is_contiguous()
            found = engine.run(feeds | {"x": turned.requires_grad_()})
            torch.testing.assert_close(found["loss"], loss)
            torch.testing.assert_close(found["x_bar"], x_bar, rtol=1e-4, atol=1e-5)
            assert not found["x_bar"].requires_grad


def test_outputs_are_fresh(built):
    spec, package = built
    with InductorBackend(spec, package) as engine:
        first = engine.run(feeds_of(1))
        kept = {name: x.clone() for name, x in first.items()}
        engine.run(feeds_of(2))
        assert all(torch.equal(first[name], kept[name]) for name in kept)


def test_it_computes_with_its_threads_and_leaves_torch_s(built, monkeypatch):
    spec, package = built
    with InductorBackend(spec, package, threads=2) as engine:
        counts, run = [], engine._model._loader.run
        engine._model._loader = SimpleNamespace(
            run=lambda given: (counts.append(torch.get_num_threads()), run(given))[1]
        )
        engine.run(feeds_of(1))
    assert counts == [2]
    assert torch.get_num_threads() == 1


def test_feeds_are_checked(built):
    spec, package = built
    with InductorBackend(spec, package) as engine, pytest.raises(FeedError):
        engine.run({"x": torch.randn(2, 3, 48, 41), "t": torch.tensor(3)})


@pytest.mark.parametrize("damage", [b"", b"not a package"])
def test_a_file_that_it_cannot_load_is_an_error(built, tmp_path, damage):
    (tmp_path / PACKAGE).write_bytes(damage)
    with pytest.raises(EngineDamaged, match="cannot load"):
        InductorBackend(built[0], tmp_path / PACKAGE)


@pytest.mark.skipif(os.name != "posix", reason="owners and modes are those of POSIX")
@pytest.mark.parametrize("part", ["store/engine/engine.pt2", "store/engine", "store"])
def test_machine_code_that_others_can_write_is_not_loaded(built, tmp_path, monkeypatch, part):
    package = tmp_path / "store/engine" / PACKAGE
    package.parent.mkdir(parents=True)
    package.write_bytes(built[1].read_bytes())
    loaded = []
    monkeypatch.setattr(torch._inductor, "aoti_load_package", lambda *a, **b: loaded.append(a))
    path = tmp_path / part
    usual = path.stat().st_mode & 0o777
    path.chmod(usual | 0o002)
    with pytest.raises(
        EngineError, match=f"(?s){path} can be written by others.*chmod go-w {path}"
    ):
        InductorBackend(built[0], package)
    path.chmod(usual | 0o020)
    check_owned(package)  # by this user's own group
    monkeypatch.setattr(os, "getegid", lambda: path.stat().st_gid + 1)
    with pytest.raises(EngineError, match=r"can be written by others"):
        InductorBackend(built[0], package)
    path.chmod(usual & ~0o022)
    check_owned(package)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    if path.stat().st_uid != 0:
        with pytest.raises(EngineError, match=r"can be written by others"):
            InductorBackend(built[0], package)
    assert loaded == []


def test_without_a_compiler_it_says_what_to_install(net, tmp_path):
    without = torch._inductor.config.patch({"cpp.cxx": ("no-such-compiler",)})
    with without, pytest.raises(BackendUnavailable, match=r"no g\+\+ here.\nInstall one"):
        build_engine(graph_of(net), tmp_path, SETTINGS)


def test_what_torch_cannot_compile_is_refused(net, tmp_path, monkeypatch):
    def fail(*given, **more):
        raise RuntimeError("LoweringException: no kernel\nmore")

    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", fail)
    with pytest.raises(BuildRefused, match=r"cannot build 'net' .*no kernel\)\.\nChoose"):
        build_engine(graph_of(net), tmp_path, SETTINGS)
    monkeypatch.setattr(
        torch._inductor, "aoti_compile_and_package",
        lambda *given, **more: (_ for _ in ()).throw(MemoryError()),
    )  # fmt: skip
    with pytest.raises(TooLittleMemory, match="net"):
        build_engine(graph_of(net), tmp_path, SETTINGS)


def test_options_are_those_of_the_installed_torch():
    known = torch._inductor.config.get_config_copy()
    for device in ("cpu", "cuda"):
        assert options(device, 1).keys() <= known.keys()
    assert options("cuda", 1)["max_autotune"]
    assert options("cuda", 1)["force_layout_optimization"]
    assert options("cpu", 2)["cpp.threads"] == 1
    assert not options("cpu", 2)["cpp.dynamic_threads"]


@pytest.mark.parametrize(
    ("name", "precision", "refused"),
    [
        ("inductor-cpu", "float32", False), ("inductor-cpu", "float16", True),
        ("inductor", "float16", False), ("inductor", "bfloat16", False),
        ("inductor", "mixed", True),
    ],
)  # fmt: skip
def test_precisions(name, precision, refused):
    with pytest.raises(BackendUnavailable) if refused else contextlib.nullcontext():
        InductorRuntime(name).check_precision(precision)


def test_an_engine_is_bound_to_the_features_of_its_processor(monkeypatch):
    assert InductorRuntime("inductor-cpu").target() == processor()
    assert torch.backends.cpu.get_cpu_capability() in processor()
    text = "model name : A\nflags : b a\n\nmodel name : A\nflags : b a\n"
    for other, differs in (("flags : a b", False), ("flags : a c", True)):
        found = []
        for content in (text, text.replace("flags : b a", other)):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "cpuinfo"
                path.write_text(content)
                processor.cache_clear()
                monkeypatch.setattr(inductor, "CPUINFO", path)
                found.append(processor())
        assert (found[0] != found[1]) == differs
    processor.cache_clear()


def test_no_gpu_no_target(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(BackendUnavailable, match="inductor runs on a CUDA device"):
        InductorRuntime("inductor").target()


class FakeRecorder:
    """Records by keeping the call; a replay makes it on the same buffers."""

    def record(self, step, feeds):
        inputs = {name: x.clone() for name, x in feeds.items()}
        first, *others = step.inputs

        def call():
            return step(inputs[first], **{name: inputs[name] for name in others})

        outputs = call()

        def replay():
            for held, new in zip(outputs, call(), strict=True):
                held.copy_(new)

        return SimpleNamespace(inputs=inputs, outputs=outputs, graph=SimpleNamespace(replay=replay))


def cuda_entry(folder, target):
    spec = GraphSpec(
        "net", (TensorSpec("x", "float32", (2,)),), (TensorSpec("y", "float32", (2,)),)
    )
    folder.mkdir(parents=True)
    (folder / PACKAGE).write_bytes(b"code")
    return Entry(folder, Key({"backend": "inductor", "target": target}), spec, {}, {})


@pytest.fixture
def card(monkeypatch):
    """A card whose memory is the CPU's; what was asked of torch is noted."""
    pretend(monkeypatch, (9, 0), "H100")
    asked = SimpleNamespace(opened=[], tf32=[], synchronized=0, loaders=0)

    def load(path, *, run_single_threaded, device_index):
        asked.opened.append((path, run_single_threaded, device_index))
        return SimpleNamespace(loader=SimpleNamespace(run=run))

    def run(given):
        asked.tf32.append(torch.backends.cudnn.allow_tf32)
        return [2 * given[0]]

    def synchronize(device):
        asked.synchronized += 1

    monkeypatch.setattr(torch._inductor, "aoti_load_package", load)
    monkeypatch.setattr(inductor, "Recorder", FakeRecorder)
    monkeypatch.setattr("torch.cuda.synchronize", synchronize)
    monkeypatch.setattr(inductor, "CUDA", torch.device("cpu"))
    return asked


def test_on_cuda_an_engine_is_one_graph_of_its_card(card, tmp_path, monkeypatch):
    runtime, workspace = InductorRuntime("inductor"), Workspace()
    assert runtime.card(runtime.target()) == "sm90 H100"
    assert runtime.card("sm89 RTX 4090") is None
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    entries = [cuda_entry(tmp_path / name, "sm90 H100") for name in "ab"]
    first, second = (runtime.open(e, threads=1, workspace=workspace) for e in entries)
    assert [(single, index) for _, single, index in card.opened] == [(True, -1)] * 2
    assert first._call._recorder is second._call._recorder  # one pool of memory
    for value in (1.0, 4.0):
        x = torch.full((2,), value)
        assert torch.equal(first.run({"x": x})["y"], 2 * x)
    assert not any(card.tf32)
    assert torch.backends.cudnn.allow_tf32
    first.close()
    first.close()
    assert card.synchronized == 1


def test_an_engine_of_another_card_is_not_opened(card, tmp_path):
    entry = cuda_entry(tmp_path / "a", "sm89 RTX 4090")
    with pytest.raises(BackendUnavailable, match="built for sm89 RTX 4090, but this GPU is sm90"):
        InductorRuntime("inductor").open(entry, threads=1)
    assert card.opened == []
