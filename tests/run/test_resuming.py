"""A run goes on from its folder alone: the prompt and every setting are in its config.json."""

import dataclasses
import json
from pathlib import Path

import pytest

from tests.support.run_files import CONFIG, write_config
from xbind.cli.main import parse
from xbind.config.options import GenerateConfig, PromptConfig, parts_named
from xbind.config.variants import method_named
from xbind.networks.manifest import load_manifest
from xbind.pipeline import ResumeMismatch, _check_same, _run_config
from xbind.run.checks import DECIDING, RunError, identity_of
from xbind.run.resuming import read_started, started_config

STARTED = GenerateConfig(
    prompt=PromptConfig(
        text="a red mug", image=Path("mug.png"), audio=Path("/sounds/mug.wav"), audio_weight=2.5,
        depth=Path("mug.npy"), depth_kind="disparity", imu=Path("mug.csv"),
    ),
    out=Path("out/mug"), seed=7, preset="smoke:stablesds-3d", without="ms,stereo",
    phase2_loss="sds", from_phase1=Path("/runs/first"), bundle="mini", device="cpu",
    precision="bfloat16", vram=3.5, threads=3,
)  # fmt: skip


def start(config, out, **changes):
    """Write what `generate` writes when it starts."""
    method = method_named(config.preset, parts_named(config.without), config.phase2_loss)
    held = _run_config(config, method, load_manifest(config.bundle))
    held |= {"device": "cpu", "engine": "onnxruntime"}
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


def test_a_run_of_an_earlier_version_has_settings_too(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    found = read_started(tmp_path)
    assert (found["engine"], found["device"], found["without"]) == ("eager", "cpu", [])
    assert started_config(tmp_path).seed == 3
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | {"device": "auto"}))
    assert started_config(tmp_path).device == "cpu"


@pytest.mark.parametrize(
    "content",
    [
        "", "[]", "null", "{}", '{"prompt": 3}', '{"prompt": {"text": 3}}', "\ud800",
        *(json.dumps(CONFIG | change) for change in ({"seed": "x"}, {"without": 3},
                                                     {"without": ["nerf"]}, {"seed": -1})),
    ],
)  # fmt: skip
def test_a_damaged_config_is_refused_with_the_way_out(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content.encode(errors="surrogatepass"))
    with pytest.raises(RunError, match=r"config\.json cannot be read(?s:.*)--overwrite"):
        started_config(tmp_path)


def test_a_prompt_is_needed_to_start():
    with pytest.raises(ValueError, match="no prompt"):
        GenerateConfig(prompt=PromptConfig())


@pytest.mark.parametrize(
    ("key", "other"),
    [("threads", 2), ("bundle_figures", {}), ("seed", 8), ("vram", None), ("engine", "eager"),
     ("prompt", {}), ("precision", "float32"), ("method", {})],
)  # fmt: skip
def test_what_decides_the_result_is_compared(tmp_path, key, other):
    start(STARTED, tmp_path)
    found = read_started(tmp_path)
    method = method_named(STARTED.preset, parts_named(STARTED.without), STARTED.phase2_loss)
    wanted = _run_config(STARTED, method, load_manifest(STARTED.bundle))
    wanted |= {"device": "cpu", "engine": "onnxruntime"}
    _check_same(found, wanted)
    differing = "numbers of preset" if key == "method" else f"{key} differs"
    with pytest.raises(ResumeMismatch, match=differing):
        _check_same(found | {key: other}, wanted)
    assert identity_of(found) != identity_of(found | {key: other}) or key == "engine"
    if key in ("threads", "bundle_figures"):  # runs of earlier versions do not hold them
        _check_same({k: v for k, v in found.items() if k != key}, wanted)


def test_all_of_the_record_is_known(tmp_path):
    """A setting is compared on resume, or is known to change no step."""
    start(STARTED, tmp_path)
    assert read_started(tmp_path).keys() - set(DECIDING) <= {"bundle", "files"}
