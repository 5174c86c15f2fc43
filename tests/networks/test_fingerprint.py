"""What a graph is made from is in its engine's key: all code, all weights, all figures."""

import ast
import copy
import subprocess
import sys
from dataclasses import replace

import pytest

from xbind.engine.errors import EngineError
from xbind.networks import fingerprint as engine_keys
from xbind.networks.build import build
from xbind.networks.fingerprint import ROOTS, key_of, roots, weight_bytes
from xbind.networks.graphs import GRAPHS, GraphRequest, graph_named
from xbind.networks.manifest import ROLES, VIEW_WORDS_ROLE, BundleError, load_manifest
from xbind.networks.source_digest import digest_of, modules_reached

MANIFEST = load_manifest("mini")
MODULES = modules_reached(roots())
PLAIN = digest_of(MODULES)
MAKERS = (
    "networks.build", "models.inputs", "engine.ov", "engine.trt", "export.lower_norm",
    "export.onnx_graph", "networks.load", "networks.graphs.sampling", "networks.graphs.steps",
    "diffusion.schedule", "losses.sds", "diffusion.timesteps", "models.bind_layers",
    "models.preprocess", "networks.precision",
)  # fmt: skip
"""Some of the modules whose code decides a graph, named by hand."""


def digest_with(tmp_path, name, text):
    """The digest of all modules with another text of one of them."""
    path = tmp_path / "changed.py"
    path.write_text(text)
    return digest_of(MODULES | {name: path})


def with_one_constant_changed(text):
    """The source of a module with its first number, truth value or text in code changed."""
    tree = ast.parse(text)
    strings = {n.value for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node not in strings and node.value is not None:
            match node.value:
                case bool():
                    node.value = not node.value
                case int() | float():
                    node.value += 1
                case str():
                    node.value += "x"
                case _:
                    continue
            return ast.unparse(tree)
    return text + "\nCHANGED = 1\n"


def test_the_modules_named_by_hand_are_reached():
    assert {f"xbind.{name}" for name in MAKERS} <= MODULES.keys()
    assert build.__module__ in ROOTS


def test_every_module_that_a_build_imports_is_reached():
    """Seen from outside: what is loaded once an engine has been built in a process of its own."""
    program = """
import sys, tempfile
from pathlib import Path
from xbind.networks.build import build
from xbind.engine.store import EngineStore
from xbind.networks.load import load_bundle
from xbind.networks.graphs import GraphRequest
from xbind.networks.manifest import load_manifest
bundle = load_bundle(load_manifest("mini"))
with tempfile.TemporaryDirectory() as folder:
    build(EngineStore(Path(folder)), bundle, GraphRequest("clip_image", 1, 64), "onnxruntime")
print(*(name for name in sys.modules if name.partition(".")[0] == "xbind"))
"""
    command = [sys.executable, "-P", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "xbind.export.onnx_graph" in loaded
    assert loaded <= MODULES.keys()


@pytest.mark.parametrize("name", MODULES)
def test_another_constant_in_any_module_is_another_digest(tmp_path, name):
    changed = with_one_constant_changed(MODULES[name].read_text())
    assert digest_with(tmp_path, name, changed) != PLAIN


@pytest.mark.parametrize("name", MODULES)
def test_comments_docstrings_and_layout_do_not_count(tmp_path, name):
    tree = ast.parse(MODULES[name].read_text())
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                node.value.value = "Another docstring."
    text = '"""What the module is."""\n# a comment\n' + ast.unparse(tree)
    assert digest_with(tmp_path, name, text) == PLAIN


def test_halved_alphas_are_another_key(tmp_path, monkeypatch):
    """The noise schedule is a constant of the graph: such an engine must not be found again."""
    request = GraphRequest("sds3d", 1, 64)
    before = key_of(request, "onnxruntime", MANIFEST)
    source = MODULES["xbind.networks.load"].read_text()
    halved = source.replace("alphas = alphas_cumprod(betas)", "alphas = alphas_cumprod(betas) / 2")
    assert halved != source
    (tmp_path / "load.py").write_text(halved)
    changed = MODULES | {"xbind.networks.load": tmp_path / "load.py"}
    monkeypatch.setattr(engine_keys, "modules_reached", lambda _: changed)
    engine_keys._exporter_digest.cache_clear()
    try:
        after = key_of(request, "onnxruntime", MANIFEST)
    finally:
        engine_keys._exporter_digest.cache_clear()
    assert after.digest != before.digest
    assert [line.partition(":")[0] for line in before.differences(after)] == ["exporter"]


def test_texts_about_licences_are_not_in_it():
    assert "xbind.importing.sources" not in MODULES
    assert not any(
        name.startswith(("xbind.cli", "xbind.mini", "xbind.scene.nerf")) for name in MODULES
    )


def test_a_root_that_has_moved_is_an_error():
    with pytest.raises(ModuleNotFoundError, match=r"xbind\.moved"):
        modules_reached(["xbind.moved"])


@pytest.mark.parametrize("name", GRAPHS)
def test_every_graph_has_its_components(name):
    assert set(graph_named(name).components) <= {*ROLES, "taesd", VIEW_WORDS_ROLE}
    assert ("taesd" in graph_named(name).components) == name.endswith("_tiny")


@pytest.mark.parametrize("name", ["sds4d", "sds2d_huge", ""])
def test_an_unknown_graph_has_none(name):
    with pytest.raises(EngineError, match=r"no graph '.*'\.\nChoose of: .*sds3d.*bind_vision"):
        graph_named(name)
    with pytest.raises(EngineError, match="There is no graph"):
        key_of(GraphRequest(name, 1, 64), "onnxruntime", MANIFEST)


def keys_with(change):
    """Keys of a graph before and after a change of `bundle.json`."""
    raw = copy.deepcopy(MANIFEST.raw)
    change(raw)
    request = GraphRequest("sds3d", 1, 64)
    both = MANIFEST, replace(MANIFEST, raw=raw)
    return [key_of(request, "onnxruntime", manifest).fields["weights"] for manifest in both]


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw["image_size"].update(zero123=32),
        lambda raw: raw["embedding_norm"].update(zero123=1.0),
        lambda raw: raw.update(a_new_figure=0.5),
        lambda raw: raw["files"]["unclip/scheduler/scheduler_config.json"].update(sha256="0"),
        lambda raw: raw["files"]["unclip/vae/config.json"].update(sha256="0"),
        lambda raw: raw["parts"].update({"zero123.unet": "unclip/unet"}),
    ],
)
def test_figures_of_the_bundle_are_in_the_key(change):
    before, after = keys_with(change)
    assert before != after


@pytest.mark.parametrize("name", ["about", "licence", "training_samples", "sources", "name"])
def test_what_describes_the_bundle_is_not(name):
    before, after = keys_with(lambda raw: raw.update({name: "other"}))
    assert before == after


def test_a_component_without_a_listed_file_is_refused():
    files = {k: v for k, v in MANIFEST.files.items() if not k.startswith("zero123/unet/")}
    bare = replace(MANIFEST, raw=MANIFEST.raw | {"files": files})
    request = GraphRequest("sds3d", 1, 64)
    for call in (lambda: key_of(request, "onnxruntime", bare), lambda: weight_bytes(request, bare)):
        with pytest.raises(BundleError, match=r"lists no file of 'zero123\.unet'"):
            call()
    with pytest.raises(BundleError, match="has no 'taesd'"):
        key_of(GraphRequest("sds3d_tiny", 1, 64), "onnxruntime", MANIFEST)
