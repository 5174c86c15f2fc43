"""Running with less memory: the same loss, gradient and reference; and what is loaded when."""

from dataclasses import replace

import pytest
import torch

from xbind.algorithm.reference_view import sample_unclip
from xbind.algorithm.supervision import Condition, Supervision, make_condition
from xbind.conditioning.prompt import encode_prompt
from xbind.config.options import PromptConfig
from xbind.config.presets import preset_named
from xbind.config.savings import FASTEST, Savings, ladder
from xbind.engine.store import EngineStore
from xbind.networks.graphs import GraphRequest, requests_of_parts
from xbind.networks.load import load_bundle
from xbind.networks.manifest import load_manifest
from xbind.networks.runtime import EagerRun, Part
from xbind.networks.select import compile_run
from xbind.scene.cameras import orbit

METHOD = preset_named("probe")
SPARING = Savings(split_guidance=True, one_at_a_time=True)


@pytest.fixture(scope="module")
def bundle():
    return load_bundle(load_manifest("mini"))


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def condition(bundle):
    prompt = encode_prompt(PromptConfig(text="a red mug"), bundle.bind, bundle.unclip.image_size)
    reference = replace(METHOD.reference, candidates=2, steps=2)
    made = make_condition(prompt, bundle, reference, seeded(5))
    assert isinstance(made, Condition)
    return made


@pytest.mark.parametrize("term", ["planar_s", "planar_c", "stereo", "ms"])
@pytest.mark.parametrize("savings", [replace(SPARING, one_at_a_time=False), SPARING])
def test_terms_and_gradients_are_those_of_a_run_without_savings(bundle, condition, term, savings):
    found = []
    for way in (FASTEST, savings):
        run = EagerRun(bundle, {"coarse": Part([], way)}).of_stage("coarse")
        supervision = Supervision(bundle, condition, run.step)
        image = torch.rand(3, 3, 64, 64, generator=seeded(1)).requires_grad_()
        config = METHOD.coarse.guidance
        arguments = {
            "stereo": (config, image, orbit(3), 0.4, seeded(2)),
            "ms": (config, image, seeded(2)),
        }.get(term, (config, image, orbit(3), 0.4, seeded(2)))
        loss = getattr(supervision, term)(*arguments).loss()
        found.append((loss.detach(), *torch.autograd.grad(loss, image)))
    (loss, x_bar), (loss_s, x_bar_s) = found
    torch.testing.assert_close(loss_s, loss, rtol=1e-4, atol=1e-6)
    assert (x_bar_s - x_bar).norm() < 1e-3 * x_bar.norm()


def test_the_reference_is_sampled_alike(bundle, condition):
    drawn = [
        sample_unclip(
            bundle.unclip, condition.class_labels, count=2, steps=3, cfg_scale=3.0,
            generator=seeded(7), savings=savings,
        )
        for savings in (FASTEST, SPARING)
    ]  # fmt: skip
    torch.testing.assert_close(drawn[1], drawn[0], rtol=1e-3, atol=1e-3)


def test_two_passes_give_the_network_half_the_batch(bundle, condition, monkeypatch):
    seen = []
    forward = bundle.unclip.unet.forward

    def watched(z, *args, **kwargs):
        seen.append(len(z))
        return forward(z, *args, **kwargs)

    monkeypatch.setattr(bundle.unclip.unet, "forward", watched)
    for savings in (FASTEST, SPARING):
        run = EagerRun(bundle, {"coarse": Part([], savings)}).of_stage("coarse")
        image = torch.rand(2, 3, 64, 64, generator=seeded(1))
        Supervision(bundle, condition, run.step).planar_s(
            METHOD.coarse.guidance, image, orbit(2), 0.5, seeded(2)
        ).loss()
    assert seen == [4, 1, 1, 1, 1]


def test_each_rung_of_the_ladder_adds_one_saving():
    rungs = ladder("float32", engines=True)
    assert [len(rung.described()) for rung in rungs] == [0, 1, 2, 3, 4]
    assert [rung.precision for rung in rungs] == ["float32"] + 4 * ["float16"]
    assert [r.precision for r in ladder("bfloat16", engines=True)] == 4 * ["bfloat16"]
    eager = ladder("float32", engines=False)
    assert {rung.precision for rung in eager} == {"float32"}
    assert not any(rung.one_engine for rung in eager)


def test_graphs_of_a_sparing_run_have_one_row_and_say_so(bundle):
    method = preset_named("paper")
    requests = requests_of_parts(method, bundle.manifest, SPARING)
    assert requests["reference"] == [GraphRequest("unet2d", 1, 0)]
    assert [r.label for r in requests["geometry"]] == [
        "cds2d-b1-512px-2passes", "sds3d-b1-512px-2passes", "ms-b1-64px",
    ]  # fmt: skip


@pytest.mark.parametrize("one_engine", [False, True])
def test_engines_are_loaded_for_their_part_and_given_back(
    bundle, tmp_path_factory, monkeypatch, one_engine
):
    """`vae_encode` and `clip_image` stand for steps: they are quick to build."""
    store = EngineStore(tmp_path_factory.getbasetemp() / "savings")
    savings = Savings(one_engine=one_engine)
    first = [GraphRequest("ms", 1, 64), GraphRequest("vae_encode", 1, 64)]
    parts = {"coarse": Part(first, savings), "geometry": Part(first[:1], savings)}
    run = compile_run("onnxruntime", bundle, parts, store, threads=1, report=lambda line: None)
    assert len(run._engines) == 0
    with run.stage("coarse") as coarse:
        coarse.step("ms")
        coarse.step("vae_encode")
        assert len(run._engines) == (1 if one_engine else 2)
    assert len(run._engines) == 0
    assert run.of_stage("geometry").step("ms").outputs == ("loss", "x_bar")
