"""The view words of the 2D prior: what is trained, and how it gets into a bundle."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from xbind.errors import XBindError
from xbind.mini.train import view_words
from xbind.mini.train.__main__ import main
from xbind.mini.train.assemble import VIEW_WORDS_FILE, assemble_only, unpack
from xbind.mini.train.latents import Latents
from xbind.mini.train.lengths import LoopConfig
from xbind.mini.train.loop import save_atomic
from xbind.mini.train.priors import build_unet
from xbind.mini.train.view_words import ViewAdapter, adapter_of, state_from_file
from xbind.mini.world.categories import CATEGORIES
from xbind.networks.load import load_bundle
from xbind.networks.manifest import SHIPPED, VIEW_WORDS_ROLE, load_manifest, verify

OBJECTS, VIEWS, BATCH = 17, 6, 24
NAMES = ("side", "front", "back")


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return build_unet(4, 256).requires_grad_(False)


def trained(unet, seed=1):
    """An adapter without zeros."""
    torch.manual_seed(seed)
    adapter = ViewAdapter(unet)
    for parameter in adapter.parameters():
        parameter.data = 0.3 * torch.randn_like(parameter)
    return adapter.requires_grad_(False)


def given(count=4):
    rng = torch.Generator().manual_seed(2)
    z = torch.randn(count, 4, 16, 16, generator=rng)
    return z, torch.full((count,), 500), torch.randn(count, 256, generator=rng)


def test_a_new_adapter_changes_nothing_and_no_word_never_does(unet):
    z, t, labels = given()
    words = torch.tensor([0, 1, 2, 3])
    want = unet(z, t, torch.zeros(4, 1, 128), class_labels=labels, return_dict=False)[0]
    with torch.no_grad():
        assert torch.equal(ViewAdapter(unet)(unet, z, t, words, labels), want)
        found = trained(unet)(unet, z, t, words, labels)
    assert torch.equal(found[0], want[0])
    for row in (1, 2, 3):
        assert (found[row] - want[row]).abs().max() > 1e-3


def test_each_trained_word_has_a_token_and_the_others_have_none(unet):
    adapter = trained(unet)
    contexts = adapter.contexts()
    assert contexts.shape == (5, 1, 128)
    assert not contexts[0].any()
    assert not contexts[4].any()
    assert torch.equal(contexts[1:4, 0], adapter.tokens)
    assert len(adapter.changes()) == 7
    assert sum(x.numel() for x in adapter.parameters()) == 7 * 96 * 128 + 3 * 128


@pytest.fixture
def world(tmp_path, monkeypatch, unet):
    """Latents that are their view's azimuth; returns what a step of the training sees."""
    rng = torch.Generator().manual_seed(3)
    azimuth = 360 * torch.rand(OBJECTS, VIEWS, generator=rng)
    fixed = torch.tensor([0.0, 0.0, 2.5, 40.0]).expand(OBJECTS, VIEWS, 4).clone()
    fixed[..., 1] = azimuth
    z = (azimuth / 360)[..., None, None, None].expand(-1, -1, 4, 16, 16).half()
    category = torch.arange(OBJECTS) % len(CATEGORIES)
    data = Latents(
        z, z[:, :2], torch.randn(OBJECTS, VIEWS, 128, generator=rng).half(),
        torch.randn(1, 128, generator=rng), torch.randn(len(CATEGORIES), 1, 128, generator=rng),
        fixed, torch.stack([category, category % 8], 1), torch.zeros(OBJECTS, dtype=torch.long),
    )  # fmt: skip
    save_atomic({"ema": unet.state_dict()}, tmp_path / "unclip.pt")
    statistics = {"mean": torch.zeros(128), "std": torch.ones(128)}
    save_atomic({"ema": statistics}, tmp_path / "normalizer.pt")
    monkeypatch.setattr(view_words, "load_latents", lambda *_: data)
    rows = torch.zeros(3, len(CATEGORIES), 8, 3, 1, dtype=torch.long)
    monkeypatch.setattr(view_words, "caption_table", lambda *_: rows)
    return tmp_path


def test_training_tells_each_view_its_own_word(world, monkeypatch):
    told = []
    forward = ViewAdapter.forward

    def note(self, unet, z_t, t, words, labels):
        told.append((z_t, t, words))
        return forward(self, unet, z_t, t, words, labels)

    def clear(z, t, noise, alpha_bar):
        return z, torch.zeros_like(z)

    def one_step(name, adapter, losses, config, work):
        assert name == "view_words"
        found = losses(0, torch.Generator().manual_seed(0))
        found["loss"].backward()
        counts = [float((told[0][2] == word).float().mean()) for word in (1, 2, 3)]
        parts = [float(found[n].detach()) * c for n, c in zip(NAMES, counts, strict=True)]
        assert sum(parts) == pytest.approx(float(found["loss"].detach()), rel=1e-4)
        assert all(v.grad is not None for v in adapter.values)

    monkeypatch.setattr(ViewAdapter, "forward", note)
    monkeypatch.setattr(view_words, "velocity", clear)
    monkeypatch.setattr(view_words, "train", one_step)
    view_words.train_view_words(None, world, LoopConfig(samples=BATCH, batch=BATCH))
    ((z_t, _, words),) = told
    turn = ((360 * z_t[:, 0, 0, 0] + 180) % 360 - 180).abs()
    assert (words[turn < 44] == 2).all()
    assert (words[turn > 136] == 3).all()
    assert (words[(turn > 46) & (turn < 134)] == 1).all()
    assert set(words.tolist()) == {1, 2, 3}


def test_only_the_adapter_is_trained(world, unet):
    before = {k: x.clone() for k, x in unet.state_dict().items()}
    config = LoopConfig(samples=3 * BATCH, batch=BATCH, warmup_steps=1)
    view_words.train_view_words(None, world, config)
    state = torch.load(world / "view_words.pt", weights_only=True)
    assert state["samples"] == 3 * BATCH
    assert state["model"].keys() == {"tokens", *(f"values.{i}" for i in range(7))}
    assert all(x.any() for x in adapter_of(state["ema"]).values)
    assert all(torch.equal(x, before[k]) for k, x in unet.state_dict().items())


def test_they_get_into_a_bundle_alone_and_out_again(unet, tmp_path):
    folder, work = tmp_path / "bundle", tmp_path / "work"
    shutil.copytree(SHIPPED / "mini", folder)
    work.mkdir()
    adapter = trained(unet)
    state = adapter.state_dict()
    save_atomic({"model": state, "ema": state, "step": 3, "samples": 96}, work / "view_words.pt")
    before = json.loads((folder / "bundle.json").read_text())
    assemble_only(work, folder, "view_words")
    manifest = load_manifest(folder)
    verify(manifest)
    assert manifest.path_of(VIEW_WORDS_ROLE) == VIEW_WORDS_FILE
    assert manifest.raw["training_samples"]["view_words"] == 96
    for name, record in manifest.files.items():
        assert name == VIEW_WORDS_FILE or record == before["files"][name]
    assert manifest.files[VIEW_WORDS_FILE]["bytes"] < 2**20
    assert list(manifest.files) == sorted(manifest.files)
    loaded = load_bundle(manifest).unclip.contexts
    torch.testing.assert_close(loaded, adapter.contexts(), rtol=1e-3, atol=1e-4)
    again = state_from_file({k: x.float() for k, x in load_file(folder / VIEW_WORDS_FILE).items()})
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    unpack(unpacked, folder)
    read = torch.load(unpacked / "view_words.pt", weights_only=True)
    assert read["samples"] == 96
    for name, x in state.items():
        torch.testing.assert_close(again[name], x, rtol=1e-3, atol=1e-4)
        assert torch.equal(read["ema"][name], again[name])


def test_without_a_checkpoint_nothing_is_written(tmp_path):
    folder = tmp_path / "bundle"
    shutil.copytree(SHIPPED / "mini", folder)
    before = (folder / "bundle.json").read_bytes()
    with pytest.raises(XBindError, match=r"no view_words\.pt in .*\n.*mini\.train view_words"):
        assemble_only(tmp_path, folder, "view_words")
    assert (folder / "bundle.json").read_bytes() == before
    with pytest.raises(SystemExit, match=r"no view_words\.pt"):
        main(["assemble", "--work", str(tmp_path), "--bundle", str(folder), "--only", "view_words"])
