"""The 2D prior is shown smaller images than its own where a phase asks for it."""

from dataclasses import replace

import pytest
import torch

from xbind.algorithm.supervision import Condition, Supervision
from xbind.config.options import GenerateConfig, PromptConfig
from xbind.config.presets import PRESETS, GuidanceConfig, preset_named
from xbind.diffusion.errors import GuidanceError
from xbind.engine.store import EngineStore
from xbind.networks.graphs import requests_of_parts, requests_of_phase, requests_of_run
from xbind.networks.load import load_bundle
from xbind.networks.manifest import load_manifest
from xbind.networks.runtime import Part
from xbind.networks.select import compile_run
from xbind.run.settings import run_settings
from xbind.scene.cameras import orbit

MINI = load_manifest("mini")
METHOD = preset_named("probe")
SMALL = GuidanceConfig(size_2d=32)


@pytest.fixture(scope="module")
def bundle():
    return load_bundle(MINI)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def condition():
    labels = torch.randn(1, 256, generator=seeded(3))
    eps_star = torch.randn(1, 4, 16, 16, generator=seeded(4))
    return Condition(torch.zeros(128), labels, eps_star, None)


def term(supervision, name, config):
    image = torch.rand(2, 3, 48, 48, generator=seeded(1)).requires_grad_()
    loss = getattr(supervision, name)(config, image, orbit(2), 0.4, seeded(2)).loss()
    return loss.detach(), *torch.autograd.grad(loss, image)


@pytest.mark.parametrize("name", ["planar_s", "planar_c"])
def test_it_is_what_a_prior_with_smaller_images_says(bundle, name):
    told = condition()
    small = replace(bundle, unclip=replace(bundle.unclip, image_size=32))
    cut = replace(told, eps_star=told.eps_star[..., :8, :8])
    loss, x_bar = term(Supervision(bundle, told), name, SMALL)
    want_loss, want_x_bar = term(Supervision(small, cut), name, GuidanceConfig())
    torch.testing.assert_close(loss, want_loss)
    torch.testing.assert_close(x_bar, want_x_bar)
    whole, _ = term(Supervision(bundle, told), name, GuidanceConfig())
    assert abs(float(whole / loss) - 1) > 0.1  # the size is not without effect


def test_an_engine_of_that_size_computes_the_same(bundle, tmp_path):
    phase = replace(METHOD.geometry, views=2, size=48, guidance=SMALL)
    (request,) = (r for r in requests_of_phase(phase, MINI) if r.name == "cds2d")
    assert request.label == "cds2d-b2-48px-at32px"
    told, found = condition(), []
    for choice in ("eager", "onnxruntime"):
        run = compile_run(
            choice, bundle, {"geometry": Part([request])}, EngineStore(tmp_path), threads=1,
            report=lambda line: None,
        )  # fmt: skip
        found.append(
            term(Supervision(bundle, told, run.of_stage("geometry").step), "planar_c", SMALL)
        )
    (loss, x_bar), (loss_e, x_bar_e) = found
    torch.testing.assert_close(loss_e, loss, rtol=1e-4, atol=1e-5)
    assert (x_bar_e - x_bar).norm() < 3e-4 * x_bar.norm()


def test_fast_shows_256_pixels_in_phase_1(tmp_path):
    from xbind.importing.architectures import sd21
    from xbind.importing.random_weights import write_shapes

    labels = {
        part: [request.label for request in requests]
        for part, requests in requests_of_parts(
            preset_named("fast"), write_shapes(tmp_path / "sd21", sd21())
        ).items()
    }
    assert labels["coarse"][:2] == ["sds2d_img-b1-128px-at256px", "sds3d-b1-128px"]
    assert labels["geometry"][0] == "cds2d-b1-512px-at512px"
    assert labels["texture"][0] == "sds2d-b1-512px-at512px"


@pytest.mark.parametrize("name", PRESETS)
def test_no_preset_asks_more_than_a_bundle_has(name):
    assert not any("-at" in request.label for request in requests_of_run(preset_named(name), MINI))


@pytest.mark.parametrize("size", [8, 40, 63])
def test_what_cannot_be_halved_is_refused(size):
    phase = replace(METHOD.coarse, guidance=GuidanceConfig(size_2d=size))
    with pytest.raises(GuidanceError) as refusal:
        requests_of_phase(phase, MINI)
    message = str(refusal.value)
    assert f"bundle 'mini' cannot be shown images of {size} pixels" in message
    assert "multiple of 16, or to None for the bundle's own 64 pixels" in message


def test_runs_of_versions_that_know_it_not_go_on():
    """What is not set is not written, so it does not differ."""
    config = GenerateConfig(prompt=PromptConfig(text="x"))
    written = [
        run_settings(config, preset_named(n), MINI, "cpu")["method"] for n in ("default", "fast")
    ]
    sizes = [method["coarse"]["guidance"].get("size_2d", "left out") for method in written]
    assert sizes == ["left out", 256]
    assert "cfg_2d_end" not in written[1]["coarse"]["guidance"]
    assert written[0]["coarse"]["guidance"]["w_2d"] == GuidanceConfig().w_2d
