"""A step of the mini bundle in torch Inductor, from the bundle to a run."""

import pytest
import torch
from torch import nn

from xbind.config.savings import Savings
from xbind.engine.backends import open_backend
from xbind.engine.errors import BackendUnavailable, EngineError
from xbind.engine.store import EngineStore
from xbind.networks import build as building
from xbind.networks.build import build
from xbind.networks.diagnose import diagnose
from xbind.networks.fingerprint import key_of, why_stale
from xbind.networks.graphs import GraphRequest, make_module, sample_inputs
from xbind.networks.load import load_bundle
from xbind.networks.manifest import load_manifest
from xbind.networks.runtime import Part, abreast
from xbind.networks.select import candidates, compile_run

MANIFEST = load_manifest("mini")
STEP = GraphRequest("sds2d_img", 1, 64)
"""VAE encoder with its gradient, UNet, decoder: convolutions, norms and attention."""


@pytest.fixture(scope="module")
def bundle():
    return load_bundle(MANIFEST)


@pytest.mark.slow
def test_a_step_passes_its_gate_is_kept_and_runs(bundle, tmp_path):
    store, said = EngineStore(tmp_path), []
    entry = build(store, bundle, STEP, "inductor-cpu")
    assert entry.notes["compared"] == "inductor-cpu"
    for output, figure in entry.notes["parity"].items():
        assert figure["cosine"] > 0.9999, output
        assert figure["relative"] < 2e-4, output
    assert store.find(key_of(STEP, "inductor-cpu", MANIFEST)) == entry
    assert why_stale(entry.key) == []
    feeds = sample_inputs(bundle, STEP, 0.5, torch.Generator().manual_seed(3))
    with torch.no_grad():
        wanted = dict(zip(("loss", "x_bar"), make_module(bundle, STEP.name)(**feeds), strict=True))
    for threads in (1, 2):  # sums over threads that Inductor starts by itself are wrong
        with open_backend(entry, threads=threads) as engine:
            found = engine.run(feeds)
        for name in wanted:
            torch.testing.assert_close(found[name], wanted[name], rtol=1e-3, atol=1e-4)
    parts = {"coarse": Part([STEP], Savings())}
    run = compile_run("inductor-cpu", bundle, parts, store, threads=2, report=said.append)
    assert run.backend == "inductor-cpu"
    assert said == []  # nothing is built again
    step = run.of_stage("coarse").step("sds2d_img")
    loss, _ = step(feeds["image"], **{k: x for k, x in feeds.items() if k != "image"})
    torch.testing.assert_close(loss, wanted["loss"], rtol=1e-3, atol=1e-4)

    wrong = bytearray((entry.folder / "engine.pt2").read_bytes())
    wrong[len(wrong) // 2] ^= 1
    (entry.folder / "engine.pt2").write_bytes(wrong)
    with pytest.raises(EngineError, match=r"engine\.pt2 is not what was written"):
        store.find(entry.key)


def test_it_is_recorded_on_the_device_that_it_is_compiled_for(bundle, tmp_path, monkeypatch):
    """Without a card there is no target; with one, the module and its feeds are there."""
    with pytest.raises(BackendUnavailable, match="inductor runs on a CUDA device"):
        build(EngineStore(tmp_path), bundle, STEP, "inductor", precision="float16")
    moved = []

    def stop(module, feeds, outputs):
        raise EngineError("far enough")

    monkeypatch.setattr(building, "record", stop)
    monkeypatch.setattr(nn.Module, "to", lambda module, device: moved.append(device))
    device = torch.device("cpu", 0)
    with pytest.raises(EngineError, match="far enough"):
        building.export_fx(bundle, GraphRequest("ms", 3, 64), device)
    assert moved == [device, torch.device("cpu")]


def test_its_steps_do_not_run_side_by_side(bundle):
    part = Part([STEP, GraphRequest("ms", 3, 64)])
    assert abreast("inductor-cpu", part, threads=2) == 1
    assert abreast("onnxruntime", part, threads=2) == 2


def test_each_name_is_for_one_device():
    with pytest.raises(BackendUnavailable, match=r"(?s)inductor-cpu does not compute on cuda.*"
                       r"choose among .*onnxruntime-gpu, inductor,"):  # fmt: skip
        candidates("inductor-cpu", {"float32"}, torch.device("cuda"))


def test_its_layers_have_no_names(bundle):
    key = key_of(STEP, "inductor-cpu", MANIFEST)
    with pytest.raises(BackendUnavailable, match="not ONNX graphs"):
        diagnose(bundle, STEP, key, None)
