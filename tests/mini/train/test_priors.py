"""The training steps of both priors: what they launch, their weights, and how they are prepared."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from tests.support.launches import Launches
from xbind.errors import XBindError
from xbind.mini.train import compiling, priors, weighting
from xbind.mini.train.compiling import check_compiler, for_training
from xbind.mini.train.latents import Latents
from xbind.mini.train.lengths import LoopConfig
from xbind.mini.train.loop import save_atomic, train
from xbind.mini.train.priors import build_unet, train_unclip, train_zero123
from xbind.mini.train.weighting import min_snr_weights
from xbind.mini.world.categories import CATEGORIES

OBJECTS, VIEWS = 17, 6
CONFIG = LoopConfig(samples=24, batch=8, warmup_steps=1)


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A folder with the encoded views of a small world of noise."""
    rng = torch.Generator().manual_seed(3)
    pose = torch.tensor([0.0, 0.0, 2.5, 40.0]).expand(OBJECTS, VIEWS, 4).clone()
    pose[..., 1] = 360 * torch.rand(OBJECTS, VIEWS, generator=rng)
    z = torch.randn(OBJECTS, VIEWS, 4, 16, 16, generator=rng).half()
    category = torch.arange(OBJECTS) % len(CATEGORIES)
    data = Latents(
        z, z[:, :2], torch.randn(OBJECTS, VIEWS, 128, generator=rng).half(),
        torch.randn(1, 128, generator=rng), torch.randn(len(CATEGORIES), 1, 128, generator=rng),
        pose, torch.stack([category, category % 8], 1), torch.zeros(OBJECTS, dtype=torch.long),
    )  # fmt: skip
    monkeypatch.setattr(priors, "load_latents", lambda *_: data)
    rows = torch.zeros(3, len(CATEGORIES), 8, 3, 1, dtype=torch.long)
    monkeypatch.setattr(priors, "caption_table", lambda *_: rows)
    torch.manual_seed(0)
    statistics = {"mean": torch.zeros(128), "std": torch.ones(128)}
    save_atomic({"ema": statistics}, tmp_path / "normalizer.pt")
    state = build_unet(4, 256).state_dict()
    save_atomic({"model": state, "ema": state, "step": 0, "samples": 0}, tmp_path / "unclip.pt")
    np.save(tmp_path / "clip_embeddings.npy", torch.randn(OBJECTS, VIEWS, 128).half().numpy())
    np.save(tmp_path / "seen_poses.npy", torch.randn(OBJECTS, VIEWS, 3).half().numpy())
    return tmp_path


def losses_of(start, work, config, monkeypatch):
    """The losses of one prior, and its network."""
    found = []
    monkeypatch.setattr(priors, "train", lambda *given: found.extend(given[1:3]))
    start(None, work, config)
    monkeypatch.setattr(priors, "train", train)
    return found[1], found[0]


@pytest.mark.parametrize("start", [train_unclip, train_zero123])
def test_no_step_waits_for_the_device(start, work, monkeypatch):
    config = dataclasses.replace(CONFIG, min_snr_gamma=5.0, bfloat16=True)
    losses, _ = losses_of(start, work, config, monkeypatch)
    generator = torch.Generator().manual_seed(0)
    with Launches() as launches:
        losses(0, generator)["loss"].backward()
    assert len(launches.seen) > 500
    assert not launches.waits()


@pytest.mark.parametrize("start", [train_unclip, train_zero123])
def test_the_loss_is_weighted_by_the_timestep_of_each_sample(start, work, monkeypatch):
    rows = []

    def note(alpha_bar, gamma, prediction):
        rows.append((alpha_bar, gamma, prediction))
        return min_snr_weights(alpha_bar, gamma, prediction)

    monkeypatch.setattr(weighting, "min_snr_weights", note)
    drawn, draw = [], priors.draw_timesteps
    monkeypatch.setattr(
        priors, "draw_timesteps", lambda *given: drawn.append(draw(*given)) or drawn[-1]
    )
    plain, net = losses_of(start, work, CONFIG, monkeypatch)
    torch.nn.init.zeros_(getattr(net, "unet", net).conv_out.weight)
    before = plain(0, torch.Generator().manual_seed(0))
    assert "error" not in before
    weighted, net = losses_of(
        start, work, dataclasses.replace(CONFIG, min_snr_gamma=2.0), monkeypatch
    )
    torch.nn.init.zeros_(getattr(net, "unet", net).conv_out.weight)
    after = weighted(0, torch.Generator().manual_seed(0))
    ((alpha_bar, gamma, prediction),) = rows
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    want = (1 - betas).cumprod(0)[drawn[1]]
    torch.testing.assert_close(alpha_bar.double(), want, rtol=1e-4, atol=1e-6)
    assert (gamma, prediction) == (2.0, "v")
    torch.testing.assert_close(after["error"], before["loss"])
    for name in ("colour", "normal"):
        torch.testing.assert_close(after[name], before[name])
    assert 0 < after["loss"] < after["error"]


def test_networks_are_compiled_in_place_with_channels_last(monkeypatch):
    compiled = []
    unet = build_unet(4, 256)
    monkeypatch.setattr(unet, "compile", lambda **given: compiled.append(given))
    monkeypatch.setattr(compiling.shutil, "which", lambda name: f"/usr/bin/{name}")
    names = list(unet.state_dict())
    for_training(unet, CONFIG)
    assert unet.conv_in.weight.is_contiguous()
    assert not compiled
    for_training(unet, dataclasses.replace(CONFIG, compile=True))
    assert unet.conv_in.weight.stride() == (36, 1, 12, 4)
    assert compiled == [{"dynamic": False}]
    assert list(unet.state_dict()) == names


def test_without_a_compiler_nothing_is_compiled(monkeypatch):
    monkeypatch.setattr(compiling.shutil, "which", lambda _: None)
    with pytest.raises(XBindError, match=r"no g\+\+ or clang\+\+ here\.\n.* --no-compile"):
        for_training(build_unet(4, 256), dataclasses.replace(CONFIG, compile=True))
    with pytest.raises(XBindError, match=r"no gcc or clang here\.\n.* in CC, .* --no-compile"):
        check_compiler(torch.device("cuda"))


@pytest.mark.parametrize(
    ("device", "variable", "other"), [("cpu", "CXX", "CC"), ("cuda", "CC", "CXX")]
)
def test_a_compiler_can_be_named_in_the_environment(monkeypatch, device, variable, other):
    monkeypatch.setattr(compiling.shutil, "which", lambda name: name if name == "icx" else None)
    monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(other, "icx")
    with pytest.raises(XBindError):
        check_compiler(torch.device(device))
    monkeypatch.setenv(variable, "icx")
    check_compiler(torch.device(device))


@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_prior_that_is_cut_and_resumed_is_the_same_bit_for_bit(work, bfloat16, tmp_path):
    config = dataclasses.replace(CONFIG, bfloat16=bfloat16, decay_shape="sqrt", min_snr_gamma=5.0)
    states = []
    start = torch.load(work / "unclip.pt", weights_only=True)
    for lengths in ((24,), (8, 24)):
        save_atomic(start, work / "unclip.pt")
        for samples in lengths:
            # the decay that a longer run has at this place: none before its last half
            part = dataclasses.replace(
                config, samples=samples, decay_fraction=0.5 if samples == 24 else 1e-9
            )
            train_unclip(None, work, part)
        states.append(torch.load(work / "unclip.pt", weights_only=True))
    for kind in ("model", "ema"):
        for name, value in states[0][kind].items():
            assert torch.equal(value, states[1][kind][name]), name
    assert states[0]["samples"] == 24
    rows = [json.loads(line) for line in (work / "unclip.jsonl").read_text().splitlines()]
    assert rows[-1].keys() == {"samples", "per_s", "loss", "colour", "normal", "error"}
