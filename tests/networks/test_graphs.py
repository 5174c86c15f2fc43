"""A graph is known by its definition: everything else reads it."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from xbind.algorithm.supervision import TERMS
from xbind.algorithm.views import LORA, hybrid_weights
from xbind.config.method import CoarseConfig, GuidanceConfig
from xbind.config.presets import default
from xbind.config.savings import FASTEST, Savings
from xbind.config.terms import EstimatorConfig
from xbind.engine.errors import EngineError
from xbind.engine.store import EngineStore
from xbind.losses.microbatch import MicroBatched
from xbind.networks.build import build
from xbind.networks.fingerprint import key_of, weight_bytes
from xbind.networks.graphs import (
    GRAPHS,
    GraphRequest,
    StepDef,
    StepUse,
    all_requests,
    eager_steps,
    graph_named,
    make_module,
    output_names,
    requests_of_phase,
    sample_inputs,
    step_of,
    steps_of,
)
from xbind.networks.graphs.table import graphs_of, step_named
from xbind.networks.load import load_bundle
from xbind.networks.manifest import ROLES, VIEW_WORDS_ROLE, load_manifest

ROOT = Path(__file__).parent.parent.parent
MANIFEST = load_manifest("mini")
OF_MINI = [graph.name for graph in graphs_of(MANIFEST)]
STEPS = steps_of(MANIFEST)
RANK = 2
"""Of the estimator, in the step that has one."""
ELSEWHERE = {
    "xbind/networks/graphs/requests.py": {
        "unet2d",
        "unet3d",
        "vae_encode",
        "vae_decode",
        "bind_vision",
    },
    "xbind/networks/runtime.py": {"unet2d", "unet3d"},  # which are sampled before Phase I
}
"""Modules that name a graph, its definition aside. The name of a term, as `ms`, does not count."""


@pytest.fixture(scope="module")
def bundle():
    return load_bundle(MANIFEST)


@pytest.mark.parametrize("name", GRAPHS)
def test_a_definition_is_whole(name):
    graph = graph_named(name)
    assert graph.name == name
    assert graph.components
    assert {*graph.components, *graph.optional} <= {*ROLES, "taesd", VIEW_WORDS_ROLE}
    assert graph.usual_request(default(), MANIFEST).name == name
    if isinstance(graph, StepDef):
        assert graph.term in TERMS


def test_every_term_has_a_weight_and_a_step():
    weights = hybrid_weights(GuidanceConfig(w_2d=1.0, w_3d=2.0, w_ms=3.0, w_rgb=4.0, w_mask=5.0))
    known = {"planar": 1.0, "stereo": 2.0, "ms": 3.0, "rgb": 4.0, "mask": 5.0}
    assert weights | known == weights
    assert weights.keys() == TERMS.keys() | {"rgb", "mask", LORA}
    assert weights[LORA] == EstimatorConfig().w_lora
    assert all(step_of(term, StepUse(GuidanceConfig())) for term in TERMS)


@pytest.mark.parametrize("planar", ["sds", "cds", "vsd"])
@pytest.mark.parametrize("w_img", [0.0, 1.0])
@pytest.mark.parametrize("decoder", [None, "tiny"])
@pytest.mark.parametrize("has_taesd", [False, True])
@pytest.mark.parametrize("perp_neg", [0.0, 1.0])
def test_one_step_computes_a_term(planar, w_img, decoder, has_taesd, perp_neg):
    guidance = GuidanceConfig(
        w_img=w_img, w_img_3d=w_img, decoder=decoder, view_words=True, perp_neg=perp_neg
    )
    use = StepUse(guidance, planar, has_taesd, has_view_words=True)
    steps = [graph for graph in GRAPHS.values() if isinstance(graph, StepDef)]
    for term in TERMS:
        assert sum(step.term == term and step.fits(use) for step in steps) == 1


@pytest.mark.parametrize("name", STEPS)
def test_inputs_are_those_of_the_module_and_have_a_row_per_view_or_are_shared(bundle, name):
    request = GraphRequest(name, 3, 64, rank=RANK)
    inputs = sample_inputs(bundle, request, 0.5, torch.Generator().manual_seed(0))
    module = make_module(bundle, name)
    assert set(inputs) == set(module.inputs)
    assert output_names(name, module) == module.outputs
    shared = {key for key, x in inputs.items() if x.ndim and len(x) != 3}
    assert shared == set(step_named(name).shared)


@pytest.mark.parametrize("name", STEPS)
def test_one_view_at_a_time_is_the_same_loss_and_gradient(bundle, name):
    request = GraphRequest(name, 3, 64, rank=RANK)
    inputs = sample_inputs(bundle, request, 0.5, torch.Generator().manual_seed(0))
    image = inputs.pop(make_module(bundle, name).inputs[0])
    with torch.no_grad():
        whole = eager_steps(bundle)(name)(image, **inputs)
        step = eager_steps(bundle, Savings(one_at_a_time=True))(name)
        single = step(image, **inputs)
    assert isinstance(step, MicroBatched)
    for one, other in zip(single, whole, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-4, atol=2e-5)


def test_all_requests_are_of_every_graph_of_the_bundle_once():
    names = [request.name for request in all_requests(default(), MANIFEST)]
    assert sorted(names) == sorted(OF_MINI)
    assert {"bind_vision", "vae_decode", "cds2d"} <= set(names)
    assert not {"bind_thermal", "sds2d_tiny"} & set(names)


def test_a_graph_that_the_bundle_lacks_is_refused(bundle):
    with pytest.raises(EngineError, match=r"needs 'thermal', which bundle 'mini' .*\n.*bind_audio"):
        make_module(bundle, "bind_thermal")
    with pytest.raises(EngineError, match=r"'unet2d' is not a guidance step.\nChoose of: sds2d,"):
        step_named("unet2d")


def test_no_other_module_names_graphs():
    found = {}
    for path in (ROOT / "xbind").rglob("*.py"):
        tree = ast.parse(path.read_text())
        constants = {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        if named := constants & (GRAPHS.keys() - TERMS.keys()):
            found[path.relative_to(ROOT).as_posix()] = named
    own = {"xbind/networks/graphs/steps.py", "xbind/networks/graphs/forwards.py"}
    training = {name for name in found if name.startswith("xbind/mini/train/")}  # names of files
    importing = {name for name in found if name.startswith("xbind/importing/")}  # fields
    assert {name: found[name] for name in found.keys() - own - training - importing} == ELSEWHERE


class Brightness(nn.Module):
    """Squared distance of the mean pixel to a level."""

    inputs, outputs = ("image", "level"), ("loss", "x_bar")

    def forward(self, image, level):
        with torch.enable_grad():
            image = image.detach().requires_grad_()
            loss = (image.mean((1, 2, 3)) - level).square().mean()
        (x_bar,) = torch.autograd.grad(loss, image)
        return loss.detach(), x_bar


@pytest.fixture
def brightness(monkeypatch):
    step = StepDef(
        name="brightness",
        components=("clip",),
        module=lambda bundle, two_passes: Brightness(),
        inputs=lambda s: {"image": s.image(), "level": s.uniform(s.batch)},
        term="bright",
        weight=lambda guidance: 10 * guidance.w_mask,
        request=lambda phase, manifest, savings: GraphRequest(
            "brightness", savings.at_once(phase.views), phase.size
        ),
    )
    monkeypatch.setitem(GRAPHS, "brightness", step)
    return GraphRequest("brightness", 2, 64)


def test_a_new_definition_is_all_that_a_graph_needs(brightness, bundle, tmp_path):
    entry = build(EngineStore(tmp_path), bundle, brightness, "onnxruntime")
    assert entry.notes["parity"]["x_bar"]["cosine"] > 0.9999
    assert entry.key == key_of(brightness, "onnxruntime", MANIFEST)
    assert weight_bytes(brightness, MANIFEST) == weight_bytes(GraphRequest("ms", 3, 64), MANIFEST)
    phase = replace(CoarseConfig(), views=2)
    wanted = requests_of_phase(phase, MANIFEST, FASTEST)
    assert wanted[-1] == brightness
    dark = replace(phase, guidance=replace(phase.guidance, w_mask=0.0))
    assert brightness not in requests_of_phase(dark, MANIFEST)
    assert hybrid_weights(phase.guidance)["bright"] == 10 * phase.guidance.w_mask
    assert replace(brightness, batch=1) in all_requests(default(), MANIFEST)
    image = torch.rand(2, 3, 64, 64)
    loss, _ = eager_steps(bundle)("brightness")(image, level=torch.zeros(2))
    assert float(loss) == pytest.approx(float(image.mean((1, 2, 3)).square().mean()))
