"""What is refused before torch is imported, and before a network is loaded or an engine built."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.support.run_files import CONFIG, whole_config, write_config
from tests.support.watcher import Watcher
from xbind.config.options import GenerateConfig, PromptConfig
from xbind.errors import XBindError
from xbind.pipeline import generate
from xbind.run.checks import check_folder
from xbind.run.folder import start_run
from xbind.run.preflight import PathError, check_generate

MUG = ["--text", "a red mug"]
MISTAKES = {
    "unknown preset": ([*MUG, "--preset", "fastest"], "no preset 'fastest'"),
    "unknown bundle": ([*MUG, "--bundle", "sd99"], "no bundle 'sd99'"),
    "long bundle name": ([*MUG, "--bundle", "x" * 300], "no bundle 'xxx"),
    "existing run": ([*MUG, "--out", "{}/run"], "already holds a run"),
    "no run to resume": (["--resume", "--out", "{}/new"], "no run in"),
    "out is a file": ([*MUG, "--out", "{}/empty.png"], "Cannot write"),
    "out is below a file": ([*MUG, "--out", "{}/empty.png/a/b"], "Cannot write"),
    "out has too long a name": ([*MUG, "--out", "{}/" + "x" * 300], "Cannot write"),
    "out cannot be made": ([*MUG, "--out", "/proc/xbind"], "Cannot write"),
    "missing picture": (["--image", "{}/none.png"], "--image"),
    "folder as picture": (["--image", "{}/run"], "is a folder"),
    "device as picture": (["--image", "/dev/zero"], "is a device, not a file"),
    "long picture name": (["--image", "x" * 300], "cannot be read"),
    "empty picture": (["--image", "{}/empty.png"], "is empty"),
    "missing sound": (["--audio", "{}/none.wav"], "--audio"),
    "missing depth": (["--depth", "{}/none.png"], "--depth"),
    "missing video": (["--video", "{}/none.mp4"], "--video"),
    "missing thermal": (["--thermal", "{}/none.png"], "--thermal"),
    "missing motion": (["--imu", "{}/none.npy"], "--imu"),
    "no Phase I": ([*MUG, "--from-phase1", "{}/new"], "no run in"),
    "damaged run": (["--resume", "--out", "{}/run"], "cannot be read"),
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("[]")
    (tmp_path / "empty.png").write_bytes(b"")
    return tmp_path


def everything(folder):
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def test_mistakes_are_refused_without_torch_and_leave_nothing_behind(folder):
    """In a process in which the import of torch and numpy fails."""
    program = (
        "import json, sys\n"
        "class Refuse:\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name in ('torch', 'numpy'): raise ImportError(name)\n"
        "sys.meta_path.insert(0, Refuse)\n"
        "from xbind.cli.main import main\n"
        "said = {}\n"
        "for name, words in json.load(sys.stdin).items():\n"
        "    try: main(['generate', *words])\n"
        "    except SystemExit as left: said[name] = left.code\n"
        "print(json.dumps(said))"
    )
    cases = {name: [word.format(folder) for word in words] for name, (words, _) in MISTAKES.items()}
    for words in cases.values():
        if "--out" not in words:
            words += ["--out", str(folder / "out" / "deep")]
    before = everything(folder)
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        input=json.dumps(cases), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said.keys() == MISTAKES.keys()
    for name, (_, told) in MISTAKES.items():
        assert said[name].startswith("xbind: "), name
        assert told in said[name], (name, said[name])
    assert everything(folder) == before


@pytest.mark.parametrize(
    "prompt",
    [{"image": "text.png"}, {"audio": "text.png"}, {"depth": "text.png"}, {"thermal": "text.png"}],
    ids=lambda prompt: next(iter(prompt)),
)
def test_a_file_that_cannot_be_used_is_refused_before_a_network_is_loaded(
    tmp_path, monkeypatch, prompt
):
    def loaded(_manifest):
        raise AssertionError("the networks are loaded")

    monkeypatch.setattr("xbind.networks.loaded.load_bundle", loaded)
    (tmp_path / "text.png").write_text("this is no picture")
    files = {name: tmp_path / value for name, value in prompt.items()}
    config = GenerateConfig(prompt=PromptConfig(**files), out=tmp_path / "out")
    with pytest.raises(XBindError, match=r"text\.png"):
        generate(config, Watcher())
    Image.new("RGB", (64, 64)).save(tmp_path / "text.png")
    whole = GenerateConfig(prompt=PromptConfig(image=tmp_path / "text.png"), out=tmp_path / "out")
    with pytest.raises(AssertionError, match="are loaded"):
        generate(whole, Watcher())


def test_settings_that_differ_are_refused_before_a_network_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr("xbind.networks.loaded.load_bundle", lambda _: pytest.fail("loaded"))
    config = GenerateConfig(prompt=PromptConfig(text="a hat"), out=tmp_path, resume=True)
    write_config(tmp_path, whole_config("a mug"))
    with pytest.raises(XBindError, match="prompt differs"):
        generate(config, Watcher())


def test_a_run_in_progress_is_refused(tmp_path):
    used = rf"in use by another xbind \(process {os.getpid()}\)"
    with start_run(tmp_path, CONFIG), pytest.raises(XBindError, match=used):
        check_folder(tmp_path, resume=True, overwrite=False)
    check_folder(tmp_path, resume=True, overwrite=False)


def test_names_that_config_json_cannot_hold_are_refused(tmp_path, monkeypatch):
    odd = tmp_path / "m\udcffug"
    odd.mkdir()
    text = PromptConfig(text="a red mug")
    for config in (
        GenerateConfig(prompt=text, out=odd),
        GenerateConfig(prompt=PromptConfig(image=odd / "a.png"), out=tmp_path / "out"),
        GenerateConfig(prompt=text, out=tmp_path / "out", from_phase1=odd),
    ):
        with pytest.raises(PathError, match=r"m\\udcffug.* is not valid UTF-8"):
            check_generate(config)
    monkeypatch.chdir(odd)  # a relative path is written in full
    with pytest.raises(PathError, match="--out"):
        check_generate(GenerateConfig(prompt=text, out=Path("out")))
    assert not list(odd.iterdir())
