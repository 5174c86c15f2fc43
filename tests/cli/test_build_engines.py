"""`xbind-build-engines`: what it plans, what it builds, what it refuses."""

import sys

import fake_tensorrt
import pytest
from fake_gpu import pretend

from tests.support.two_priors import two_priors
from xbind.cli.build_engines import BuildConfig, choose_backend, main
from xbind.engine.store import EngineStore
from xbind.errors import XBindError


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("XBIND_CACHE", str(tmp_path))
    return EngineStore(tmp_path / "engines")


def run(words):
    with pytest.raises(SystemExit) as done:
        main(words.split())
    return done.value.code


def test_plan_builds_nothing(store, capsys):
    assert run("--plan") == 0
    out = capsys.readouterr().out
    assert out.startswith("openvino in float32: for this CPU\n")
    for name in ("unet2d-b48", "unet3d-b10", "sds2d_img-b1-64px", "sds3d_img-b1-64px", "ms-b"):
        assert name in out
    assert "6 of 6 engines to build: about" in out
    assert not store.root.exists()


def test_plan_for_other_gpus(store, capsys):
    pytest.importorskip("tensorrt_rtx")
    assert run("--plan --target sm120,SM89,sm86 --only ms") == 0
    out = capsys.readouterr().out
    assert out.startswith("tensorrt-rtx in float16: it builds for other GPUs")
    assert "1 of 1 engines to build" in out


def test_builds_what_is_missing_and_no_more(store, capsys):
    assert run("--only clip_image") == 0
    out = capsys.readouterr().out
    assert "clip_image-b1-64px: building" in out
    assert "[1/1, 0 s left]" in out
    assert "1 built, 0 failed" in out
    assert run("--only clip_image") == 0
    assert "0 of 1 engines to build, all are in" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--only unet9d", r"no graph unet9d.\nChoose with --only: unet2d"),
        ("--bundle nowhere", "no bundle 'nowhere'"),
        ("--preset nothing", "no preset 'nothing'"),
        ("--measure rows.jsonl --engine inductor-cpu", "not try builds for inductor-cpu"),
        (
            "--measure rows.jsonl --engine openvino",
            r"not try builds for openvino.\nGive --engine onnxruntime",
        ),
        ("--measure rows.jsonl --engine onnxruntime --prior-2d sd_base", "Leave out --prior-2d"),
        ("--engine inductor --only ms", "inductor runs on a CUDA device"),
        ("--prior-3d broad", "has no 3D prior 'broad'"),
        ("--prior-2d broad", "has no 2D prior 'broad'; it has: default"),
        ("--precision bfloat16 --engine onnxruntime", "no bfloat16 on a CPU"),
        ("--precision bfloat16 --target sm75", "no bfloat16 on sm75"),
        ("--engine tensorrt-rtx", "torch finds none here"),
        ("--device cuda:1", "--device cuda:1 was asked for, but torch finds no CUDA device"),
    ],
)
def test_refusals_say_what_to_type(store, words, message):
    assert message.replace("\\n", "\n") in str(run(words))
    assert not store.root.exists()


def test_engines_of_one_prior_are_not_those_of_another(store, tmp_path, capsys):
    bundle = two_priors(tmp_path)
    assert run(f"--bundle {bundle} --only unet3d --engine onnxruntime") == 0
    assert "1 built, 0 failed" in capsys.readouterr().out
    for prior, missing in (("wide", 0), ("narrow", 1)):
        words = f"--bundle {bundle} --only unet3d --engine onnxruntime --prior-3d {prior}"
        assert run(f"{words} --plan") == 0
        assert f"{missing} of 1 engines to build" in capsys.readouterr().out
    assert run(words) == 0
    assert "1 built, 0 failed" in capsys.readouterr().out
    assert run(words) == 0
    assert "0 of 1 engines to build, all are in" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--target sm90", "TensorRT-RTX builds for sm75, sm80"),
        ("--target sm89 --engine openvino", "--target is for TensorRT-RTX only"),
        ("--target sm89 --device cpu", "leave out --device cpu"),
        ("--jobs 0", "--jobs must be at least 1"),
        ("--device gpu1", "--device wants auto, cpu, cuda, or cuda:1"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(words, message, capsys):
    assert run(words) == 2
    text = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert message in text


def test_targets_are_named_once_and_in_order():
    assert BuildConfig(target="sm120, SM86,sm89,sm86").targets() == ("sm86", "sm89", "sm120")


def test_a_gpu_is_not_imagined(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(XBindError, match=r"finds no CUDA device here.\n.*--target sm89"):
        choose_backend(BuildConfig(device="cuda"))
    assert choose_backend(BuildConfig())[0] == "openvino"
    pretend(monkeypatch, (8, 9), "NVIDIA GeForce RTX 4090")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "tensorrt_rtx", None)
        with pytest.raises(XBindError, match=r"(?s)on this GPU\..*pip install tensorrt-rtx-cu12"):
            choose_backend(BuildConfig())
    for installed in ("tensorrt-rtx", "tensorrt"):  # TensorRT's package cannot be had in CI
        monkeypatch.setitem(sys.modules, installed.replace("-", "_"), fake_tensorrt.module())
        assert choose_backend(BuildConfig()) == (installed, "for this GPU")
    assert choose_backend(BuildConfig(device="cpu"))[0] == "openvino"
    assert choose_backend(BuildConfig(engine="openvino"))[0] == "openvino"
    assert choose_backend(BuildConfig(device="cpu", precision="bfloat16"))[0] == "openvino"
