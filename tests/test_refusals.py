"""Mistakes at the command line, through the whole program: one message, status 1, nothing lost."""

import resource
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from PIL import Image

from xbind.cli.main import main


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Files that a prompt cannot be made of."""
    tmp_path = tmp_path_factory.mktemp("inputs")
    (tmp_path / "text.png").write_text("this is no picture")
    Image.new("1", (9_000, 9_000)).save(tmp_path / "huge.png")
    Image.new("RGB", (64, 64), "white").save(tmp_path / "blank.png")
    Image.new("I;16", (64, 64)).save(tmp_path / "unmeasured.png")
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16_000)
    (tmp_path / "folder").mkdir()
    return tmp_path


MUG = ["--text", "a red mug"]
MISTAKES = {
    "no such preset": ([*MUG, "--preset", "fastest"], ["fastest", "--preset", "default"]),
    "no such bundle": ([*MUG, "--bundle", "sd99"], ["sd99"]),
    "no known word": (["--text", "a quantum chromodynamics"], ["quantum", "mug"]),
    "several things": (["--text", "a mug and a car"], ["mug, car", "--text"]),
    "unknown adjective": (["--text", "a shiny mug"], ["shiny", "--ignore-unknown"]),
    "alias unread": (["--text", "a cup", "--exact-words"], ["cup", "mug"]),
    "missing picture": (["--image", "{}/none.png"], ["none.png"]),
    "no picture": (["--image", "{}/text.png"], ["text.png"]),
    "huge picture": (["--image", "{}/huge.png"], ["huge.png", "pixels"]),
    "blank picture": (["--image", "{}/blank.png"], ["blank.png"]),
    "folder as picture": (["--image", "{}/folder"], ["folder"]),
    "silence": (["--audio", "{}/silent.wav"], ["silent.wav"]),
    "empty sound": (["--audio", "{}/empty.wav"], ["empty.wav"]),
    "text as sound": (["--audio", "{}/text.png"], ["text.png"]),
    "unmeasured depth": (["--depth", "{}/unmeasured.png"], ["unmeasured.png"]),
    "no GPU": ([*MUG, "--device", "cuda"], ["cuda", "cpu"]),
    "unwritable": ([*MUG, "--out", "/proc/xbind"], ["/proc/xbind", "--out"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_words_and_costs_nothing(inputs, tmp_path, mistake):
    words, told = MISTAKES[mistake]
    words = [word.format(inputs) for word in words]
    earlier = tmp_path / "out"
    earlier.mkdir()
    kept = {"config.json": b"{}", "mesh.glb": b"an earlier mesh"}
    for name, content in kept.items():
        (earlier / name).write_bytes(content)
    out = [] if "--out" in words else ["--out", str(earlier), "--overwrite"]
    with pytest.raises(SystemExit) as left:
        main(["generate", *words, *out])
    message = left.value.code  # what Python prints, leaving with status 1
    assert message.startswith("xbind: ")
    assert all(word in message for word in told), message
    assert {path.name: path.read_bytes() for path in earlier.iterdir()} == kept


def test_a_disk_that_fills_up_leaves_a_run_that_goes_on(tmp_path):
    """The limit on the size of a file stands for a full disk: both refuse the write."""
    out = tmp_path / "run"
    program = "import sys; from xbind.cli.main import main; main(sys.argv[1:])"
    words = [sys.executable, "-P", "-c", program, "generate", *MUG]
    words += ["--preset", "smoke", "--engine", "eager", "--out", str(out)]

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    full = subprocess.run(
        words, capture_output=True, text=True, preexec_fn=small_files, check=False
    )
    assert full.returncode == 1
    assert "No room left to write" in full.stderr
    assert "--resume" in full.stderr
    assert "Traceback" not in full.stderr
    assert not list(out.rglob(".*.tmp"))
    again = subprocess.run([*words, "--resume"], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert (out / "mesh.glb").stat().st_size > 20_000
