"""Networks of other picture sizes: shapes, what starts from what, view words from the start."""

import json

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from xbind.diffusion.view_words import NO_WORD, VIEW_WORDS
from xbind.errors import XBindError
from xbind.mini.train import parts, priors, vae
from xbind.mini.train.__main__ import main
from xbind.mini.train.data import load_world, on_white, reduced
from xbind.mini.train.latents import Latents, encode_latents, encode_views
from xbind.mini.train.lengths import LoopConfig
from xbind.mini.train.loop import averaged, save_atomic
from xbind.mini.train.priors import VIEW_TOKENS, build_unclip, train_unclip
from xbind.mini.train.resolutions import RESOLUTIONS, SMALL, Resolution, resolution_of
from xbind.mini.train.view_contexts import TRAINED_WORDS, words_of
from xbind.mini.world.categories import CATEGORIES
from xbind.mini.world.dataset import SplitConfig, write_split

TINY = Resolution(image_size=32, widths=(8, 8, 16, 16), channels=5, crop_px=16, view_words=True)
LARGE = RESOLUTIONS[128]


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A work folder with a world of 32 px, which the trainer knows."""
    monkeypatch.setitem(RESOLUTIONS, TINY.image_size, TINY)
    for name, count in (("train", 17), ("held_out", 3)):
        write_split(tmp_path / name, count, SplitConfig(views=6, size=32, detail=2))
    return tmp_path


def test_a_resolution_is_what_its_vae_makes_of_a_picture():
    for resolution in RESOLUTIONS.values():
        net = vae.build_vae(resolution)
        x = torch.zeros(1, 3, resolution.image_size, resolution.image_size)
        with torch.no_grad():
            z = net.encode(x).latent_dist.mean
            y = net.decode(z).sample
        assert z.shape == (1, resolution.channels, resolution.latent_size, resolution.latent_size)
        assert y.shape == x.shape
        assert z.shape[-1] == 16
        assert resolution.crop_px % resolution.factor == 0
        again = vae.vae_with(net.state_dict())
        assert again.config.sample_size == resolution.image_size


def test_a_size_without_networks_is_refused():
    with pytest.raises(XBindError, match=r"rendered at 96 px; .* at 64 or 128 px\.\n.* --size"):
        resolution_of(96)


def test_a_vae_of_larger_pictures_starts_from_the_blocks_next_to_the_picture():
    torch.manual_seed(0)
    small, large = vae.build_vae(SMALL).state_dict(), vae.build_vae(LARGE)
    small = {name: torch.randn(x.shape) for name, x in small.items()}
    before = {name: x.clone() for name, x in large.state_dict().items()}
    vae.start_from_smaller(large, small)
    after = large.state_dict()
    pairs = {
        "encoder.conv_in.weight": "encoder.conv_in.weight",
        "encoder.down_blocks.1.resnets.0.conv1.weight":
            "encoder.down_blocks.1.resnets.0.conv1.weight",
        "encoder.mid_block.resnets.0.conv1.weight": "encoder.mid_block.resnets.0.conv1.weight",
        "decoder.up_blocks.1.upsamplers.0.conv.weight":
            "decoder.up_blocks.0.upsamplers.0.conv.weight",
        "decoder.up_blocks.3.resnets.1.conv2.weight": "decoder.up_blocks.2.resnets.1.conv2.weight",
        "decoder.conv_out.bias": "decoder.conv_out.bias",
    }  # fmt: skip
    for name, source in pairs.items():
        assert torch.equal(after[name], small[source]), name
    own = ("encoder.down_blocks.3", "decoder.up_blocks.0.", "quant_conv", "post_quant_conv")
    assert all(
        torch.equal(x, before[name]) for name, x in after.items() if name.startswith(own)
    )  # fmt: skip
    assert sum(not torch.equal(x, before[name]) for name, x in after.items()) > 0.7 * len(small)


def test_the_vae_of_a_world_is_trained_at_its_size_and_whitened(tiny):
    start = vae.build_vae(TINY)
    torch.nn.init.constant_(start.decoder.conv_out.bias, 0.25)
    save_atomic({"ema": start.state_dict()}, tiny / f"{vae.START}.pt")
    main(["vae", "--work", str(tiny), "--samples", "24", "--learning-rate", "1e-9"])
    net = vae.load_vae(tiny)
    assert net.config.sample_size == 32
    torch.testing.assert_close(net.decoder.conv_out.bias, start.decoder.conv_out.bias)
    log = [json.loads(line) for line in (tiny / "vae.jsonl").read_text().splitlines()]
    assert {"psnr_colour", "psnr_normal_foreground"} <= log[-1].keys()
    world = load_world(tiny, any_size=True)
    encode_latents(world, tiny)
    z = np.load(tiny / "latents.npy")
    assert z.shape == (17, 6, 5, 4, 4)
    assert np.load(tiny / "normal_latents.npy").shape == (17, 2, 5, 4, 4)
    spread = z.astype(np.float32).std((0, 1, 3, 4))
    assert (spread > 0.5).all()
    assert (spread < 2.0).all()
    before = vae.vae_with(averaged(tiny / "vae.pt"))
    x = 2 * on_white(world.train.rgba[:2, 0]) - 1
    with torch.no_grad():
        plain, folded = (
            v.decode(v.encode(x).latent_dist.mean).sample for v in (before, vae.load_vae(tiny))
        )
    torch.testing.assert_close(folded, plain, rtol=1e-3, atol=1e-4)


def test_a_vae_of_another_size_than_the_world_is_refused(tiny):
    save_atomic({"ema": vae.build_vae(SMALL).state_dict()}, tiny / "vae_folded.pt")
    with pytest.raises(XBindError, match=r"rendered at 32 px, and the VAE .* of 64 px\.\nTrain"):
        encode_latents(load_world(tiny, any_size=True), tiny)


def test_networks_of_the_small_size_refuse_another_world(tiny):
    with pytest.raises(SystemExit, match=r"rendered at 32 px; this network sees .* 64 px\.\n"):
        main(["clip", "--work", str(tiny)])


def test_encoders_see_larger_views_averaged_down(tmp_path):
    for name in ("train", "held_out"):
        write_split(tmp_path / name, 1, SplitConfig(views=6, size=128, detail=2))
    world, seen = load_world(tmp_path, any_size=True), []

    def embed(x):
        seen.append(x)
        return x.mean((2, 3))

    rows = encode_views(embed, world)
    whole = on_white(world.train.rgba[0])
    torch.testing.assert_close(seen[0], avg_pool2d(whole, 2))
    assert rows.shape == (1, 6, 3)
    assert reduced(whole, 128) is whole


def latents_of(resolution, objects=34):
    g = torch.Generator().manual_seed(3)
    pose = torch.tensor([0.0, 0.0, 2.5, 40.0]).expand(objects, 6, 4).clone()
    pose[..., 1] = 360 * torch.rand(objects, 6, generator=g)
    side = resolution.latent_size
    z = torch.randn(objects, 6, resolution.channels, side, side, generator=g).half()
    category = torch.arange(objects) % len(CATEGORIES)
    return Latents(
        z, z[:, :2], torch.randn(objects, 6, 128, generator=g).half(),
        torch.randn(1, 128, generator=g), torch.randn(len(CATEGORIES), 1, 128, generator=g),
        pose, torch.stack([category, category % 8], 1), torch.zeros(objects, dtype=torch.long),
    )  # fmt: skip


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A folder for the 2D prior of the large size, on latents of noise."""
    data = latents_of(LARGE)
    monkeypatch.setattr(priors, "load_latents", lambda *_: data)
    rows = torch.zeros(3, len(CATEGORIES), 8, 3, 1, dtype=torch.long)
    monkeypatch.setattr(priors, "caption_table", lambda *_: rows)
    return tmp_path


def test_view_words_are_learnt_from_the_start(work, monkeypatch):
    found, drawn = [], []
    monkeypatch.setattr(priors, "train", lambda *given: found.extend(given[1:3]))
    draw = priors.draw_targets
    monkeypatch.setattr(
        priors, "draw_targets", lambda *a, **k: drawn.append(draw(*a, **k)) or drawn[-1]
    )
    train_unclip(None, work, LoopConfig(samples=512, batch=512))
    unet, losses = found
    seen = []
    unet.register_forward_pre_hook(
        lambda _, given, options: seen.append((given[2], options["class_labels"])),
        with_kwargs=True,
    )
    terms = losses(0, torch.Generator().manual_seed(0))
    terms["loss"].backward()
    tokens = getattr(unet, VIEW_TOKENS)
    assert tokens.grad.abs().sum(1).min() > 0
    (context, labels), batch = seen[0], drawn[-1]
    wordless = ~context.any(2).any(1)
    assert 0.45 < wordless.float().mean() < 0.65
    without = ~labels.any(1)
    assert without.any()
    assert wordless[without].all()
    words = words_of(latents_of(LARGE).pose[batch.objects, batch.views])
    want = torch.stack([tokens[TRAINED_WORDS.index(int(word))] for word in words])
    assert torch.equal(context[~wordless, 0], want[~wordless])
    assert set(words[~wordless].tolist()) == set(TRAINED_WORDS)


def test_the_small_prior_has_no_tokens_and_the_large_one_is_as_large():
    small, large = build_unclip(SMALL), build_unclip(LARGE)
    assert VIEW_TOKENS not in small.state_dict()
    assert large.state_dict()[VIEW_TOKENS].shape == (3, 128)
    count = {net: sum(p.numel() for p in net.parameters()) for net in (small, large)}
    assert count[small] < count[large] < 1.01 * count[small]
    contexts = priors.contexts_of(getattr(large, VIEW_TOKENS))
    assert contexts.shape == (len(VIEW_WORDS), 1, 128)
    assert not contexts[NO_WORD].any()


def test_a_large_prior_that_is_cut_and_resumed_is_the_same_bit_for_bit(work):
    states = []
    for lengths in ((16,), (8, 16)):
        (work / "unclip.pt").unlink(missing_ok=True)
        for samples in lengths:
            decay = 0.5 if samples == 16 else 1e-9
            config = LoopConfig(samples=samples, batch=8, warmup_steps=1, decay_fraction=decay)
            train_unclip(None, work, config)
        states.append(torch.load(work / "unclip.pt", weights_only=True))
    assert states[0]["ema"].keys() == states[1]["ema"].keys()
    for name, value in states[0]["ema"].items():
        assert torch.equal(value, states[1]["ema"][name]), name


def test_a_world_with_details_is_rendered_by_option(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "HELD_OUT_OBJECTS", 1)
    main(["world", "--work", str(tmp_path), "--samples", "1", "--views", "6", "--size", "128",
          "--detail", "2"])  # fmt: skip
    assert load_world(tmp_path, any_size=True).train.size == 128
    assert json.loads((tmp_path / "train/manifest.json").read_text())["detail"] == 2
    with pytest.raises(SystemExit, match="judge takes no --detail; these do: world"):
        main(["judge", "--work", str(tmp_path), "--detail", "2"])


def test_a_prior_starts_from_one_of_another_size(work, monkeypatch):
    torch.manual_seed(1)
    start = build_unclip(SMALL).state_dict() | {VIEW_TOKENS: torch.full((3, 128), 0.5)}
    save_atomic({"ema": start}, work / f"{priors.UNCLIP_START}.pt")
    nets = []
    monkeypatch.setattr(priors, "train", lambda *given: nets.append(given[1]))
    train_unclip(None, work, LoopConfig(samples=8, batch=8))
    state = nets[0].state_dict()
    new = {name for name, x in state.items() if not torch.equal(x, start[name])}
    assert new == {"conv_in.weight", "conv_out.weight", "conv_out.bias"}
