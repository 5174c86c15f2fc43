"""What a run computes its networks with on a GPU, with stand-ins for the device: there is none."""

import sys
from types import SimpleNamespace

import fake_tensorrt
import pytest
import torch
from fake_gpu import pretend

from xbind.config.savings import Savings
from xbind.engine.cuda_graph import GraphedStep
from xbind.engine.errors import BackendUnavailable, EngineError
from xbind.engine.store import EngineStore
from xbind.models.channels_last import FusedGroupNorm
from xbind.models.patches import PatchProjection
from xbind.networks import select as compiled
from xbind.networks.frozen import Bundle
from xbind.networks.graphs import GraphRequest
from xbind.networks.load import load_bundle
from xbind.networks.manifest import load_manifest
from xbind.networks.precision import HalfUNet
from xbind.networks.runtime import Part
from xbind.networks.select import compile_run, runs_in_engines

CUDA, CPU = torch.device("cuda"), torch.device("cpu")
MS = [GraphRequest("ms", 3, 64)]


@pytest.fixture
def bundle():
    return load_bundle(load_manifest("mini"))


@pytest.fixture
def moves(monkeypatch):
    """What the bundle was asked to do, instead of moving to a device that is not there."""
    asked = []

    def to(self, device, *, guiding=True):
        asked.append((device.type, guiding))
        return self

    monkeypatch.setattr(Bundle, "to", to)
    return asked


@pytest.fixture
def card(monkeypatch):
    """A GPU that TensorRT-RTX builds for."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda *_: (8, 9))
    monkeypatch.setattr("torch.cuda.get_device_name", lambda *_: "a card")


def run(choice, bundle, folder, device=CUDA, precision="float32", said=None):
    report = [].append if said is None else said.append
    parts = {"coarse": Part(MS, Savings(precision=precision))}
    store = EngineStore(folder)
    return compile_run(choice, bundle, parts, store, threads=1, report=report, device=device)


def test_auto_is_cuda_graphs_without_tensorrt(bundle, tmp_path, moves, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    monkeypatch.setattr(compiled, "Recorder", lambda: SimpleNamespace())
    said = []
    found = run("auto", bundle, tmp_path, said=said)
    assert found.backend == "cuda-graphs"
    assert isinstance(found.of_stage("coarse").step("ms"), GraphedStep)
    assert moves == [("cuda", True)]
    assert said[0].startswith("guidance in eager torch as CUDA graphs: No engine computes in ")
    assert "pip install tensorrt-rtx-cu12" in said[0]


def test_auto_is_tensorrt_where_it_is_installed(bundle, tmp_path, moves, card, monkeypatch):
    built = []
    monkeypatch.setattr(compiled._Engines, "of", lambda self, wanted: built.append(self.backend))
    said = []
    assert run("auto", bundle, tmp_path, said=said).backend == "tensorrt-rtx"
    assert built == ["tensorrt-rtx"]
    assert moves == [("cuda", False)]  # engines have weights of their own
    assert said[0].startswith("guidance in TensorRT-RTX ")


def test_auto_leaves_out_tensorrt_where_it_cannot_build_and_says_why(
    bundle, tmp_path, moves, card, monkeypatch
):
    """As TensorRT-RTX on an H100, which it does not know."""

    def refuse(self, wanted):
        raise EngineError("sm90 is not a target.\nBuild for another.")

    monkeypatch.setattr(compiled._Engines, "of", refuse)
    monkeypatch.setattr(compiled, "Recorder", lambda: SimpleNamespace())
    said = []
    assert run("auto", bundle, tmp_path, said=said).backend == "cuda-graphs"
    assert "TensorRT-RTX is left out: sm90 is not a target." in said
    with pytest.raises(EngineError):  # a name is an obligation
        run("tensorrt-rtx", bundle, tmp_path)


def test_eager_torch_computes_in_half_on_cuda(bundle, tmp_path, moves):
    found = run("eager", bundle, tmp_path, precision="float16")
    assert found.backend == "eager"
    assert not isinstance(found.of_stage("coarse").step("ms"), GraphedStep)
    assert isinstance(found.bundle.unclip.unet, HalfUNet)


@pytest.mark.parametrize("precision", ["float16", "bfloat16", "float32"])
def test_norms_are_fused_in_half_and_in_copies_only(precision, bundle, tmp_path, moves):
    found = run("eager", bundle, tmp_path, precision=precision)
    nets = [net for prior in (found.bundle.unclip, found.bundle.zero123)
            for net in (prior.unet, prior.vae)]  # fmt: skip
    for net in nets:
        kinds = {type(layer) for layer in net.modules() if "GroupNorm" in type(layer).__name__}
        assert kinds == {torch.nn.GroupNorm if precision == "float32" else FusedGroupNorm}
    # an engine is still built from the networks as they were
    own = [type(layer) for layer in bundle.unclip.vae.modules()]
    assert FusedGroupNorm not in own


@pytest.mark.parametrize(
    ("choice", "device", "precision", "message"),
    [
        ("cuda-graphs", CPU, "float32", "CUDA graphs need a CUDA device"),
        ("eager", CPU, "float16", "Half precision in eager torch is for CUDA"),
        ("onnxruntime", CUDA, "float32", "onnxruntime does not compute on cuda.*--device cpu"),
    ],
)
def test_what_does_not_go_together_is_refused(choice, device, precision, message, bundle, tmp_path):
    with pytest.raises(BackendUnavailable, match=f"(?s){message}"):
        run(choice, bundle, tmp_path, device, precision)


def test_a_driver_that_is_too_old_leaves_out_tensorrt(card, bundle, tmp_path, moves, monkeypatch):
    """pybind11 raises a TypeError where TensorRT's runtime cannot be made."""
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", fake_tensorrt.module())
    monkeypatch.setattr(fake_tensorrt, "DRIVER_TOO_OLD", [True])
    monkeypatch.setattr(fake_tensorrt, "ACTIVE", [True])
    monkeypatch.setattr(compiled, "Recorder", lambda: SimpleNamespace())
    said = []
    assert run("auto", bundle, tmp_path, said=said).backend == "cuda-graphs"
    assert any(
        "TensorRT-RTX is left out: tensorrt-rtx failed to start (TypeError" in x for x in said
    )


def test_what_runs_in_engines_is_known_before(monkeypatch):
    pretend(monkeypatch, (9, 0), "NVIDIA H200")
    assert not runs_in_engines("auto", CUDA)  # only TensorRT-RTX is installed, which has no 9.0
    pretend(monkeypatch, (8, 9), "NVIDIA GeForce RTX 4090")
    assert runs_in_engines("auto", CUDA)
    assert not runs_in_engines("cuda-graphs", CUDA)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    assert not runs_in_engines("auto", CUDA)


@pytest.mark.parametrize("guiding", [True, False])
def test_a_bundle_moves_whole_or_without_what_only_steps_call(bundle, guiding):
    """`meta` stands for CUDA: it takes tensors and holds no numbers."""
    there = bundle.to(torch.device("meta"), guiding=guiding)
    where = {
        "unet2d": there.unclip.unet, "unet3d": there.zero123.unet, "clip": there.clip,
        "vae": there.unclip.vae, "bind": there.bind.model, "view": there.view,
        "projection": there.zero123.projection, "image encoder": there.zero123.image_encoder,
    }  # fmt: skip
    found = {name: next(net.parameters()).device.type for name, net in where.items()}
    stays = set() if guiding else {"unet2d", "unet3d", "clip"}
    assert {name for name, kind in found.items() if kind == "cpu"} == stays
    assert there.unclip.contexts.device.type == "meta"
    assert there.unclip.schedule.alphas_cumprod.device.type == "meta"


def test_patches_are_products_on_cuda_only(bundle, monkeypatch):
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, *_: self)
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *_: self)
    assert not projections(bundle.to(CPU))
    assert projections(bundle.to(CUDA))


def projections(bundle):
    return [layer for layer in bundle.clip.modules() if isinstance(layer, PatchProjection)]
