"""A 2D prior for larger pictures gets into a bundle whose other networks stay as they are."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from tests.support.large_prior import LARGE, write_checkpoints
from xbind.errors import XBindError
from xbind.mini.train import unclip_files
from xbind.mini.train.__main__ import main
from xbind.mini.train.assemble import assemble, assemble_only, unpack
from xbind.mini.train.data import on_white
from xbind.mini.train.priors import UNCLIP_START, VIEW_TOKENS
from xbind.mini.train.resolutions import SMALL
from xbind.mini.train.unclip_files import VAE_3D, VIEW_WORDS_FILE
from xbind.mini.train.vae import START
from xbind.mini.world.categories import build
from xbind.mini.world.dataset import SplitConfig, write_split
from xbind.mini.world.render import render
from xbind.networks.load import load_bundle
from xbind.networks.manifest import SHIPPED, VIEW_WORDS_ROLE, BundleError, load_manifest, verify
from xbind.scene.cameras import orbit

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    write_checkpoints(folder / "work", LARGE)
    write_split(folder / "work/train", 1, SplitConfig(views=1, size=128, detail=2))
    shutil.copytree(SHIPPED / "mini", folder / "bundle")
    assemble_only(folder / "work", folder / "bundle", "unclip")
    return folder


def numbers(net):
    return torch.cat([p.flatten() for p in net.parameters()])


def test_the_bundle_says_what_is_in_it(root):
    manifest, before = load_manifest(root / "bundle"), load_manifest("mini")
    verify(manifest)
    assert manifest.raw["image_size"] == {"unclip": 128, "zero123": 64}
    assert manifest.raw["world_detail"] == {"unclip": 2}
    counts, others = manifest.raw["training_samples"], before.raw["training_samples"]
    assert counts["unclip"] == 96
    assert "view_words" not in counts
    assert counts["zero123"] == others["zero123"]
    changed = {n for n, r in manifest.files.items() if before.files.get(n) != r}
    assert {name.split("/")[0] for name in changed} == {"unclip", "zero123"}
    assert {n for n in changed if n.startswith("zero123")} == {
        f"{VAE_3D}/config.json", f"{VAE_3D}/{WEIGHTS}",
    }  # fmt: skip
    assert list(manifest.files) == sorted(manifest.files)
    assert manifest.digest != before.digest


def test_the_2d_prior_is_new_and_the_3d_priors_are_as_they_were(root):
    made, before = load_bundle(load_manifest(root / "bundle")), load_bundle(load_manifest("mini"))
    assert made.unclip.image_size == made.unclip.drawn_size == 128
    assert made.unclip.latent_shape == (8, 16, 16)
    state = torch.load(root / "work/unclip.pt", weights_only=True)["ema"]
    torch.testing.assert_close(
        made.unclip.contexts[1:4, 0], state[VIEW_TOKENS], rtol=1e-3, atol=1e-3
    )
    assert not made.unclip.contexts[[0, 4]].any()
    torch.testing.assert_close(
        made.unclip.unet.state_dict()["conv_in.weight"], state["conv_in.weight"],
        rtol=1e-3, atol=1e-4,
    )  # fmt: skip
    for a, b in (
        (made.zero123.vae, before.zero123.vae), (made.zero123.unet, before.zero123.unet),
        (made.bind.model, before.bind.model), (made.view, before.view),
    ):  # fmt: skip
        assert torch.equal(numbers(a), numbers(b))
    assert made.zero123.latent_shape == (4, 16, 16)


def test_the_pose_estimator_reads_larger_pictures(root):
    bundle = load_bundle(load_manifest(root / "bundle"))
    mesh = build("car", "red", torch.Generator().manual_seed(0))
    cameras = orbit(4, elevation_deg=20.0)
    small, large = (on_white(render(mesh, cameras, size).rgba) for size in (64, 128))
    with torch.inference_mode():
        torch.testing.assert_close(bundle.view(large), bundle.view(small), rtol=0, atol=0.1)
        assert bundle.zero123.seen_pose(large).shape == (4, 3)


def test_a_call_that_was_interrupted_is_made_again(tmp_path, root, monkeypatch):
    folder = tmp_path / "bundle"
    shutil.copytree(SHIPPED / "mini", folder)
    write = unclip_files.write_net

    def killed(path, net):
        write(path, net)
        if path.name == "vae":
            raise KeyboardInterrupt

    monkeypatch.setattr(unclip_files, "write_net", killed)
    with pytest.raises(KeyboardInterrupt):
        assemble_only(root / "work", folder, "unclip")
    monkeypatch.undo()
    kept = (SHIPPED / "mini/unclip/vae" / WEIGHTS).read_bytes()
    assert (folder / "unclip/vae" / WEIGHTS).read_bytes() != kept
    assert (folder / VAE_3D / WEIGHTS).read_bytes() == kept
    assemble_only(root / "work", folder, "unclip")
    for path in (root / "bundle").rglob("*"):
        if path.is_file():
            assert (folder / path.relative_to(root / "bundle")).read_bytes() == path.read_bytes()


def test_a_prior_with_the_same_vae_shares_it_and_brings_its_own_words(tmp_path):
    folder, work = tmp_path / "bundle", tmp_path / "work"
    shutil.copytree(SHIPPED / "mini", folder)
    work.mkdir()
    unpack(work, folder)
    (work / "view_words.pt").unlink()
    assemble_only(work, folder, "unclip")
    manifest, before = load_manifest(folder), load_manifest("mini")
    verify(manifest)
    assert manifest.raw["parts"]["zero123.vae"] == "unclip/vae"
    assert VIEW_WORDS_ROLE not in manifest.raw["parts"]
    assert not (folder / VIEW_WORDS_FILE).exists()
    files = {n: r for n, r in before.files.items() if n != VIEW_WORDS_FILE}
    assert manifest.files == files
    unpack(work, SHIPPED / "mini")
    assemble_only(work, folder, "unclip")
    assert load_manifest(folder).files == before.files
    assert load_manifest(folder).raw["parts"] == before.raw["parts"]


def test_what_is_missing_or_damaged_is_refused_before_anything_is_written(tmp_path, root):
    folder = tmp_path / "bundle"
    shutil.copytree(SHIPPED / "mini", folder)
    before = (folder / "bundle.json").read_bytes()
    work = tmp_path / "work"
    write_checkpoints(work, LARGE)
    (work / "vae_folded.pt").unlink()
    with pytest.raises(XBindError, match=r"no vae_folded\.pt .*\n.*mini\.train vae --work"):
        assemble_only(work, folder, "unclip")
    (folder / "unclip/vae/config.json").write_text("{}")
    with pytest.raises(BundleError, match=r"damaged: .*unclip/vae/config\.json"):
        assemble_only(root / "work", folder, "unclip")
    assert (folder / "bundle.json").read_bytes() == before
    with pytest.raises(XBindError, match=r"for pictures of 128 px; .*\n.*--only unclip"):
        assemble(root / "work", tmp_path / "whole")
    assert not (tmp_path / "whole").exists()


def test_unpacking_takes_what_fits_the_world(root, tmp_path):
    sizes = {}
    for size in (64, 128):
        work = tmp_path / str(size)
        write_split(work / "train", 1, SplitConfig(views=1, size=size))
        unpack(work, root / "bundle")
        sizes[size] = {path.stem for path in work.glob("*.pt")}
        for name in ("bind", "clip", "view", "judge"):
            assert name in sizes[size]
    assert sizes[64] - sizes[128] == {"zero123", "zero123_narrow"}
    assert sizes[128] - sizes[64] == {"unclip", "normalizer"}
    vae = torch.load(tmp_path / "64/vae_folded.pt", weights_only=True)["ema"]
    shipped = load_file(SHIPPED / "mini/unclip/vae" / WEIGHTS)
    assert all(torch.equal(vae[name], x.float()) for name, x in shipped.items())
    unclip = torch.load(tmp_path / "128/unclip.pt", weights_only=True)
    made = torch.load(root / "work/unclip.pt", weights_only=True)["ema"]
    assert unclip["samples"] == 96
    assert all(torch.equal(x, made[name].half().float()) for name, x in unclip["ema"].items())
    assert unclip["ema"].keys() == made.keys()
    work = tmp_path / "start"
    write_split(work / "train", 1, SplitConfig(views=1, size=128))
    main(["unpack", "--work", str(work)])
    assert (work / f"{START}.pt").exists()
    assert not (work / "unclip.pt").exists()
    start = torch.load(work / f"{UNCLIP_START}.pt", weights_only=True)["ema"]
    words = load_file(SHIPPED / "mini" / VIEW_WORDS_FILE)
    assert torch.equal(start[VIEW_TOKENS], words["contexts"][:3, 0].float())
    for name, value in words.items():
        assert name == "contexts" or torch.equal(start[name], value.float())
    assert json.loads((SHIPPED / "mini/bundle.json").read_text())["image_size"]["unclip"] == 64
    assert SMALL.image_size == 64
