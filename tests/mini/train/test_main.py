"""`python -m xbind.mini.train`: what is refused, and how samples are counted."""

import dataclasses
import json

import pytest
import torch

from xbind.mini.train.__main__ import main
from xbind.mini.train.assemble import unpack
from xbind.mini.train.lengths import LENGTHS, LoopConfig, samples_seen
from xbind.mini.train.parts import PARTS, TAKEN, Session
from xbind.networks.manifest import SHIPPED


def test_cuda_is_refused_where_torch_finds_none(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match=r"--device cuda was asked for; torch .* finds no CUDA"):
        main(["unclip", "--work", str(tmp_path / "w"), "--device", "cuda"])
    assert not (tmp_path / "w").exists()


def test_an_option_that_would_do_nothing_is_refused(tmp_path):
    with pytest.raises(SystemExit, match=r"world takes no --batch; these do: vae, "):
        main(["world", "--work", str(tmp_path), "--batch", "8"])
    with pytest.raises(SystemExit, match=r"judge takes no --device; these do: encode, "):
        main(["judge", "--work", str(tmp_path), "--device", "cpu"])


@pytest.mark.parametrize("value", ["0", "-3", "many"])
def test_batches_are_positive(tmp_path, value, capsys):
    with pytest.raises(SystemExit):
        main(["unclip", "--work", str(tmp_path), "--batch", value])
    assert "positive integer" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["0", "-0.1", "1.5", "nan", "half"])
def test_the_decay_is_a_share(tmp_path, value, capsys):
    with pytest.raises(SystemExit):
        main(["unclip", "--work", str(tmp_path), "--decay", value])
    assert "share between 0 and 1" in capsys.readouterr().err


def test_options_that_do_not_fit_are_refused(tmp_path):
    work = ["--work", str(tmp_path / "w")]
    with pytest.raises(SystemExit, match=r"judge takes no --min-snr-gamma; these do: unclip, zero"):
        main(["judge", *work, "--min-snr-gamma", "5"])
    with pytest.raises(SystemExit, match=r"view_words takes no --compile"):
        main(["view_words", *work, "--no-compile"])
    with pytest.raises(SystemExit, match=r"--cuda-graph needs --device cuda"):
        main(["unclip", *work, "--cuda-graph"])
    with pytest.raises(SystemExit, match=r"trained on 6 views .* --views is 5"):
        main(["world", *work, "--views", "5"])
    with pytest.raises(SystemExit, match=r"--export .* is the folder of --work"):
        main(["unclip", *work, "--export", str(tmp_path / "x/../w")])
    assert not list(tmp_path.glob("w/*"))


@pytest.mark.parametrize("value", ["0", "-1", "nan", "soon"])
def test_minutes_are_positive(tmp_path, value, capsys):
    with pytest.raises(SystemExit):
        main(["unclip", "--work", str(tmp_path), "--minutes", value])
    assert "positive number" in capsys.readouterr().err


def test_a_missing_world_is_named_without_a_traceback(tmp_path):
    with pytest.raises(SystemExit, match=r"Render it with:  python -m xbind\.mini\.train world"):
        main(["zero123", "--work", str(tmp_path)])


def test_options_name_parts_that_exist():
    assert set().union(*TAKEN.values()) <= PARTS.keys()


def test_a_sitting_changes_only_what_it_was_asked_for(tmp_path):
    assert Session(work=tmp_path).config("unclip") == LENGTHS["unclip"]
    config = Session(work=tmp_path, batch=512, decay=0.25).config("unclip")
    assert (config.batch, config.decay_fraction) == (512, 0.25)
    assert config.samples == LENGTHS["unclip"].samples
    changed = Session(
        work=tmp_path, learning_rate=5e-4, min_snr_gamma=5.0, save_every=60.0, export=tmp_path
    ).config("zero123")
    assert (changed.learning_rate, changed.min_snr_gamma) == (5e-4, 5.0)
    assert (changed.save_every_s, changed.export) == (60.0, tmp_path)


def test_priors_are_compiled_and_recorded_on_a_gpu_unless_told_otherwise(tmp_path):
    gpu = Session(work=tmp_path, device=torch.device("cuda"))
    for name, wanted in (("unclip", True), ("zero123_narrow", True), ("view_words", False)):
        config = gpu.config(name)
        assert (config.compile, config.cuda_graph) == (wanted, wanted)
    plain = dataclasses.replace(gpu, compile=False, cuda_graph=False).config("unclip")
    assert (plain.compile, plain.cuda_graph) == (False, False)
    cpu = Session(work=tmp_path, compile=True).config("unclip")
    assert (cpu.compile, cpu.cuda_graph) == (True, False)


def test_checkpoints_without_samples_are_of_default_batches():
    assert samples_seen("unclip", {"step": 10}) == 640
    assert samples_seen("unclip", {"step": 10, "samples": 5120}) == 5120


def test_an_unpacked_bundle_goes_on_counting(tmp_path):
    unpack(tmp_path)
    seen = json.loads((SHIPPED / "mini/bundle.json").read_text())["training_samples"]
    for name in ("unclip", "zero123", "judge"):
        state = torch.load(tmp_path / f"{name}.pt", weights_only=True)
        assert samples_seen(name, state) == seen[name] > 0
        assert state["step"] == seen[name] // LENGTHS[name].batch


def test_the_rate_follows_samples_and_a_new_optimiser_is_warmed_up():
    config = LoopConfig(samples=1000, batch=10, learning_rate=1.0, warmup_steps=4)
    assert config.learning_rate_at(0, 0) == 0.25
    assert config.learning_rate_at(400, 1) == 0.5
    assert config.learning_rate_at(400, 9) == 1.0
    assert config.learning_rate_at(750, 9) == 0.5
    assert config.learning_rate_at(1000, 9) == 0.02
    timed = dataclasses.replace(config, minutes=2.0)
    assert timed.learning_rate_at(0, 9, 60.0) == 1.0
    assert timed.learning_rate_at(0, 9, 90.0) == 0.5
    assert timed.learning_rate_at(750, 9, 60.0) == 0.5
