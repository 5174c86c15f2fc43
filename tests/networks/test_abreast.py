"""Guidance steps of one iteration in engines, two at a time."""

from threading import Event, Timer

import pytest
import torch

from xbind.algorithm.iteration import weighted_sum
from xbind.algorithm.supervision import Supervision, make_condition
from xbind.algorithm.views import hybrid_terms, hybrid_weights
from xbind.conditioning.prompt import encode_prompt
from xbind.config.options import PromptConfig
from xbind.config.presets import preset_named
from xbind.config.savings import FASTEST, Savings
from xbind.engine.store import EngineStore
from xbind.losses.step import StepCall
from xbind.networks import open_engines
from xbind.networks.graphs import GraphRequest, requests_of_phase
from xbind.networks.load import load_bundle
from xbind.networks.manifest import load_manifest
from xbind.networks.runtime import EngineRun, Part, abreast
from xbind.networks.select import compile_run
from xbind.scene.cameras import orbit
from xbind.system.threads import torch_threads

METHOD = preset_named("smoke")
THREE = ("sds2d_img", "sds3d_img", "ms")
WAIT_S = 20.0


@pytest.mark.parametrize(
    ("backend", "graphs", "threads", "savings", "want"),
    [
        ("onnxruntime", THREE, 1, FASTEST, 1),
        ("onnxruntime", THREE, 2, FASTEST, 2),
        ("openvino", THREE, 8, FASTEST, 2),
        ("onnxruntime", ("unet2d", "ms"), 2, FASTEST, 1),
        ("onnxruntime", ("unet2d",), 2, FASTEST, 1),
        ("onnxruntime", ("cds2d", "ms"), 2, Savings(one_engine=True), 1),
        ("tensorrt", ("cds2d", "ms"), 2, FASTEST, 1),
    ],
)
def test_how_many_steps_run_at_a_time(backend, graphs, threads, savings, want):
    part = Part([GraphRequest(name, 1, 64) for name in graphs], savings)
    assert abreast(backend, part, threads) == want


@pytest.fixture(scope="module")
def bundle():
    return load_bundle(load_manifest("mini"))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return EngineStore(tmp_path_factory.mktemp("engines"))


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_two_at_a_time_compute_what_one_by_one_does(bundle, store, monkeypatch, backend):
    prompt = encode_prompt(PromptConfig(text="a red mug"), bundle.bind, 64, view=bundle.view)
    condition = make_condition(prompt, bundle, METHOD.reference, seeded(5))
    parts = {"coarse": Part(requests_of_phase(METHOD.coarse, bundle.manifest))}
    guidance, found, opened = METHOD.coarse.guidance, [], []
    opens = open_engines.open_backend

    def noting(entry, *, threads, workspace, device):
        opened.append(threads)
        return opens(entry, threads=threads, workspace=workspace, device=device)

    monkeypatch.setattr(open_engines, "open_backend", noting)
    for threads in (1, 2, 2):
        run = compile_run(
            backend, bundle, parts, store, threads=threads, report=lambda line: None
        )  # fmt: skip
        with torch_threads(threads), run.stage("coarse") as stage:
            supervision = Supervision(stage.bundle, condition, stage.step, stage.runner)
            image = torch.rand(1, 3, 64, 64, generator=seeded(1)).requires_grad_()
            generator = seeded(2)
            started = hybrid_terms(
                supervision, guidance, image, orbit(1), 0.4, generator, planar="sds"
            )
            drawn = generator.get_state()
            assert torch.get_num_threads() == 1  # of two, one is for the other step
            losses = started.losses()
            assert torch.get_num_threads() == threads
            assert list(losses) == ["planar", "stereo", "ms"]
            weighted_sum(losses, hybrid_weights(guidance)).backward()
        terms = torch.stack([loss.detach() for loss in losses.values()])
        found.append((terms, image.grad, drawn, generator.get_state()))
    assert opened == [1] * 9  # one thread for each of two steps
    one, two, again = found
    assert all(a.equal(b) for a, b in zip(two, again, strict=True))
    torch.testing.assert_close(two[0], one[0], rtol=1e-5, atol=1e-6)
    assert (two[1] - one[1]).norm() < 1e-5 * one[1].norm()
    for state in (*one[2:], *two[2:]):  # everything is drawn when steps are started
        assert state.equal(one[2])


def test_a_stage_that_fails_ends_its_steps_before_their_engines_are_closed(bundle):
    begun, go_on, order = Event(), Event(), []
    part = Part([GraphRequest(name, 1, 64) for name in THREE])
    run = EngineRun("onnxruntime", bundle, {"coarse": part}, {}, threads=2)
    run._engines.close = lambda *, but: order.append("engines closed")

    class Slow:
        inputs, outputs = ("image",), ("loss", "x_bar")

        def __call__(self, image):
            begun.set()
            assert go_on.wait(WAIT_S)
            order.append("step ran")
            return image.sum(), image

    def fail():
        with run.stage("coarse") as stage:
            stage.runner.start(StepCall(Slow(), torch.zeros(1, 3, 2, 2), {}))
            assert begun.wait(WAIT_S)
            Timer(0.05, go_on.set).start()
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        fail()
    assert order == ["step ran", "engines closed"]
    with run.stage("coarse") as stage:  # a stage after it has threads again
        assert stage.runner.start(StepCall(Slow(), torch.zeros(1, 3, 2, 2), {})).losses() == (0,)
