"""`diagnose` on graphs with one planted fault: that layer is named, and no other."""

import sys

import pytest
import torch
from onnx import helper

from xbind.cli.main import main
from xbind.engine import record as records
from xbind.engine.errors import BackendUnavailable, EngineDamaged, EngineRefused
from xbind.engine.ort import MODEL
from xbind.engine.record import Made
from xbind.engine.store import EngineStore
from xbind.export.builder import ONNX_TYPES
from xbind.export.onnx_graph import Graph, save
from xbind.networks import build as building
from xbind.networks import diagnose as diagnosing
from xbind.networks.build import build
from xbind.networks.diagnose import diagnose, save_layers
from xbind.networks.fingerprint import key_of, layers_file, read_layers
from xbind.networks.graphs import GraphRequest, request_labelled
from xbind.networks.load import load_bundle
from xbind.networks.manifest import load_manifest

REQUEST = GraphRequest("clip_image", 2, 64)
MANIFEST = load_manifest("mini")


@pytest.fixture(scope="module")
def bundle():
    return load_bundle(MANIFEST)


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("XBIND_CACHE", str(tmp_path))
    return EngineStore(tmp_path / "engines")


def overflowing(graph):
    """The graph with ×G and ÷G in float32 behind a product, and a cast to half between them.

    Right where the cast is to float32, infinite in half.
    """
    products = [n for n in graph.model.graph.node if n.op_type in ("MatMul", "Gemm")]
    place = products[len(products) // 2]
    name, nodes = place.output[0], []
    half = next(ONNX_TYPES[w.dtype] for n, w in graph.weights.items() if n in place.input)
    single = ONNX_TYPES[torch.float32]
    steps = [
        ("Cast", "planted_up", {"to": single}), ("Mul", "planted_mul", {}),
        ("Cast", "planted_cast", {"to": half}), ("Cast", "planted_reader", {"to": single}),
        ("Div", "planted_div", {}), ("Cast", "planted_end", {"to": half}),
    ]  # fmt: skip
    for node in graph.model.graph.node:
        nodes.append(node)
        if node.name == place.name:
            last = node.output[0] = "planted_start"
            for op, own, attributes in steps:
                inputs = [last] if op == "Cast" else [last, "gain"]
                last = name if own == "planted_end" else f"{own}_out"
                nodes.append(helper.make_node(op, inputs, [last], name=own, **attributes))
    kept = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.model.graph.node[:]
    graph.model.graph.node.extend(kept)
    return Graph(graph.spec, graph.model, graph.weights | {"gain": torch.tensor(1e9)})


@pytest.fixture
def planted(monkeypatch):
    """Graphs are written with a fault that only half has."""
    plain = building.export

    def export(*args, **kwargs):
        return overflowing(plain(*args, **kwargs))

    monkeypatch.setattr(building, "export", export)
    monkeypatch.setattr(diagnosing, "export", export)


def test_an_engine_that_fails_in_half_is_built_mixed(planted, bundle, store, capsys):
    with pytest.raises(EngineRefused, match="not finite"):
        build(store, bundle, REQUEST, "onnxruntime", precision="float16")
    with pytest.raises(EngineRefused):  # nothing was found yet, so this is float16
        build(store, bundle, REQUEST, "onnxruntime", precision="mixed")
    (key,) = (k for k, _ in store.refused() if k.fields["precision"] == "float16")
    with pytest.raises(SystemExit) as done:
        main(["engines", "diagnose", key.folder_name])
    assert done.value.code == 1
    out = capsys.readouterr().out
    assert "refused: 'clip_image-b2-64px' on onnxruntime is not what float32 torch computes" in out
    assert "first layer out of tolerance: planted_cast (Cast" in out
    assert "passes with 2 layers in float32: planted_cast, planted_reader" in out
    assert read_layers(REQUEST, "onnxruntime", MANIFEST) == ("planted_cast", "planted_reader")
    entry = build(store, bundle, REQUEST, "onnxruntime", precision="mixed")
    assert entry.notes["parity"]["output"]["relative"] < 0.03
    diagnosis = diagnose(bundle, REQUEST, entry.key, entry)
    assert diagnosis.passes
    assert diagnosis.keep is None


def test_a_node_that_computes_something_else_is_named(bundle, store):
    """A stored engine whose file is whole, and holds another operation in one place."""
    graph = building.export(bundle, REQUEST)
    sigmoids = [n for n in graph.model.graph.node if n.op_type in ("Sigmoid", "Erf", "Tanh")]
    wrong = sigmoids[len(sigmoids) // 2]
    name, wrong.op_type = wrong.name, "Softsign"
    key = key_of(REQUEST, "onnxruntime", MANIFEST)

    def make(folder):
        save(graph, folder)
        return Made(graph.spec, {})

    diagnosis = diagnose(bundle, REQUEST, key, store.build(key, make))
    assert not diagnosis.passes
    assert diagnosis.first.name == name
    assert diagnosis.first.inherited < 1e-4 < diagnosis.first.relative
    assert diagnosis.keep is None  # float32 has nothing wider


def test_an_openvino_engine_is_compared_in_openvino(bundle, store, monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setattr(diagnosing, "MARKED_AT_ONCE", 10_000)
    key = key_of(REQUEST, "openvino", MANIFEST)
    diagnosis = diagnose(bundle, REQUEST, key, None)
    assert (diagnosis.compared, diagnosis.passes, diagnosis.first) == ("openvino", True, None)
    assert 0 < max(layer.relative for layer in diagnosis.layers if not layer.cancels) < 1e-3


def test_an_engine_for_a_gpu_is_compared_as_its_graph(bundle, store):
    key = key_of(REQUEST, "onnxruntime", MANIFEST, precision="float16")
    key = records.Key({**key.fields, "backend": "tensorrt-rtx", "target": "sm86"})
    diagnosis = diagnose(bundle, REQUEST, key, None)
    assert diagnosis.compared == "ONNX Runtime (its graph, not the engine)"
    assert diagnosis.passes
    in_bfloat16 = records.Key({**key.fields, "precision": "bfloat16"})
    with pytest.raises(BackendUnavailable, match="on the GPU that runs it"):
        diagnose(bundle, REQUEST, in_bfloat16, None)


def test_layers_of_another_bundle_or_exporter_are_others(bundle, store, monkeypatch):
    path = save_layers(bundle, REQUEST, "onnxruntime", ["Conv_1"])
    mixed = key_of(REQUEST, "onnxruntime", MANIFEST, precision="mixed")
    assert path == layers_file(REQUEST, "onnxruntime", MANIFEST)
    with monkeypatch.context() as later:
        later.setattr("xbind.networks.fingerprint._exporter_digest", lambda: "other")
        assert read_layers(REQUEST, "onnxruntime", MANIFEST) == ()
    assert layers_file(REQUEST, "tensorrt-rtx", MANIFEST) != path
    assert mixed.fields["float32_layers"] != "none"
    path.write_text('{"Conv_1": 1}')
    with pytest.raises(EngineDamaged, match="find them again with `xbind engines diagnose`"):
        read_layers(REQUEST, "onnxruntime", MANIFEST)


def test_names_that_fit_none_or_several_are_listed(bundle, store):
    with pytest.raises(SystemExit, match=r"(?s)No engine is called 'ms'.*There are:\n  none"):
        main(["engines", "diagnose", "ms"])
    for name in (REQUEST, GraphRequest("clip_image", 1, 64)):
        key = key_of(name, "onnxruntime", MANIFEST)
        store.build(key, lambda folder: empty(folder))
    with pytest.raises(SystemExit, match=r"(?s)2 engines are called 'clip'.*b1-64px.*b2-64px"):
        main(["engines", "diagnose", "clip"])
    other = records.Key({**key.fields, "weights": "of another bundle", "graph": "ms-b3-64px"})
    store.build(other, lambda folder: empty(folder))
    with pytest.raises(SystemExit, match="was not made of the bundle 'mini'"):
        main(["engines", "diagnose", "ms"])


def test_without_polygraphy_it_is_said_what_to_install(bundle, store, monkeypatch):
    key = key_of(REQUEST, "onnxruntime", MANIFEST)
    monkeypatch.setitem(sys.modules, "polygraphy.backend.onnx", None)
    with pytest.raises(BackendUnavailable, match="pip install polygraphy onnx-graphsurgeon"):
        diagnose(bundle, REQUEST, key, None)


@pytest.mark.parametrize(
    "request_",
    [
        REQUEST, GraphRequest("unet2d", 48, 0), GraphRequest("sds2d_img", 1, 128, 256),
        GraphRequest("cds2d", 2, 64, two_passes=True), GraphRequest("bind_vision", 1, 0),
    ],
    ids=lambda request: request.label,
)  # fmt: skip
def test_labels_are_read_back(request_):
    assert request_labelled(request_.label) == request_


def empty(folder):
    (folder / MODEL).write_bytes(b"graph")
    return Made(building.export(load_bundle(MANIFEST), REQUEST).spec, {})
