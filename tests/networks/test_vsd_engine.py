"""VSD in engines on the CPU: parity of both losses and both gradients, and a run's own call."""

from dataclasses import replace

import pytest
import torch

from xbind.algorithm.supervision import Condition, Supervision
from xbind.config.method import CoarseConfig, GuidanceConfig
from xbind.config.presets import preset_named
from xbind.config.savings import Savings
from xbind.config.terms import EstimatorConfig
from xbind.engine.store import EngineStore
from xbind.networks.build import build
from xbind.networks.graphs import (
    make_module,
    request_labelled,
    requests_of_phase,
    sample_inputs,
)
from xbind.networks.load import load_bundle
from xbind.networks.manifest import load_manifest
from xbind.networks.precision import in_precision
from xbind.networks.runtime import EagerRun, Part
from xbind.networks.select import compile_run
from xbind.scene.cameras import orbit

ENGINES = ("onnxruntime", "openvino")
MANIFEST = load_manifest("mini")
GUIDANCE = replace(
    preset_named("probe").coarse.guidance, w_3d=0.0, w_ms=0.0, weighting="sds",
    estimator=EstimatorConfig(rank=2),
)  # fmt: skip
PHASE = CoarseConfig(views=2, planar="vsd", guidance=GUIDANCE)
(REQUEST,) = requests_of_phase(PHASE, MANIFEST)


@pytest.fixture(scope="module")
def bundle():
    return load_bundle(MANIFEST)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return EngineStore(tmp_path_factory.mktemp("engines"))


def test_the_graph_is_named_after_its_rank():
    assert REQUEST.label == "vsd2d-b2-64px-rank2"
    assert request_labelled(REQUEST.label) == REQUEST
    split = replace(REQUEST, two_passes=True, shown=32)
    assert split.label == "vsd2d-b2-64px-at32px-rank2-2passes"
    assert request_labelled(split.label) == split


@pytest.mark.parametrize("backend", ENGINES)
def test_both_losses_and_gradients_are_those_of_torch(bundle, store, backend):
    if backend == "openvino":
        pytest.importorskip("openvino")
    entry = build(store, bundle, REQUEST, backend)
    parity = entry.notes["parity"]
    assert parity.keys() == {"loss", "x_bar", "loss_theta", "theta_bar"}
    for name, figure in parity.items():
        assert figure["relative"] < 1e-3, name
        assert figure["cosine"] > 0.99999, name


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def gradients(supervision, theta, config=GUIDANCE):
    image = torch.rand(2, 3, 64, 64, generator=seeded(1)).requires_grad_()
    theta = theta.clone().requires_grad_()
    call = supervision.planar_v(config, image, orbit(2), theta, 0.3, seeded(2))
    loss, lora = call.losses()
    return loss.detach(), lora.detach(), *torch.autograd.grad(loss + 3 * lora, (image, theta))


@pytest.fixture(scope="module")
def condition():
    labels = torch.randn(1, 256, generator=seeded(3))
    return Condition(torch.zeros(128), labels, torch.zeros(1, 4, 16, 16), None)


@pytest.fixture(scope="module")
def eager(bundle, condition):
    return Supervision(bundle, condition)


@pytest.fixture(scope="module")
def theta(eager):
    start = eager.start_theta(GUIDANCE.estimator, seeded(4))
    return start + 0.02 * torch.randn(len(start), generator=seeded(5))


def test_a_run_s_engine_gives_the_same_gradients(bundle, store, condition, eager, theta):
    run = compile_run(
        "onnxruntime", bundle, {"coarse": Part([REQUEST])}, store, threads=1,
        report=lambda line: None,
    )  # fmt: skip
    with run.stage("coarse") as stage:
        found = gradients(Supervision(stage.bundle, condition, stage.step), theta)
    for got, want in zip(found, gradients(eager, theta), strict=True):
        assert (got - want).norm() <= 1e-3 * want.norm()


@pytest.mark.parametrize("savings", [Savings(split_guidance=True), Savings(one_at_a_time=True)])
def test_savings_give_the_same_gradients(bundle, condition, eager, theta, savings):
    run = EagerRun(bundle, {"coarse": Part([], savings)}).of_stage("coarse")
    found = gradients(Supervision(bundle, condition, run.step), theta)
    for got, want in zip(found, gradients(eager, theta), strict=True):
        assert (got - want).norm() <= 1e-3 * want.norm()


def test_at_its_start_the_estimator_pulls_as_the_prior_without_guidance(eager):
    """(ε̂ − ε̂_φ) = (s − 1)(ε_c − ε_u): nothing at s = 1, and twice as much at s = 5 as at s = 3."""
    start = eager.start_theta(GUIDANCE.estimator, seeded(4))

    def pull(scale):
        return gradients(eager, start, replace(GUIDANCE, cfg_2d=scale))[2]

    three = pull(3.0)
    torch.testing.assert_close(
        pull(5.0), 2 * three, rtol=1e-3, atol=1e-3 * float(three.abs().max())
    )
    assert float(pull(1.0).norm()) < 1e-4 * float(three.norm())


def test_the_camera_is_dropped_in_training_alone(eager, theta):
    """With a drop of 1 the estimator is trained with zeros, whichever the cameras are."""
    always = replace(GUIDANCE, estimator=EstimatorConfig(rank=2, camera_drop=1.0))
    image = torch.rand(2, 3, 64, 64, generator=seeded(1))
    call = eager.planar_v(always, image, orbit(2), theta, 0.3, seeded(2))
    assert not call.feeds["camera_theta"].any()
    assert torch.equal(call.feeds["camera"], orbit(2).camera_to_world().flatten(1))
    never = replace(GUIDANCE, estimator=EstimatorConfig(rank=2, camera_drop=0.0))
    kept = eager.planar_v(never, image, orbit(2), theta, 0.3, seeded(2))
    assert torch.equal(kept.feeds["camera_theta"], kept.feeds["camera"])


def test_timesteps_of_the_training_are_all_over_the_schedule(eager, theta):
    image = torch.rand(64, 3, 8, 8, generator=seeded(1))
    config = GuidanceConfig(t_min=0.2, t_max=0.3, timesteps="uniform")
    call = eager.planar_v(config, image, orbit(64), theta, 0.3, seeded(2))
    assert 200 <= int(call.feeds["t"].min()) <= int(call.feeds["t"].max()) < 300
    assert int(call.feeds["t_theta"].min()) < 100
    assert int(call.feeds["t_theta"].max()) > 900


def test_in_half_the_gradient_of_theta_does_not_vanish(bundle):
    """Without the scale of the loss, gradients below 6e-8 would be 0 inside of the network."""
    feeds = sample_inputs(bundle, replace(REQUEST, batch=1), 0.5, seeded(3))
    want = make_module(bundle, "vsd2d")(**feeds)
    found = make_module(in_precision(bundle, "float16"), "vsd2d")(**feeds)
    for got, wanted, error in zip(found, want, (0.03, 0.03, 0.01, 0.01), strict=True):
        assert (got - wanted).norm() <= error * wanted.norm()
    assert float((found[3] == 0).float().mean()) < 0.01
