"""Nothing phones home: no name is looked up and no identifier left by a whole run."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from xbind.system.cache import cache_folder
from xbind.system.telemetry import SWITCHES

WATCHED = (
    "import json, sys\n"
    "seen = []\n"
    "def watch(event, args):\n"
    "    if event in ('socket.getaddrinfo', 'socket.gethostbyname', 'socket.gethostbyaddr'):\n"
    "        seen.append(f'{event} {args[0]}')\n"
    "    if event == 'socket.connect' and isinstance(args[1], tuple):\n"
    "        seen.append(f'{event} {args[1]}')\n"
    "sys.addaudithook(watch)\n"
)
"""Sees what Python code asks of the network; compiled code is seen by strace, where it is there."""
RUN = (
    "from xbind.cli.main import main\n"
    "try: main(sys.argv[1:])\n"
    "finally: print(json.dumps(seen), file=sys.stderr)\n"
)
_NETWORK = re.compile(r'sin6?_port=htons\(|"/etc/(resolv\.conf|hosts)"')
"""In a trace: a connection, a packet that is sent, or what a name look-up reads."""


def run_watched(program, words, folder, home):
    """Exit status, standard error, and what a process and its children asked of the network."""
    trace = folder / "trace"
    command = [sys.executable, "-P", "-c", WATCHED + program, *words]
    if strace := shutil.which("strace"):
        calls = "openat,connect,sendto,sendmsg,sendmmsg"
        command = [strace, "-f", "-qq", "-e", f"trace={calls}", "-o", str(trace), *command]
    left_out = {"XDG_CACHE_HOME", *SWITCHES}
    environment = {k: v for k, v in os.environ.items() if k not in left_out and k != "CI"}
    environment |= {"HOME": str(home), "XBIND_CACHE": str(cache_folder())}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    traced = trace.read_text(errors="replace").splitlines() if strace else []
    return done.returncode, done.stderr, [line for line in traced if _NETWORK.search(line)]


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_a_run_looks_up_no_name_and_leaves_no_identifier(tmp_path, home, engine):
    words = ["generate", "a red mug", "--preset", "probe", "--engine", engine]
    words += ["--out", str(tmp_path / "run")]
    status, said, traced = run_watched(RUN, words, tmp_path, home)
    assert status == 0, said
    assert said.splitlines()[-1] == "[]"
    assert traced == []
    assert list(home.rglob("*")) == []


def test_the_other_libraries_are_told_too(tmp_path, home):
    """What a bundle is imported with, and what `doctor` asks."""
    program = (
        "import diffusers.utils.hub_utils, huggingface_hub.constants, transformers\n"
        "assert huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY\n" + RUN
    )
    status, said, traced = run_watched("import xbind\n" + program, ["doctor"], tmp_path, home)
    assert status == 0, said
    assert (said.splitlines()[-1], traced, list(home.rglob("*"))) == ("[]", [], [])


def test_the_watch_sees_a_look_up(tmp_path, home):
    program = (
        "import socket\n"
        "try: socket.getaddrinfo('name.invalid', 80)\n"
        "except OSError: pass\n"
        "print(seen, file=sys.stderr)"
    )
    _, said, traced = run_watched(program, [], tmp_path, home)
    assert "name.invalid" in said
    assert bool(traced) == bool(shutil.which("strace"))


def test_switches_are_set_by_the_import_and_a_user_s_own_stays():
    program = "import os, xbind; print([os.environ[n] for n in xbind.system.telemetry.SWITCHES])"
    environment = {k: v for k, v in os.environ.items() if k not in SWITCHES}

    def switches(**own):
        command = [sys.executable, "-P", "-c", program]
        return subprocess.check_output(command, env=environment | own, text=True).strip()

    assert switches() == str(list(SWITCHES.values()))
    assert switches(ORT_DISABLE_TELEMETRY="0") == str(["0", *list(SWITCHES.values())[1:]])


def test_openvino_is_imported_without_its_reports_which_others_keep():
    program = (
        "import sys\n"
        "from xbind.system.telemetry import import_openvino\n"
        "openvino = import_openvino()\n"
        "assert openvino is import_openvino()\n"
        "import openvino.tools.ovc.telemetry_utils as utils\n"
        "assert utils.tm.__name__.endswith('telemetry_stub'), utils.tm\n"
        "assert 'openvino_telemetry' not in sys.modules\n"
        "import openvino_telemetry\n"
        "import_openvino()\n"
        "assert sys.modules['openvino_telemetry'] is openvino_telemetry"
    )
    subprocess.run([sys.executable, "-P", "-c", program], check=True)
