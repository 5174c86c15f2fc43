"""Bundles with several 3D priors: which weights are loaded, which engines are shared."""

import json

import pytest
import torch

from tests.support.two_priors import NARROW, copy_shipped, two_priors, write_checkpoint
from xbind.errors import XBindError
from xbind.mini.train.assemble import assemble_only, unpack
from xbind.mini.world.categories import CATEGORIES, SEEN, UNSEEN
from xbind.networks.fingerprint import key_of
from xbind.networks.graphs import GraphRequest
from xbind.networks.load import load_bundle
from xbind.networks.manifest import BundleError, load_manifest, verify


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("priors")
    two_priors(folder)
    return folder


@pytest.fixture
def manifest(root):
    return load_manifest(root / "bundle")


@pytest.fixture
def copied(tmp_path):
    return copy_shipped(tmp_path / "bundle")


def weights(manifest):
    bundle = load_bundle(manifest)
    nets = {
        "unet": bundle.zero123.unet,
        "projection": bundle.zero123.projection,
        "vae": bundle.zero123.vae,
        "image_encoder": bundle.zero123.image_encoder,
        "unclip": bundle.unclip.unet,
    }
    return {name: torch.cat([p.flatten() for p in n.parameters()]) for name, n in nets.items()}


def test_the_chosen_prior_is_loaded_with_the_networks_that_it_shares(root, manifest):
    wide, narrow = weights(manifest), weights(manifest.with_prior_3d("narrow"))
    same = {name for name in wide if torch.equal(wide[name], narrow[name])}
    assert same == {"vae", "image_encoder", "unclip"}
    ema = torch.load(root / f"work/{NARROW}.pt", weights_only=True)["ema"]
    bundle = load_bundle(manifest.with_prior_3d("narrow"))
    for net, prefix in ((bundle.zero123.unet, "unet"), (bundle.zero123.projection, "projection")):
        for name, value in net.state_dict().items():
            assert torch.equal(value, ema[f"{prefix}.{name}"].half().float())


def test_the_default_prior_is_the_shipped_one(copied, manifest):
    alone, chosen = weights(load_manifest(copied)), weights(manifest.with_prior_3d("wide"))
    assert all(torch.equal(alone[name], chosen[name]) for name in alone)
    assert manifest.chosen_3d is None
    assert manifest.with_prior_3d("narrow").chosen_3d == "narrow"
    assert manifest.with_prior_3d("narrow").with_prior_3d(None).chosen_3d is None


def test_priors_say_what_they_were_trained_on(manifest):
    assert {n: p.categories for n, p in manifest.priors_3d.items()} == {
        "wide": CATEGORIES,
        "narrow": SEEN,
    }
    assert sorted(SEEN + UNSEEN) == sorted(CATEGORIES)
    assert (len(SEEN), len(UNSEEN)) == (10, 7)


def test_a_prior_that_is_not_there_is_refused_with_those_that_are(copied, manifest):
    with pytest.raises(
        BundleError, match=r"no 3D prior 'broad'; it has: wide, narrow\.\n.*--prior"
    ):
        manifest.with_prior_3d("broad")
    with pytest.raises(BundleError, match=r"no 3D prior 'narrow'; it has: default\.\n"):
        load_manifest(copied).with_prior_3d("narrow")


def test_engines_are_shared_only_where_the_weights_are(manifest):
    def key(name, chosen):
        return key_of(GraphRequest(name, 1, 64), "onnxruntime", manifest.with_prior_3d(chosen))

    for name in ("unet3d", "sds3d", "sds3d_img"):
        assert key(name, "wide").fields["weights"] != key(name, "narrow").fields["weights"]
    for name in ("unet2d", "sds2d_img", "cds2d", "ms", "clip_image", "vae_decode"):
        assert key(name, "wide") == key(name, "narrow")


def test_engines_of_the_default_prior_stay_when_another_is_added(copied, manifest):
    request = GraphRequest("sds3d_img", 1, 64)
    before = key_of(request, "onnxruntime", load_manifest(copied))
    assert key_of(request, "onnxruntime", manifest) == before


def test_a_changed_byte_of_either_prior_is_noticed(tmp_path):
    folder = two_priors(tmp_path)
    path = folder / NARROW / "clip_camera_projection/model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match=rf"damaged: .*{NARROW}/clip_camera_projection"):
        load_bundle(load_manifest(folder))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([], "damaged"),
        ({"narrow": {"component": "zero123_narrow"}}, "zero123 among them"),
        ({"wide": {"component": "zero123"}, "w": {"component": "zero123"}}, "different components"),
        (
            {"wide": {"component": "zero123"}, "x": {"component": "x"}},
            "lacks x.unet, x.camera_proj",
        ),
        ({"wide": {"categories": []}}, "priors_3d has no component"),
        ({"wide": {"component": "zero123", "categories": "mug"}}, "damaged"),
    ],
)
def test_a_damaged_table_of_priors_is_refused(copied, table, message):
    raw = json.loads((copied / "bundle.json").read_text())
    (copied / "bundle.json").write_text(json.dumps(raw | {"priors_3d": table}))
    with pytest.raises(BundleError, match=message):
        load_manifest(copied)


def test_a_prior_is_put_into_a_bundle_again_and_changes_nothing_else(root, tmp_path):
    folder = two_priors(tmp_path)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    half = folder / NARROW / "unet/diffusion_pytorch_model.safetensors"
    half.write_bytes(b"of a call that was interrupted")
    assemble_only(root / "work", folder, NARROW)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    manifest = load_manifest(folder)
    verify(manifest)
    assert half.stat().st_mode == (folder / "bundle.json").stat().st_mode
    assert manifest.raw["training_samples"][NARROW] == 96
    shipped = load_manifest("mini").raw["training_samples"]
    assert manifest.raw["training_samples"]["zero123"] == shipped["zero123"]


def test_a_prior_that_was_not_trained_or_a_damaged_bundle_is_refused(root, copied, tmp_path):
    before = (copied / "bundle.json").read_bytes()
    with pytest.raises(XBindError, match=rf"no {NARROW}\.pt .*\n.*train {NARROW} --work"):
        assemble_only(tmp_path, copied, NARROW)
    (copied / "view/config.json").write_text("{}")
    with pytest.raises(BundleError, match=r"damaged: .*view/config\.json"):
        assemble_only(root / "work", copied, NARROW)
    assert not (copied / NARROW).exists()
    assert (copied / "bundle.json").read_bytes() == before


def test_training_goes_on_from_a_bundle_with_both(root, tmp_path):
    unpack(tmp_path, root / "bundle")
    state = torch.load(tmp_path / f"{NARROW}.pt", weights_only=True)
    made = torch.load(root / f"work/{NARROW}.pt", weights_only=True)["ema"]
    assert state["samples"] == 96
    assert state["ema"].keys() == made.keys()
    assert all(torch.equal(w, made[name].half().float()) for name, w in state["ema"].items())


def test_the_fixture_differs_from_the_shipped_prior(tmp_path):
    ema = write_checkpoint(tmp_path)
    wide = torch.load(tmp_path / "zero123.pt", weights_only=True)["ema"]
    assert not torch.equal(ema["unet.conv_in.weight"], wide["unet.conv_in.weight"])
