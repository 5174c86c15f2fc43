"""TAESD in a bundle: imported, and used for x̂ where the preset wants it; oracle: diffusers."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny
from PIL import Image
from safetensors.torch import save_file
from tiny_sources import tiny

from xbind.algorithm.supervision import Condition, Supervision
from xbind.config.options import GenerateConfig, PromptConfig
from xbind.config.presets import preset_named
from xbind.engine.errors import EngineError
from xbind.engine.store import EngineStore
from xbind.importing.architectures import reduced, sd21, taesd
from xbind.importing.checkpoint import CheckpointError
from xbind.importing.folders import _write_taesd
from xbind.importing.random_weights import make_random_bundle
from xbind.networks.build import build
from xbind.networks.build_many import Job
from xbind.networks.fingerprint import key_of
from xbind.networks.graphs import (
    GraphRequest,
    all_requests,
    make_module,
    requests_of_phase,
    sample_inputs,
)
from xbind.networks.load import load_bundle
from xbind.networks.manifest import load_manifest
from xbind.networks.precision import in_precision
from xbind.pipeline import generate
from xbind.run.progress import PlainReporter
from xbind.scene.cameras import orbit

NARROW = taesd() | {f"{side}_block_out_channels": [8] * 4 for side in ("encoder", "decoder")}
WITH = replace(tiny(reduced()), taesd=NARROW)
PROBE = preset_named("probe")


def wants(method):
    """The method with x̂ by TAESD in every phase."""
    phases = {
        name: replace(phase, guidance=replace(phase.guidance, decoder="tiny"))
        for name in ("coarse", "geometry", "texture")
        for phase in (getattr(method, name),)
    }
    return replace(method, **phases)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    out = tmp_path_factory.mktemp("taesd") / "with"
    return make_random_bundle(out, WITH, 3, lambda line: None)


@pytest.fixture(scope="module")
def bundle(manifest):
    return load_bundle(manifest)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def public(folder):
    """What diffusers makes of the same files, in [0, 1]."""
    net = AutoencoderTiny.from_pretrained(folder)
    return lambda z: (net.decode(z / net.config.scaling_factor).sample / 2 + 0.5).clamp(0, 1)


@pytest.mark.parametrize("name", ["sds2d", "sds3d"])
def test_x_hat_is_what_diffusers_decodes_and_the_loss_follows(bundle, manifest, name):
    """Against the same step with the VAE: ẑ is the same, only x̂ and the image term differ."""
    request = GraphRequest(f"{name}_tiny", 2, 64)
    feeds = sample_inputs(bundle, request, 0.5, seeded(1))
    small = make_module(bundle, f"{name}_tiny")
    plain = make_module(bundle, name)
    without = {k: x for k, x in feeds.items() if k != "w_img"}
    latent_loss, latent_bar = plain(**without)
    loss, x_bar = small(**feeds)

    seen = {}
    hook = bundle.taesd.decoder.register_forward_pre_hook(lambda _, z: seen.update(z=z[0]))
    small(**feeds)
    hook.remove()
    want = public(manifest.part("taesd"))(seen["z"])
    assert seen["z"].shape == (2, 4, 8, 8)
    w, x = float(feeds["w_img"]), feeds["image"]
    term = w * (x - want).square().mean()
    torch.testing.assert_close(loss, latent_loss + term, rtol=1e-4, atol=1e-4)
    pull = w * 2 * (x - want) / want.numel()
    torch.testing.assert_close(x_bar, latent_bar + pull, rtol=1e-3, atol=1e-4)
    by_vae, _ = make_module(bundle, f"{name}_img")(**feeds)
    assert (by_vae - loss).abs() > 0.05 * term


def test_latents_go_in_scaled_as_taesd_was_trained(bundle):
    assert bundle.taesd.config.scaling_factor == 1.0
    assert bundle.unclip.vae.config.scaling_factor == 0.18215


def test_a_preset_that_wants_it_gets_it_where_it_is(manifest, bundle):
    names = [r.name for r in requests_of_phase(wants(PROBE).coarse, manifest)]
    assert names == ["sds2d_tiny", "sds3d_tiny", "ms"]
    assert "sds2d_img" in [r.name for r in requests_of_phase(PROBE.coarse, manifest)]
    lacking = load_manifest("mini")
    assert "sds2d_img" in [r.name for r in requests_of_phase(wants(PROBE).coarse, lacking)]
    assert not any(r.name.endswith("_tiny") for r in all_requests(PROBE, lacking))
    assert {"sds2d_tiny", "sds3d_tiny"} <= {r.name for r in all_requests(PROBE, manifest)}
    asked = []
    labels, eps = torch.zeros(1, 128), torch.zeros(1, 4, 8, 8)
    for networks in (bundle, replace(bundle, taesd=None)):
        condition = Condition(torch.zeros(64), labels, eps, None)

        def step(name, networks=networks):
            asked.append(name)
            return make_module(networks, name)

        Supervision(networks, condition, step).planar_s(
            wants(PROBE).coarse.guidance, torch.rand(1, 3, 64, 64), orbit(1), 0.5, seeded(1)
        ).loss()
    assert asked == ["sds2d_tiny", "sds2d_img"]


def test_it_moves_with_the_networks_of_guidance(manifest):
    there = torch.device("meta")
    for guiding in (True, False):
        moved = load_bundle(manifest).to(there, guiding=guiding).taesd
        assert (next(moved.parameters()).device == there) == guiding


def test_fast_wants_it():
    assert preset_named("fast").coarse.guidance.decoder == "tiny"
    assert preset_named("paper").coarse.guidance.decoder is None


def test_a_graph_of_it_without_it_is_refused():
    mini = load_bundle(load_manifest("mini"))
    with pytest.raises(EngineError, match=r"needs 'taesd', which .* does not have.\n.*--taesd"):
        make_module(mini, "sds3d_tiny")


def test_an_engine_decodes_the_same_and_its_key_knows_the_weights(bundle, manifest, tmp_path):
    request = GraphRequest("sds2d_tiny", 1, 64)
    entry = build(EngineStore(tmp_path), bundle, request, "onnxruntime")
    assert entry.notes["parity"]["x_bar"]["relative"] < 1e-3
    files = dict(manifest.raw["files"])
    name = next(n for n in files if n.startswith("taesd/") and n.endswith(".safetensors"))
    other = replace(
        manifest, raw=manifest.raw | {"files": files | {name: files[name] | {"sha256": "0"}}}
    )
    keys = [key_of(request, "onnxruntime", m).fields["weights"] for m in (manifest, other)]
    assert keys[0] != keys[1]
    plain = replace(request, name="sds2d_img")
    keys = [key_of(plain, "onnxruntime", m).fields["weights"] for m in (manifest, other)]
    assert keys[0] == keys[1]
    assert Job("b", request, "onnxruntime", "float32", (), tmp_path).is_built(manifest)


def test_in_half_it_decodes_nearly_the_same(bundle):
    z = torch.randn(1, 4, 8, 8, generator=seeded(1))
    half = in_precision(bundle, "bfloat16").taesd
    assert next(half.net.parameters()).dtype == torch.bfloat16
    torch.testing.assert_close(
        half.decode(z).sample, bundle.taesd.decode(z).sample, rtol=0.1, atol=0.05
    )


def ball(path):
    y, x = np.mgrid[:96, :96]
    inside = (x - 48) ** 2 + (y - 48) ** 2 < 30**2
    picture = np.where(inside[..., None], (200, 40, 30), 255).astype(np.uint8)
    Image.fromarray(picture).save(path)
    return path


@pytest.mark.parametrize("has", [True, False])
def test_a_run_and_its_report_say_what_decodes(bundle, tmp_path, monkeypatch, capsys, has):
    used = bundle if has else replace(bundle, taesd=None)
    raw = dict(bundle.manifest.raw)
    if not has:
        raw["parts"] = {k: v for k, v in raw["parts"].items() if k != "taesd"}
    monkeypatch.setattr("xbind.networks.loaded.load_bundle", lambda _: used)
    manifest = replace(bundle.manifest, raw=raw)
    monkeypatch.setattr("xbind.run.networks.load_manifest", lambda _: manifest)
    monkeypatch.setattr("xbind.pipeline.method_of", lambda *_: wants(PROBE))
    config = GenerateConfig(
        prompt=PromptConfig(image=ball(tmp_path / "ball.png")), out=tmp_path / "run",
        bundle=str(bundle.manifest.folder), preset="probe", engine="eager",
    )  # fmt: skip
    with PlainReporter(sys.stdout) as reporter:
        generate(config, reporter)
    words = "x̂ by TAESD" if has else "this bundle has no TAESD (xbind bundle import --taesd)"
    assert words in capsys.readouterr().out
    assert words in (tmp_path / "run/report.html").read_text()


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_it_is_imported_tensor_by_tensor(tmp_path, kind):
    torch.manual_seed(0)
    net = AutoencoderTiny.from_config(dict(NARROW if kind == "folder" else taesd()))
    source, out = tmp_path / "source", tmp_path / "out"
    net.save_pretrained(source)
    if kind == "file":
        source = tmp_path / "taesd.safetensors"
        save_file(net.state_dict(), source)
    out.mkdir()
    _write_taesd(out, source, sd21().vae)
    z = torch.randn(1, 4, 4, 4)
    torch.testing.assert_close(public(out)(z), (net.decode(z).sample / 2 + 0.5).clamp(0, 1))
    assert "_name_or_path" not in json.loads((out / "config.json").read_text())


@pytest.mark.parametrize("change", [{"latent_channels": 16}, {"stages": 3}])
def test_a_decoder_of_other_latents_is_refused(tmp_path, change):
    config = dict(NARROW) | {k: v for k, v in change.items() if k != "stages"}
    if "stages" in change:
        config |= {k: v[:3] for k, v in NARROW.items() if isinstance(v, list)}
    AutoencoderTiny.from_config(config).save_pretrained(tmp_path / "source")
    with pytest.raises(CheckpointError, match=r"Get the one for Stable Diffusion 1 and 2, madebyo"):
        _write_taesd(tmp_path, tmp_path / "source", sd21().vae)
