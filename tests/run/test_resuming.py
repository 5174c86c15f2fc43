"""A run goes on from its folder alone: the prompt and every setting are in its config.json."""

import dataclasses
from pathlib import Path

import pytest

from tests.support.run_files import config_of, write_config
from xbind.cli.main import parse
from xbind.config.options import GenerateConfig, PromptConfig
from xbind.config.variants import method_of
from xbind.networks.manifest import load_manifest
from xbind.run.checks import DECIDING, RunError, identity_of
from xbind.run.resuming import read_started, started_config
from xbind.run.settings import ResumeMismatch, check_resumed, run_settings

STARTED = GenerateConfig(
    prompt=PromptConfig(
        text="a red mug", image=Path("mug.png"), audio=Path("/sounds/mug.wav"), audio_weight=2.5,
        depth=Path("mug.npy"), depth_kind="disparity", imu=Path("mug.csv"),
    ),
    out=Path("out/mug"), seed=7, preset="smoke:stablesds-3d", without="ms,stereo",
    phase2_loss="sds", from_phase1=Path("/runs/first"), bundle="mini", device="cpu",
    precision="bfloat16", vram=3.5, threads=3,
    method={"coarse.steps": 9, "geometry.ls_form": "sum-norm"},
)  # fmt: skip


def start(config, out, **changes):
    """Write what `generate` writes when it starts."""
    held = run_settings(config, method_of(config), load_manifest(config.bundle), "cpu")
    held |= {"engine": "onnxruntime", "files": {}, "versions": {}}
    out.mkdir(exist_ok=True)
    write_config(out, held | changes)


def test_every_setting_that_decides_the_result_is_read_back(tmp_path):
    start(STARTED, tmp_path)
    assert started_config(tmp_path) == dataclasses.replace(STARTED, out=tmp_path, resume=True)


def test_the_folder_alone_is_enough_on_the_command_line(tmp_path):
    start(STARTED, tmp_path)
    going_on = dataclasses.replace(STARTED, out=tmp_path, resume=True)
    assert parse(["generate", "--resume", "--out", str(tmp_path)]) == going_on
    faster = dataclasses.replace(going_on, threads=2)  # refused later
    assert parse(["generate", f"--out={tmp_path}", "--threads", "2", "--resume"]) == faster


def test_what_is_given_beside_it_is_kept_and_so_compared(tmp_path):
    start(STARTED, tmp_path)
    words = ["generate", "--resume", "--out", str(tmp_path)]
    assert parse([*words, "--seed", "8"]).seed == 8
    assert parse([*words, "--text", "a hat"]).prompt.text == "a hat"
    assert parse([*words, "--engine", "openvino"]).engine == "openvino"


def test_changed_numbers_are_kept_added_to_and_compared(tmp_path):
    start(STARTED, tmp_path)
    words = ["generate", "--resume", "--out", str(tmp_path)]
    assert parse([*words, "--method.coarse.steps", "9"]).method == STARTED.method
    other = parse([*words, "--method.coarse.steps", "8", "--method.coarse.size", "32"])
    assert other.method == STARTED.method | {"coarse.steps": 8, "coarse.size": 32}
    found = config_of(tmp_path)
    wanted = run_settings(other, method_of(other), load_manifest("mini"), "cpu")
    with pytest.raises(
        ResumeMismatch,
        match=r"coarse.size differs.\n  started with: the preset's value\n  asked for:    32\n"
        r"Leave out --method.coarse.size and --config",
    ):
        check_resumed(other, found, wanted)
    again = wanted | {"method": found["method"], "changes": found["changes"]}
    assert check_resumed(other, found, again) == "onnxruntime"
    with pytest.raises(ResumeMismatch, match=r"started with: 9\n  asked for:    8"):
        check_resumed(other, found, again | {"changes": found["changes"] | {"coarse.steps": 8}})


@pytest.mark.parametrize("lost", ["engine", "files", "without", "changes", "threads"])
def test_a_config_that_lacks_a_setting_is_refused_by_its_name(tmp_path, lost):
    start(STARTED, tmp_path)
    write_config(tmp_path, {k: v for k, v in config_of(tmp_path).items() if k != lost})
    for read in (read_started, started_config):
        with pytest.raises(RunError, match=rf"it lacks {lost}\), so .*\n.*--overwrite"):
            read(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "null", "{}", '{"prompt": 3}', "\ud800"])
def test_a_damaged_config_is_refused_with_the_way_out(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content.encode(errors="surrogatepass"))
    with pytest.raises(RunError, match=r"config\.json cannot be read(?s:.*)--overwrite"):
        started_config(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt": {"text": 3}}, {"seed": "x"}, {"without": 3}, {"without": ["nerf"]},
        {"prompt": {}, "seed": -1}, {"changes": 3},
    ],
)  # fmt: skip
def test_a_setting_of_another_kind_is_refused_with_the_way_out(tmp_path, wrong):
    start(STARTED, tmp_path, **wrong)
    with pytest.raises(RunError, match=r"config\.json cannot be read(?s:.*)--overwrite"):
        started_config(tmp_path)


def test_a_prompt_is_needed_to_start():
    with pytest.raises(ValueError, match="no prompt"):
        GenerateConfig(prompt=PromptConfig())


@pytest.mark.parametrize(
    ("key", "other"),
    [("threads", 2), ("bundle_figures", {}), ("seed", 8), ("vram", None), ("engine", "openvino"),
     ("prompt", {}), ("precision", "float32"), ("method", {})],
)  # fmt: skip
def test_what_decides_the_result_is_compared(tmp_path, key, other):
    start(STARTED, tmp_path)
    found = read_started(tmp_path)
    wanted = {name: value for name, value in found.items() if name != "engine"}
    assert check_resumed(STARTED, found, wanted) == "onnxruntime"
    differing = "numbers of preset" if key == "method" else f"{key} differs"
    asked = dataclasses.replace(STARTED, engine="tensorrt" if key == "engine" else "auto")
    with pytest.raises(ResumeMismatch, match=differing):
        check_resumed(asked, found | {key: other}, wanted)
    assert identity_of(found) != identity_of(found | {key: other}) or key == "engine"


def test_all_of_the_record_is_known(tmp_path):
    """A setting is compared on resume, or is known to change no step."""
    start(STARTED, tmp_path)
    assert read_started(tmp_path).keys() - set(DECIDING) <= {
        "bundle",
        "changes",
        "files",
        "versions",
    }
