"""Every graph of the mini bundle as an engine: it computes what torch does, or it is not kept."""

import importlib.util
import resource
import signal

import numpy as np
import pytest
import torch

from xbind.config.presets import default
from xbind.engine.backends import check_precision, open_backend
from xbind.engine.eager import EagerBackend
from xbind.engine.errors import (
    BackendUnavailable,
    EngineDamaged,
    EngineError,
    EngineRefused,
    ParityError,
)
from xbind.engine.store import EngineStore
from xbind.engine.trt import PLAN
from xbind.export.onnx_graph import Graph
from xbind.export.parity import TOLERANCES, Tolerance, gate
from xbind.export.trt_builder import build_plan
from xbind.networks.build import TRIALS, build, compare_with_torch, dialect_of, export
from xbind.networks.fingerprint import key_of, why_stale
from xbind.networks.graphs import (
    GraphRequest,
    all_requests,
    make_module,
    requests_of_run,
    sample_inputs,
    steps_of,
)
from xbind.networks.load import load_bundle
from xbind.networks.manifest import load_manifest
from xbind.networks.precision import in_precision

MANIFEST = load_manifest("mini")
MODALITIES = ("vision", "text", "audio", "depth")
REQUESTS = [
    *(
        GraphRequest(name, 1, 64, rank=2 if name == "vsd2d" else 0)
        for name in steps_of(MANIFEST)
        if name != "ms"
    ),
    GraphRequest("sds3d", 2, 48),
    GraphRequest("ms", 3, 64),
    GraphRequest("unet2d", 2, 0),
    GraphRequest("unet3d", 2, 0),
    GraphRequest("vae_encode", 1, 64),
    GraphRequest("vae_decode", 2, 0),
    GraphRequest("clip_image", 2, 64),
    *(GraphRequest(f"bind_{modality}", 2, 0) for modality in MODALITIES),
]


@pytest.fixture(scope="module")
def bundle():
    return load_bundle(MANIFEST)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return EngineStore(tmp_path_factory.mktemp("engines"))


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.label)
def test_computes_what_torch_computes(bundle, store, request_):
    entry = build(store, bundle, request_, "onnxruntime")
    for output, figure in entry.notes["parity"].items():
        assert figure["cosine"] > 0.9999, output
        assert figure["relative"] < 2e-4, output
    assert store.find(key_of(request_, "onnxruntime", MANIFEST)) == entry


def test_a_step_s_gradient_is_that_of_its_loss(bundle, store):
    """Central differences of the engine's own loss, without the parts that the method detaches."""
    request = GraphRequest("ms", 3, 64)
    feeds = sample_inputs(bundle, request, 0.5, torch.Generator().manual_seed(3))
    direction = torch.randn(feeds["augmented"].shape, generator=torch.Generator().manual_seed(4))
    with open_backend(build(store, bundle, request, "onnxruntime"), threads=1) as engine:
        x_bar = engine.run(feeds)["x_bar"]
        losses = [
            engine.run(feeds | {"augmented": feeds["augmented"] + h * direction})["loss"].double()
            for h in (0.01, -0.01)
        ]
    slope = float(losses[0] - losses[1]) / 0.02
    assert float((x_bar * direction).sum()) == pytest.approx(slope, rel=0.02)


def test_a_wrong_gradient_is_not_kept(bundle, tmp_path, monkeypatch):
    """A graph whose forward pass is right and whose gradient has the wrong sign."""

    def spoiled(*args, **kwargs):
        graph = export(*args, **kwargs)
        last = {node.output[0]: node for node in graph.model.graph.node}
        last["x_bar"].op_type = "Neg"
        return Graph(graph.spec, graph.model, graph.weights)

    monkeypatch.setattr("xbind.networks.build.export", spoiled)
    store = EngineStore(tmp_path)
    with pytest.raises(ParityError, match=r"x_bar: cosine -1\.0"):
        build(store, bundle, GraphRequest("ms", 3, 64), "onnxruntime")
    assert not list(store.entries())


RTX = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed"
)
OPENVINO = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="openvino is not installed"
)


@OPENVINO
def test_openvino_computes_what_torch_computes(bundle, tmp_path):
    entry = build(EngineStore(tmp_path), bundle, GraphRequest("ms", 3, 64), "openvino")
    assert entry.notes["parity"]["x_bar"]["cosine"] > 0.9999
    feeds = sample_inputs(bundle, GraphRequest("ms", 3, 64), 0.2, torch.Generator().manual_seed(9))
    with open_backend(entry, threads=1) as engine:
        first = engine.run(feeds)["x_bar"]
        kept = first.clone()
        engine.run(feeds | {"augmented": -feeds["augmented"]})
        assert torch.equal(first, kept)  # not a buffer that the next call overwrites


@OPENVINO
def test_a_precision_that_the_cpu_lacks_is_refused(bundle, tmp_path):
    with pytest.raises(BackendUnavailable, match=r"in float16 on this CPU, but in float32"):
        build(
            EngineStore(tmp_path), bundle, GraphRequest("ms", 3, 64), "openvino",
            precision="float16",
        )  # fmt: skip
    assert not list(tmp_path.iterdir())


@OPENVINO
def test_bfloat16_is_offered_where_the_cpu_has_it(bundle, tmp_path):
    try:
        check_precision("openvino", "bfloat16")
    except BackendUnavailable:
        pytest.skip("this CPU does not compute in bfloat16")
    request = GraphRequest("ms", 3, 64)
    entry = build(EngineStore(tmp_path), bundle, request, "openvino", precision="bfloat16")
    figure = entry.notes["parity"]["x_bar"]
    assert figure["cosine"] > 0.995
    assert figure["relative"] > 1e-3  # it is half, after all


@OPENVINO
def test_openvino_s_wrong_gradient_is_refused_without_its_cure(bundle, tmp_path, monkeypatch):
    """One weight that feeds a forward and a backward node: right loss, wrong gradient."""
    monkeypatch.setattr("xbind.export.ov_builder.separate_weights", lambda graph: graph)
    store = EngineStore(tmp_path)
    with pytest.raises(ParityError, match=r"'ms-b3-64px' on openvino is not what .*: x_bar"):
        build(store, bundle, GraphRequest("ms", 3, 64), "openvino")
    assert not list(store.entries())


@pytest.mark.parametrize("name", ["sds2d_img", "ms"])
def test_half_networks_pass_their_own_gate(bundle, tmp_path, name):
    request = GraphRequest(name, 3 if name == "ms" else 1, 64)
    entry = build(EngineStore(tmp_path), bundle, request, "onnxruntime", precision="float16")
    figures = entry.notes["parity"]["x_bar"]
    assert figures["cosine"] > 0.999
    assert figures["relative"] > 1e-5  # it is half, after all
    whole = build(EngineStore(tmp_path), bundle, request, "onnxruntime")
    assert entry.size_bytes < 0.6 * whole.size_bytes
    assert entry.spec == whole.spec  # float32 on the outside


def test_bfloat16_is_compared_where_it_can_be(bundle):
    """ONNX Runtime has no bfloat16 on a CPU; eager torch has, and rounds alike."""
    request = GraphRequest("ms", 3, 64)
    lowered = in_precision(bundle, "bfloat16")
    graph = export(lowered, request, dialect_of("tensorrt-rtx", "bfloat16"))
    candidate = EagerBackend(graph.spec, make_module(lowered, "ms"))
    figures = compare_with_torch(bundle, request, make_module(bundle, "ms"), candidate)
    gate("ms", "bfloat16", figures, TOLERANCES["bfloat16"])
    assert not all(figure.passes(TOLERANCES["float32"]) for figure in figures)


TARGETS = ("sm86", "sm89", "sm120")


@RTX
@pytest.mark.slow
@pytest.mark.parametrize(
    ("request_", "precision"),
    [
        *((request, "float32") for request in REQUESTS if request.size != 48),
        (GraphRequest("ms", 3, 64), "float16"),
    ],
    ids=str,
)
def test_every_graph_builds_for_rtx_gpus_that_are_not_there(bundle, tmp_path, request_, precision):
    entry = build(
        EngineStore(tmp_path), bundle, request_, "tensorrt-rtx",
        precision=precision, targets=TARGETS,
    )  # fmt: skip
    assert entry.key.fields["target"] == "sm86+sm89+sm120"
    assert "not the engine" in entry.notes["compared"]
    assert list(entry.files) == ["engine.plan"]
    assert why_stale(entry.key) == []


@RTX
@pytest.mark.slow
@pytest.mark.parametrize("request_", [GraphRequest("clip_image", 2, 64), GraphRequest("ms", 3, 64)])
def test_an_rtx_engine_built_twice_is_the_same(bundle, tmp_path, request_):
    """To the byte; where there are several outputs, TensorRT-RTX 1.7.1 lists them in any order."""
    graph, plans = export(bundle, request_, dialect_of("tensorrt-rtx", "float32")), []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        build_plan("tensorrt-rtx", graph, tmp_path / name, targets=TARGETS)
        plans.append(np.fromfile(tmp_path / name / PLAN, np.uint8))
    a, b = plans
    assert len(a) == len(b) > 5_000_000
    if len(graph.spec.outputs) == 1:
        assert (a == b).all()
    assert (np.bincount(a, minlength=256) == np.bincount(b, minlength=256)).all()
    assert (a != b).sum() < 2000


@RTX
def test_an_engine_for_other_gpus_is_not_found_for_this_one(bundle, tmp_path, monkeypatch):
    """The target is part of the key, and what differs is named."""
    store, request = EngineStore(tmp_path), GraphRequest("clip_image", 2, 64)
    entry = build(store, bundle, request, "tensorrt-rtx", targets=("sm86", "sm89"))
    wanted = key_of(request, "tensorrt-rtx", MANIFEST, targets=("sm120",))
    assert store.find(wanted) is None
    assert store.advice(wanted) == "target: built for sm86+sm89, wanted sm120"
    assert store.find(entry.key) == entry


def test_a_truncated_graph_is_neither_used_nor_loaded(bundle, tmp_path):
    """The store sees it by its hash; ONNX Runtime, were it asked, says which file to remove."""
    store, request = EngineStore(tmp_path), GraphRequest("clip_image", 2, 64)
    entry = build(store, bundle, request, "onnxruntime")
    model = entry.folder / "model.onnx"
    content = model.read_bytes()
    model.write_bytes(content[: len(content) // 2])
    with pytest.raises(EngineDamaged, match=r"model\.onnx is not what was written"):
        store.find(entry.key)
    with pytest.raises(EngineDamaged, match=r"cannot load .*model\.onnx"):
        open_backend(entry, threads=1)
    assert build(store, bundle, request, "onnxruntime").folder == entry.folder
    assert model.read_bytes() == content


def test_a_disk_that_fills_during_a_real_build_leaves_nothing(bundle, tmp_path):
    """The system refuses to write more than 64 KiB into a file; the graph is of megabytes."""
    store, request = EngineStore(tmp_path), GraphRequest("clip_image", 2, 64)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))
    try:
        with pytest.raises(EngineError, match=r"No room left in .*\n.*XBIND_CACHE"):
            build(store, bundle, request, "onnxruntime")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert [path.name for path in tmp_path.iterdir()] == ["locks"]


def test_another_version_of_the_backend_builds_anew(bundle, tmp_path, monkeypatch):
    store, request = EngineStore(tmp_path), GraphRequest("clip_image", 2, 64)
    old = build(store, bundle, request, "onnxruntime")
    monkeypatch.setattr("xbind.engine.ort.version", lambda: "9.9")
    wanted = key_of(request, "onnxruntime", MANIFEST)
    assert store.find(wanted) is None
    assert store.advice(wanted).startswith("backend_version: built for ")
    assert build(store, bundle, request, "onnxruntime").folder != old.folder


def test_a_verdict_is_kept_and_gc_forgets_it(bundle, tmp_path, monkeypatch):
    monkeypatch.setitem(TOLERANCES, "float16", Tolerance(cosine=1, relative=1e-6))
    store, request = EngineStore(tmp_path), GraphRequest("clip_image", 2, 64)
    arguments = (store, bundle, request, "onnxruntime")
    with pytest.raises(ParityError) as first:
        build(*arguments, precision="float16")
    monkeypatch.setattr("xbind.networks.build.export", None)  # nothing is tried again
    with pytest.raises(EngineRefused) as second:
        build(*arguments, precision="float16")
    assert str(second.value) == str(first.value)
    store.gc(lambda _: True)
    assert store.refusal(key_of(*arguments[2:], MANIFEST, precision="float16")) is None


def test_trials_are_not_what_was_recorded(bundle):
    request = GraphRequest("ms", 3, 64)
    module, seen = make_module(bundle, "ms"), []

    class Spy(EagerBackend):
        def _run(self, feeds):
            seen.append(feeds["augmented"])
            return super()._run(feeds)

    graph = export(bundle, request)
    compare_with_torch(bundle, request, module, Spy(graph.spec, module))
    recorded = sample_inputs(bundle, request, 0.5, torch.Generator().manual_seed(1))["augmented"]
    assert len(seen) == len(TRIALS)
    assert not any(torch.equal(x, recorded) for x in seen)


def test_keys_tell_graphs_apart_and_name_what_decides_them():
    requests = all_requests(default(), MANIFEST)
    keys = [key_of(request, "onnxruntime", MANIFEST) for request in requests]
    assert len({key.digest for key in keys}) == len(requests)
    for key in keys:
        assert {"weights", "exporter", "torch", "diffusers", "precision", "target"} < set(
            key.fields
        )


def test_another_weight_is_another_key_of_the_graphs_that_hold_it(monkeypatch):
    def digests():
        requests = GraphRequest("ms", 3, 64), GraphRequest("sds2d", 1, 64)
        return [key_of(request, "onnxruntime", MANIFEST).digest for request in requests]

    before = digests()
    changed = {"sha256": "0", "bytes": 1}
    monkeypatch.setitem(MANIFEST.raw["files"], "clip/model.safetensors", changed)
    after = digests()
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_what_no_longer_fits_is_named(monkeypatch):
    key = key_of(GraphRequest("ms", 3, 64), "onnxruntime", MANIFEST)
    assert why_stale(key) == []
    monkeypatch.setattr("xbind.engine.ort.version", lambda: "9.9")
    assert why_stale(key) == [
        f"backend_version: built for {key.fields['backend_version']}, wanted 9.9"
    ]


def test_a_run_needs_every_graph_once():
    requests = requests_of_run(default(), MANIFEST)
    assert len(requests) == len(set(requests))
    assert {request.name for request in requests} >= {"unet2d", "sds2d_img", "sds3d_img", "ms"}


def test_an_unknown_graph_lists_those_that_there_are(bundle):
    with pytest.raises(EngineError, match=r"'unet4d'.*\n.*sds2d.*bind_audio"):
        make_module(bundle, "unet4d")
