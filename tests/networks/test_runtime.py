"""A run with engines is the run with torch: terms, gradients, and the object at the end."""

import json
import sys

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image, ImageSequence

from tests.support.run_files import events_of
from xbind.algorithm.supervision import Condition, Supervision, make_condition
from xbind.config.options import GenerateConfig, PromptConfig
from xbind.config.presets import preset_named
from xbind.config.savings import Savings
from xbind.engine.errors import BackendUnavailable, FeedError, ParityError
from xbind.engine.store import EngineStore
from xbind.export.parity import TOLERANCES, Tolerance
from xbind.losses.cds2d import Cds2d
from xbind.networks.graphs import GraphRequest, requests_of_run
from xbind.networks.load import load_bundle
from xbind.networks.manifest import load_manifest
from xbind.networks.runtime import EngineUNet, Part
from xbind.networks.select import compile_run
from xbind.pipeline import generate
from xbind.run.settings import ResumeMismatch
from xbind.scene.cameras import orbit

MS = [GraphRequest("ms", 3, 64)]
METHOD = preset_named("smoke")
ENGINES = ["onnxruntime", "openvino"]


@pytest.fixture(scope="module")
def bundle():
    return load_bundle(load_manifest("mini"))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return EngineStore(tmp_path_factory.mktemp("engines"))


def compiled(choice, bundle, requests, store, said=None, precision="float32"):
    report = [].append if said is None else said.append
    parts = {"coarse": Part(requests, Savings(precision=precision))}
    return compile_run(choice, bundle, parts, store, threads=1, report=report)


def test_auto_builds_once_and_says_so(bundle, tmp_path):
    store, said = EngineStore(tmp_path), []
    assert compiled("auto", bundle, MS, store, said).backend == "openvino"
    assert said[0].startswith("guidance in OpenVINO ")
    assert said[1].startswith("building 1 of 1 engines in ")
    assert said[2].startswith("ms-b3-64px: ")
    assert "agrees with torch to" in said[2]
    said.clear()
    compiled("auto", bundle, MS, store, said)
    assert len(said) == 1


def test_auto_without_openvino_is_onnx_runtime(bundle, store, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    said = []
    assert compiled("auto", bundle, MS, store, said).backend == "onnxruntime"
    assert said[0].startswith("guidance in ONNX Runtime ")


def test_auto_leaves_out_what_fails_its_gate_and_says_so(bundle, tmp_path, monkeypatch):
    """As OpenVINO does where it computes a wrong gradient."""
    monkeypatch.setattr("xbind.export.ov_builder.separate_weights", lambda graph: graph)
    store, said = EngineStore(tmp_path), []
    run = compiled("auto", bundle, MS, store, said)
    assert run.backend == "onnxruntime"
    (left_out,) = [line for line in said if line.startswith("OpenVINO is left out: ")]
    assert "is not what float32 torch" in left_out
    assert {entry.key.fields["backend"] for entry in store.entries()} == {"onnxruntime"}
    monkeypatch.setattr("xbind.networks.build.export", None)  # nothing is tried again
    assert compiled("auto", bundle, MS, store).backend == "onnxruntime"


def test_a_named_engine_that_fails_its_gate_is_an_error(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr("xbind.export.ov_builder.separate_weights", lambda graph: graph)
    with pytest.raises(ParityError, match="is not what float32 torch"):
        compiled("openvino", bundle, MS, EngineStore(tmp_path))


def test_auto_without_either_is_eager_and_says_why(bundle, store, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    said = []
    assert compiled("auto", bundle, MS, store, said).backend == "eager"
    assert said[0].startswith("guidance in eager torch: No engine computes in float32 on this CPU.")
    assert "ONNX Runtime is not installed here." in said[0]


@pytest.mark.parametrize(
    ("choice", "module"), [("onnxruntime", "onnxruntime"), ("openvino", "openvino")]
)
def test_a_named_engine_never_falls_back(bundle, store, monkeypatch, choice, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BackendUnavailable, match=rf"pip install {module}"):
        compiled(choice, bundle, MS, store)


def test_a_gpu_s_engine_without_a_gpu_says_what_to_choose(bundle, store, monkeypatch):
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(BackendUnavailable, match=r"none here.\nChoose --engine onnxruntime"):
        compiled("tensorrt-rtx", bundle, MS, store)


def test_a_damaged_engine_is_said_and_built_anew(bundle, tmp_path):
    store, said = EngineStore(tmp_path), []
    compiled("onnxruntime", bundle, MS, store)
    (path,) = tmp_path.glob("ms*/model.onnx")
    content = path.read_bytes()
    path.write_bytes(content[:1000] + b"?" + content[1001:])
    compiled("onnxruntime", bundle, MS, store, said)
    assert said[0] == f"ms-b3-64px is built again: {path} is not what was written."
    assert path.read_bytes() == content


def test_half_that_fails_its_gate_is_float32_and_said_so(bundle, tmp_path, monkeypatch):
    monkeypatch.setitem(TOLERANCES, "float16", Tolerance(cosine=1, relative=1e-5))
    store, said = EngineStore(tmp_path), []
    compiled("onnxruntime", bundle, MS, store, said, "float16")
    refused = "float32 instead of float16: 'ms-b3-64px' on onnxruntime is not what float32 torch"
    assert said[1].startswith(refused)
    assert [entry.key.fields["precision"] for entry in store.entries()] == ["float32"]
    said.clear()
    monkeypatch.setattr("xbind.networks.build.export", None)  # nothing is tried again
    compiled("onnxruntime", bundle, MS, store, said, "float16")
    assert len(said) == 1
    assert said[0].startswith(refused)


def test_half_that_passes_is_what_runs(bundle, tmp_path):
    store = EngineStore(tmp_path)
    compiled("auto", bundle, MS, store, precision="float16")
    assert [entry.key.fields["precision"] for entry in store.entries()] == ["float16"]


def test_auto_in_bfloat16_is_openvino_or_an_error(bundle, store, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BackendUnavailable, match="pip install openvino"):
        compiled("auto", bundle, MS, store, precision="bfloat16")


def test_a_size_without_an_engine_is_refused(bundle, store):
    step = compiled("onnxruntime", bundle, MS, store).of_stage("coarse").step("ms")
    with pytest.raises(FeedError, match=r"\[3, 3, 64, 64\]"):
        step(torch.zeros(5, 3, 64, 64), c_m=torch.zeros(128), weight=torch.ones(5))


@pytest.fixture(scope="module", params=ENGINES)
def both(bundle, store, request):
    """The same run's condition and supervision, eager and compiled."""
    requests = requests_of_run(METHOD, bundle.manifest)
    made = {}
    for choice in ("eager", request.param):
        run = compiled(choice, bundle, requests, store).of_stage("coarse")
        condition = make_condition(
            prompt(bundle), run.bundle, METHOD.reference, seeded(5), agreement=METHOD.agreement
        )
        made[choice] = (condition, run)
    first = made["eager"][0]
    return [(c, Supervision(r.bundle, first, r.step)) for c, r in made.values()]


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def prompt(bundle):
    from xbind.conditioning.prompt import encode_prompt

    return encode_prompt(PromptConfig(text="a red mug"), bundle.bind, bundle.unclip.image_size)


def test_the_reference_view_is_the_same(both):
    (eager, _), (engine, _) = both
    assert isinstance(engine, Condition)
    for name, tensor in eager.state().items():
        torch.testing.assert_close(engine.state()[name], tensor, rtol=1e-3, atol=1e-3)


def test_what_is_sampled_before_phase_1_runs_in_engines(bundle, store):
    requests = [
        request for request in requests_of_run(METHOD, bundle.manifest) if request.size == 0
    ]
    assert [request.name for request in requests] == ["unet2d", "unet3d"]
    sampled = compiled("onnxruntime", bundle, requests, store).of_stage("coarse").bundle
    assert isinstance(sampled.unclip.unet, EngineUNet)
    assert isinstance(sampled.zero123.unet, EngineUNet)


@pytest.mark.parametrize("term", ["planar_s", "planar_c", "stereo", "ms"])
@pytest.mark.parametrize("progress", [0.0, 0.9])
def test_terms_and_gradients_are_the_same(both, term, progress):
    found = []
    for _, supervision in both:
        image = torch.rand(1, 3, 64, 64, generator=seeded(1)).requires_grad_()
        config = METHOD.coarse.guidance
        arguments = {
            "stereo": (config, image, orbit(1), progress, seeded(2)),
            "ms": (config, image, seeded(2)),
        }.get(term, (config, image, orbit(1), progress, seeded(2)))
        loss = getattr(supervision, term)(*arguments).loss()
        (x_bar,) = torch.autograd.grad(2 * loss, image)
        found.append((loss.detach(), x_bar))
    (loss, x_bar), (loss_e, x_bar_e) = found
    torch.testing.assert_close(loss_e, loss, rtol=1e-4, atol=1e-5)
    assert (x_bar_e - x_bar).norm() < 3e-4 * x_bar.norm()


def test_no_step_falls_back_to_torch(both, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("torch was asked")

    monkeypatch.setattr(Cds2d, "forward", refuse)
    supervision = both[1][1]
    image = torch.rand(1, 3, 64, 64)
    config = METHOD.geometry.guidance
    assert supervision.planar_c(config, image, orbit(1), 0.5, seeded(1)).loss().isfinite()


class Silent:
    """A reporter that keeps messages."""

    def __init__(self):
        self.messages = []

    def __getattr__(self, name):
        return lambda *_args, **_kwargs: None

    def message(self, text):
        self.messages.append(text)


@pytest.mark.slow
def test_the_object_is_the_same(tmp_path, monkeypatch):
    """Same seed: reference alike to the pixel, 20 terms to 5e-3, the turntable to 35 dB."""
    monkeypatch.setenv("XBIND_CACHE", str(tmp_path / "cache"))
    frames, volumes, terms = {}, {}, {}
    for engine in ("eager", *ENGINES):
        out = tmp_path / engine
        config = GenerateConfig(
            prompt=PromptConfig(text="a red mug"), out=out, preset="smoke", engine=engine
        )
        generate(config, Silent())
        with Image.open(out / "turntable.gif") as gif:
            pictures = [frame.convert("RGB") for frame in ImageSequence.Iterator(gif)]
        frames[engine] = np.stack([np.asarray(picture, np.float64) / 255 for picture in pictures])
        volumes[engine] = trimesh.load(out / "mesh.glb", force="mesh").volume
        rows = events_of(out)
        terms[engine] = np.array([row["stereo"] for row in rows if "stereo" in row])
        assert json.loads((out / "config.json").read_text())["engine"] == engine
    for engine in ENGINES:
        error = np.square(frames["eager"] - frames[engine]).mean()
        assert -10 * np.log10(error + 1e-12) > 35
        assert volumes[engine] == pytest.approx(volumes["eager"], rel=1e-3)
        np.testing.assert_allclose(terms[engine], terms["eager"], rtol=5e-3)
    resumed = {"prompt": PromptConfig(text="a red mug"), "preset": "smoke", "resume": True}
    with pytest.raises(ResumeMismatch, match="engine differs"):
        generate(GenerateConfig(out=tmp_path / "eager", engine="onnxruntime", **resumed), Silent())
