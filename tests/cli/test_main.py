"""The command line: what it accepts, what it refuses, and how fast it answers."""

import re
import resource
import shlex
import subprocess
import sys
import types
from pathlib import Path

import pytest

import xbind
from xbind.cli.main import COMMANDS, main, parse
from xbind.cli.options import DoctorConfig, ShowBundleConfig
from xbind.config.options import GenerateConfig, PromptConfig
from xbind.errors import XBindError


def fake_pipeline(monkeypatch, generate):
    module = types.ModuleType("xbind.pipeline")
    module.generate = lambda config, reporter, _networks: generate(config, reporter)
    monkeypatch.setitem(sys.modules, "xbind.pipeline", module)


def test_generate_gets_every_flag():
    words = (
        "generate --text red --audio a.wav --audio-weight 2 --depth d.png --depth-kind disparity "
        "--seed 7 --out o --preset p --bundle b --device cpu --resume"
    )
    assert parse(words.split()) == GenerateConfig(
        prompt=PromptConfig(
            text="red",
            audio=Path("a.wav"),
            audio_weight=2.0,
            depth=Path("d.png"),
            depth_kind="disparity",
        ),
        seed=7,
        out=Path("o"),
        preset="p",
        bundle="b",
        device="cpu",
        resume=True,
    )


def test_the_other_commands():
    assert parse(["doctor"]) == DoctorConfig(bundle="mini")
    assert parse(["bundle", "show"]) == ShowBundleConfig(bundle="mini")
    assert parse(["bundle", "show", "my/bundle"]) == ShowBundleConfig(bundle="my/bundle")


@pytest.mark.parametrize("words", [["a red mug", "--seed", "3"], ["--seed", "3", "a red mug"]])
def test_the_words_may_come_without_their_option(words):
    assert parse(["generate", *words]) == GenerateConfig(
        prompt=PromptConfig(text="a red mug"), seed=3
    )


def test_words_and_a_file_can_be_mixed():
    prompt = parse(["generate", "a red mug", "--audio", "a.wav", "--text-weight", "2"]).prompt
    assert prompt == PromptConfig(text="a red mug", audio=Path("a.wav"), text_weight=2.0)


@pytest.mark.parametrize("word", ["--version", "-V"])
def test_version(capsys, word):
    with pytest.raises(SystemExit) as leaving:
        parse([word])
    assert (leaving.value.code, capsys.readouterr().out) == (0, f"xbind {xbind.__version__}\n")


def test_given_names_the_modalities_in_their_order():
    prompt = PromptConfig(depth=Path("d"), text="x", text_weight=0.5)
    assert prompt.given() == ("text", "depth")
    assert [prompt.weight(modality) for modality in prompt.given()] == [0.5, 1.0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("generate", "no prompt: give at least one of --text, --image"),
        ("generate --text ''", "--text is empty"),
        ("generate --text '  '", "--text is empty"),
        ("generate --prompt x", "there is no --prompt. Give words with --text"),
        ("generate --prompt=x", "there is no --prompt"),
        ("generate x --text y", "'x' is given beside --text 'y': give one of them"),
        ("generate a red mug", "Unrecognized"),
        ("generate ''", "--text is empty"),
        ("generate --text x --threads 100000", "--threads must be at most 1024, got 100000"),
        ("eval x --threads 0", "--threads must be at least 1"),
        ("eval run --out x --threads 100000", "--threads must be at most 1024"),
        ("generate --text x --text-weight 0", "--text-weight must be a positive number, got 0.0"),
        ("generate --text x --text-weight nan", "--text-weight must be a positive number"),
        ("generate --text x --text-weight inf", "--text-weight must be a positive number"),
        ("generate --text x --audio-weight 2", "--audio-weight is given without --audio"),
        ("generate --image a.png --exact-words", "--exact-words is given without --text"),
        ("generate --image a.png --ignore-unknown", "--ignore-unknown is given without --text"),
        ("generate --text x --depth-kind disparity", "--depth-kind is given without --depth"),
        ("generate --text x --mask m.png", "--mask is given without --image"),
        ("generate --text x --matting-weights w.onnx", "--matting-weights is given without"),
        ("generate --text x --elevation 5", "--elevation is given without --image"),
        ("generate --text x --azimuth 0", "--azimuth is given without --image"),
        ("generate --image x --elevation 91", "--elevation must be in"),
        ("generate --image x --elevation nan", "--elevation must be in"),
        ("generate --image x --azimuth inf", "--azimuth must be a number of degrees"),
        ("generate --image x --mask m --matting-weights w", "give one of them"),
        ("generate --text x --seed -1", "--seed must be in 0"),
        ("generate --text x --resume --overwrite", "give one of them"),
        ("generate --text x --reference-only --resume", "--resume goes on after the reference"),
        ("generate --text x --reference-only --from-phase1 o", "--from-phase1 goes on after"),
        ("generate --text x --without nerf", "--without wants some of stereo"),
        ("generate --text x --without ms,ms", "each once"),
        ("generate --text x --phase2-loss mse", "mse"),
        ("generate --text x --out a --from-phase1 ./a", "are the same folder"),
        ("generate --text x --from-phase1 a --without three-phase", "goes on with Phase II"),
        ("generate --text x --precision float16 --engine eager --device cpu", "--engine is eager"),
        ("generate --text x --preset ''", "--preset is empty"),
        ("generate --text x --device tpu", "tpu"),
        ("generate --text x --height 0", "--height must be between 1e-06 and 1e+06 metres"),
        ("generate --text x --height nan", "--height must be between"),
        ("generate --text x --pivot top", "top"),
        ("generate --text x --material shiny", "shiny"),
        ("generate --text x --prest fast", "Perhaps you meant"),
        ("generate --image", "Missing value"),
        ("bundle", "no command 'bundle'"),
        ("frobnicate", "no command 'frobnicate'"),
    ],
)
def test_wrong_flags_are_told_and_leave_with_2(capsys, words, message):
    with pytest.raises(SystemExit) as leaving:
        parse(shlex.split(words))
    assert leaving.value.code == 2
    told = capsys.readouterr()
    assert message in " ".join((told.err + told.out).replace("│", " ").split())


@pytest.mark.parametrize("words", ["--help", "-h", *(f"{name} -h" for name in COMMANDS)])
def test_help_leaves_with_0(capsys, words):
    with pytest.raises(SystemExit) as leaving:
        parse(words.split())
    assert leaving.value.code == 0
    assert capsys.readouterr().out.startswith("usage: xbind")


def test_the_public_flags_are_these(capsys):
    with pytest.raises(SystemExit):
        parse(["generate", "--help"])
    flags = set(re.findall(r"(?m)^[│ ]*(?:-h, )?(--[a-z0-9-]*[a-z0-9])", capsys.readouterr().out))
    assert flags == {
        *("--help", "--text", "--image", "--audio", "--depth", "--depth-kind"),
        *("--text-weight", "--image-weight", "--audio-weight", "--depth-weight"),
        *("--video", "--thermal", "--imu", "--video-weight", "--thermal-weight", "--imu-weight"),
        *("--seed", "--out", "--preset", "--bundle", "--device", "--engine", "--precision"),
        *("--threads", "--reference-only", "--resume", "--overwrite", "--without"),
        *("--phase2-loss", "--from-phase1", "--vram", "--prior-2d", "--prior-3d", "--config"),
        *("--mask", "--matting-weights", "--elevation", "--azimuth"),
        *("--material", "--pivot", "--height", "--tensorboard"),
        *("--exact-words", "--ignore-unknown", "--candidate"),
    }


def test_an_error_is_one_message_and_status_1(monkeypatch, capsys):
    def generate(config, reporter):
        raise XBindError("there is no mug.\nGive one.")

    fake_pipeline(monkeypatch, generate)
    with pytest.raises(SystemExit) as leaving:
        main(["generate", "--text", "mug"])
    assert leaving.value.code == "xbind: there is no mug.\nGive one."


def test_a_bug_keeps_its_traceback(monkeypatch):
    def generate(config, reporter):
        raise KeyError("mug")

    fake_pipeline(monkeypatch, generate)
    with pytest.raises(KeyError):
        main(["generate", "--text", "mug"])


def test_ctrl_c_says_how_to_resume(tmp_path, monkeypatch, capsys):
    def generate(config, reporter):
        (tmp_path / "my mug").mkdir()
        (tmp_path / "my mug" / "config.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.set_num_threads", lambda _count: None)
    fake_pipeline(monkeypatch, generate)
    with pytest.raises(SystemExit) as leaving:
        main(["generate", "a red mug", "--overwrite", "--threads", "2", "--out", "my mug"])
    assert leaving.value.code == 130
    assert capsys.readouterr().err.splitlines()[-1] == ("  xbind generate --resume --out 'my mug'")


def test_ctrl_c_before_the_run_is_started_advises_nothing(tmp_path, monkeypatch, capsys):
    """The run that was there before is another one, which --resume would go on with."""

    def generate(config, reporter):
        raise KeyboardInterrupt

    fake_pipeline(monkeypatch, generate)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(SystemExit) as leaving:
        main(["generate", "a red mug", "--overwrite", "--reference-only", "--out", str(tmp_path)])
    assert leaving.value.code == 130
    assert capsys.readouterr().err == (
        "\nxbind: interrupted before the run was started; nothing was written.\n"
    )


def test_generate_gets_config_and_reporter(monkeypatch, capsys):
    def generate(config, reporter):
        reporter.message(f"making {config.prompt.text} with seed {config.seed}")

    fake_pipeline(monkeypatch, generate)
    main(["generate", "--text", "mug", "--seed", "3"])
    assert capsys.readouterr().out == "making mug with seed 3\n"


@pytest.mark.parametrize("words", [["--help"], ["generate", "--help"], ["generate"]])
def test_the_command_line_answers_at_once_and_loads_nothing_heavy(words):
    # Processor time, the best of three: the machine may be busy with something else.
    code = (
        "import sys, xbind.cli.main as m\n"
        "try: m.main(sys.argv[1:])\n"
        "finally: assert not {'torch', 'numpy', 'typeguard', 'rich'} & set(sys.modules)"
    )
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, *words], capture_output=True, text=True, check=False
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert "AssertionError" not in done.stderr
        times.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    assert min(times) < 0.3


def test_threads_must_be_positive(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["generate", "--text", "a red mug", "--threads", "0"])
    assert stop.value.code == 2
    assert "--threads must be at least 1" in capsys.readouterr().err
