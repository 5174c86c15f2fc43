"""A run goes on from its folder alone: the prompt and every setting are in its config.json."""

import dataclasses
import json
from pathlib import Path

import pytest

from xbind.cli.main import parse
from xbind.config.options import GenerateConfig, PromptConfig, parts_named
from xbind.config.variants import method_named
from xbind.networks.manifest import load_manifest
from xbind.run.checks import RunError
from xbind.run.resuming import read_started, started_config
from xbind.run.settings import run_settings

STARTED = GenerateConfig(
    prompt=PromptConfig(
        text="a red mug", image=Path("mug.png"), audio=Path("/sounds/mug.wav"), audio_weight=2.5,
        depth=Path("mug.npy"), depth_kind="disparity", imu=Path("mug.csv"),
    ),
    out=Path("out/mug"), seed=7, preset="smoke:stablesds-3d", without="ms,stereo",
    phase2_loss="sds", from_phase1=Path("/runs/first"), bundle="mini", device="cpu",
    precision="bfloat16", vram=3.5,
)  # fmt: skip


def start(config, out, **changes):
    """Write what `generate` writes when it starts."""
    method = method_named(config.preset, parts_named(config.without), config.phase2_loss)
    held = run_settings(config, method, load_manifest(config.bundle), "cpu")
    held |= {"engine": "onnxruntime", "files": {}}
    out.mkdir(exist_ok=True)
    (out / "config.json").write_text(json.dumps(held | changes))


def test_every_setting_that_decides_the_result_is_read_back(tmp_path):
    start(STARTED, tmp_path)
    assert started_config(tmp_path) == dataclasses.replace(STARTED, out=tmp_path, resume=True)


def test_the_folder_alone_is_enough_on_the_command_line(tmp_path):
    start(STARTED, tmp_path)
    going_on = dataclasses.replace(STARTED, out=tmp_path, resume=True)
    assert parse(["generate", "--resume", "--out", str(tmp_path)]) == going_on
    faster = dataclasses.replace(going_on, threads=2)
    assert parse(["generate", f"--out={tmp_path}", "--threads", "2", "--resume"]) == faster


def test_what_is_given_beside_it_is_kept_and_so_compared(tmp_path):
    start(STARTED, tmp_path)
    words = ["generate", "--resume", "--out", str(tmp_path)]
    assert parse([*words, "--seed", "8"]).seed == 8
    assert parse([*words, "--text", "a hat"]).prompt.text == "a hat"
    assert parse([*words, "--engine", "openvino"]).engine == "openvino"


@pytest.mark.parametrize("lost", ["engine", "files", "without", "seed"])
def test_a_config_that_lacks_a_setting_is_refused_by_its_name(tmp_path, lost):
    start(STARTED, tmp_path)
    path = tmp_path / "config.json"
    path.write_text(
        json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != lost})
    )
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
        {"prompt": {}, "seed": -1},
    ],
)  # fmt: skip
def test_a_setting_of_another_kind_is_refused_with_the_way_out(tmp_path, wrong):
    start(STARTED, tmp_path, **wrong)
    with pytest.raises(RunError, match=r"config\.json cannot be read(?s:.*)--overwrite"):
        started_config(tmp_path)


def test_a_prompt_is_needed_to_start():
    with pytest.raises(ValueError, match="no prompt"):
        GenerateConfig(prompt=PromptConfig())
