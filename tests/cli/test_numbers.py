"""`--method.NAME VALUE` and `--config FILE`, and `xbind config show`."""

import shlex
import subprocess
import sys

import pytest

from xbind.cli import build_engines
from xbind.cli.main import main, parse
from xbind.cli.numbers import set_number, split_numbers
from xbind.config.changes import ConfigError
from xbind.config.presets import UnknownPreset


def changes(*words):
    return parse(["generate", "a mug", *words]).method


def test_the_words_of_a_number_are_found_between_the_others():
    words = shlex.split(
        "--method.coarse.steps 300 mug --method.coarse.field.resolutions 8 16 --seed 3 "
        "--method.coarse.field.no-separate-heads tea --method.coarse.adam.betas 0.5 0.9 pot "
        "--method.coarse.w-nz=2 kettle --method.geometry.cameras.azimuth-deg -40 40 end"
    )
    numbers, others = split_numbers(words, "x")
    assert others == ["mug", "--seed", "3", "tea", "pot", "kettle", "end"]
    assert sorted([*numbers, *others]) == sorted(words)


def test_one_number():
    assert changes("--method.coarse.steps", "300") == {"coarse.steps": 300}
    assert changes("--method.coarse.steps=300") == {"coarse.steps": 300}
    assert changes("--method.coarse.learning_rate", "1e-3") == {"coarse.learning_rate": 1e-3}
    assert changes() == {}


def test_a_number_that_is_the_presets_is_no_change():
    assert changes("--method.coarse.steps", "200") == {}
    assert changes("--method.coarse.steps", "200", "--preset", "smoke") == {"coarse.steps": 200}


def test_numbers_of_every_kind():
    words = (
        "--preset paper --method.geometry.guidance.cfg-2d-end None --method.prior-3d wide "
        "--method.coarse.field.resolutions 8 16 --method.coarse.field.no-separate-heads "
        "--method.geometry.ls-form mean-squared --method.coarse.cameras.azimuth-deg -9 9"
    )
    found = changes(*shlex.split(words))
    again = [word for name, value in found.items() for word in set_number(name, value)]
    assert changes("--preset", "paper", *again) == found
    assert found == {
        "prior_3d": "wide",
        "coarse.field.resolutions": [8, 16],
        "coarse.field.separate_heads": False,
        "coarse.cameras.azimuth_deg": [-9.0, 9.0],
        "geometry.ls_form": "mean-squared",
        "geometry.guidance.cfg_2d_end": None,
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--method.coarse.stepz 3", "no setting 'coarse.stepz'. Perhaps you meant coarse.steps"),
        ("--method.coarse.steps abc", "Error parsing --method.coarse.steps"),
        ("--method.coarse.steps -3", "method.coarse: steps must be at least 0, got -3"),
        ("--method.coarse.steps", "Missing value"),
        ("--method.coarse.planar mse", "invalid choice 'mse'"),
        (
            "--method.coarse.guidance.view-words False",
            "takes no value. Give --method.coarse.guidance.view_words or "
            "--method.coarse.guidance.no_view_words.",
        ),
        ("--method.coarse.guidance.no-view-words true", "takes no value."),
    ],
)
def test_a_wrong_number_leaves_with_2(capsys, words, message):
    with pytest.raises(SystemExit) as leaving:
        parse(["generate", "a mug", *words.split()])
    assert leaving.value.code == 2
    told = capsys.readouterr()
    assert message in " ".join((told.err + told.out).replace("│", " ").split())


def test_a_file_gives_way_to_the_command_line(tmp_path):
    file = tmp_path / "my.toml"
    file.write_text('preset = "smoke"\n[method.coarse]\nsteps = 7\nsize = 32\n')
    command = parse(["generate", "a mug", "--config", str(file), "--method.coarse.steps", "9"])
    assert (command.preset, command.method) == ("smoke", {"coarse.steps": 9, "coarse.size": 32})
    command = parse(["generate", "a mug", "--preset=probe", "--config", str(file)])
    assert (command.preset, command.method) == ("probe", {"coarse.steps": 7, "coarse.size": 32})


def test_a_wrong_file_is_named(tmp_path):
    file = tmp_path / "my.toml"
    file.write_text("[method.coarse]\nsteps = -1\n")
    with pytest.raises(ConfigError, match=r"--config .*my\.toml: coarse\.steps must be at least 0"):
        parse(["generate", "a mug", "--config", str(file)])
    file.write_text('preset = "turbo"')
    with pytest.raises(UnknownPreset, match="no preset 'turbo'"):
        parse(["generate", "a mug", "--config", str(file)])


def test_other_commands_take_numbers_too(monkeypatch):
    words = ["--method.coarse.size", "32"]
    assert parse(["plan", *words]).method == {"coarse.size": 32}
    assert parse(["eval", "run", "--out", "o", *words]).method == {"coarse.size": 32}
    assert parse(["config", "show", "smoke", *words]).method == {"coarse.size": 32}
    seen = []
    monkeypatch.setattr(build_engines, "build_engines", lambda config: seen.append(config) or 0)
    with pytest.raises(SystemExit):
        build_engines.main(words)
    assert seen[0].method == {"coarse.size": 32}


@pytest.mark.parametrize(
    "words",
    [
        ["smoke"],
        ["paper:stablesds-3d", "--without", "stereo", "--phase2-loss", "sds"],
        ["paper", "--method.geometry.guidance.cfg-2d-end", "None", "--method.coarse.steps", "5"],
    ],
)
def test_what_config_show_prints_can_be_given_back(tmp_path, capsys, words):
    main(["config", "show", *words, "--toml"])
    first = capsys.readouterr().out
    file = tmp_path / "my.toml"
    file.write_text(first, encoding="utf-8")
    command = parse(["generate", "a mug", "--config", str(file)])
    assert command.preset == words[0]
    main(["config", "show", words[0], "--config", str(file), "--toml"])
    assert capsys.readouterr().out == first
    assert command.method == parse(["config", "show", *words[:1], "--config", str(file)]).method


def test_config_show_needs_no_torch():
    code = (
        "import sys, xbind.cli.main as m; m.main(['config', 'show', 'paper']); "
        "sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "coarse.size                      128" in done.stdout
    assert "in pixels (128 in the" in done.stdout


def test_config_show_takes_the_preset_of_the_file(tmp_path, capsys):
    file = tmp_path / "my.toml"
    file.write_text('preset = "smoke"\n')
    main(["config", "show", "--config", str(file), "--toml"])
    assert capsys.readouterr().out.startswith('preset = "smoke"\n')
