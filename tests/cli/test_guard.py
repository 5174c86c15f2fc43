"""What surrounds every command: any output encoding, closed pipes, Ctrl-C, odd file names."""

import os
import signal
import subprocess
import sys

import pytest

from xbind.cli import bench, build_engines, main
from xbind.cli.guard import guard, spell

HEAD = "import os, signal, sys\nfrom xbind.cli.guard import guard\n"


def python(program, *words, **options):
    """A process with a guarded command in it."""
    command = [sys.executable, "-P", "-c", HEAD + program, *words]
    return subprocess.run(command, capture_output=True, check=False, **options)


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("ascii", b"15 deg - cafe 3 x 4 \\u732b\n"),
        ("latin-1", "15° · café 3 × 4 \\u732b\n".encode("latin-1")),
        ("utf-8", "15° · café 3 × 4 猫\n".encode()),
    ],
)
def test_every_character_can_be_written_to_every_stream(encoding, written):
    program = "guard('xbind', [], lambda: print('15° · café 3 × 4 猫'), str)"
    done = python(program, env={**os.environ, "PYTHONIOENCODING": f"{encoding}:strict"})
    assert (done.returncode, done.stdout) == (0, written), done.stderr


def test_a_table_and_an_error_in_ascii():
    program = (
        "from xbind.errors import XBindError\n"
        "from rich.console import Console\n"
        "from rich.progress import track\n"
        "def work():\n"
        "    Console().print('turned by 15°')\n"
        "    for _ in track([1], description='… ·', console=Console(force_terminal=True)): pass\n"
        "    raise XBindError('‘mug’ is unknown \\udcff')\n"
        "guard('xbind', [], work, str)"
    )
    done = python(program, env={**os.environ, "PYTHONIOENCODING": "ascii:strict"})
    assert done.returncode == 1
    assert done.stderr == b"xbind: 'mug' is unknown \\udcff\n"
    assert b"turned by 15 deg" in done.stdout


def test_bytes_that_are_no_text_are_escaped():
    error = UnicodeEncodeError("utf-8", "a\udcffb", 1, 2, "surrogates not allowed")
    assert spell(error) == ("\\udcff", 2)


def test_a_closed_pipe_ends_with_141_and_no_traceback():
    program = (
        "def work():\n    for i in range(100_000): print('line', i)\nguard('xbind', [], work, str)"
    )
    with subprocess.Popen(
        [sys.executable, "-P", "-c", HEAD + program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"line 0\n"
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (141, b"")


def test_a_pipe_that_is_closed_before_little_output_ends_alike():
    """The output is still in the buffer when the work is done."""
    program = "guard('xbind', [], lambda: print('short'), lambda: '. Go on with --resume')"
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-P", "-c", HEAD + program]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert done.returncode == 141
    assert done.stderr == b"xbind: the output was closed; Go on with --resume\n"


def test_no_output_at_all_is_no_error():
    program = HEAD + "guard('xbind', [], lambda: print('short'), str)"
    command = f'"{sys.executable}" -P -c "$0" >&-'
    done = subprocess.run(["sh", "-c", command, program], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_table_to_a_closed_pipe_ends_alike():
    program = (
        "from xbind.run.console import PlainConsole\n"
        "guard('xbind', [], lambda: PlainConsole().print('a table'), str)"
    )
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-P", "-c", HEAD + program]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("size", [5, 100_000])
def test_a_full_output_ends_in_words(size, unbuffered):
    """At the first line that is flushed, or when the work is done."""
    program = f"guard('xbind', [], lambda: print('x' * {size}), lambda: '. Continue.')"
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-P", "-c", HEAD + program],
            stdout=full, stderr=subprocess.PIPE, check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == (
        b"xbind: the output cannot be written: No space left on device. Continue.\n"
    )


def test_an_error_is_told_on_a_full_output_too():
    program = (
        "from xbind.errors import XBindError\n"
        "def work():\n"
        "    print('x')\n"
        "    raise XBindError('no such preset')\n"
        "guard('xbind', [], work, str)"
    )
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-P", "-c", HEAD + program],
            stdout=full, stderr=subprocess.PIPE, check=False,
            env={**os.environ, "PYTHONUNBUFFERED": ""},
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, b"xbind: no such preset\n")


def test_another_os_error_is_not_taken_for_the_output_s():
    done = python("guard('xbind', [], lambda: os.listdir('/nowhere'), str)")
    assert done.returncode == 1
    assert b"FileNotFoundError" in done.stderr


def test_ctrl_c_while_modules_are_imported(tmp_path):
    (tmp_path / "slow_command.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(30)\n"
    )
    program = (
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "from xbind.cli import entry\n"
        "entry._run('xbind', 'slow_command')"
    )
    done = python(program, timeout=20)
    assert (done.returncode, done.stderr) == (130, b"\nxbind: interrupted.\n")


def test_the_entry_points_import_nothing_of_the_commands():
    program = (
        "from xbind.cli import entry\n"
        "assert 'tyro' not in sys.modules\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "sys.argv = ['xbind', '--version']\n"
        "entry.xbind()"
    )
    command = [sys.executable, "-P", "-c", f"import signal, sys\n{program}"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"xbind ")


def test_one_ctrl_c_lets_the_work_be_put_away():
    program = (
        "def work():\n"
        "    try: os.kill(os.getpid(), signal.SIGINT)\n"
        "    finally: print('put away')\n"
        "guard('xbind', [], work, lambda: '. Continue.')"
    )
    done = python(program)
    assert done.returncode == 130
    assert done.stdout == b"put away\n"
    assert done.stderr == b"\nxbind: interrupted. Continue.\n"


def test_a_library_that_turns_ctrl_c_into_another_error():
    program = (
        "def work():\n"
        "    try: os.kill(os.getpid(), signal.SIGINT)\n"
        "    except KeyboardInterrupt: raise ImportError('numpy is broken')\n"
        "guard('xbind', [], work, lambda: '.')"
    )
    done = python(program)
    assert (done.returncode, done.stderr) == (130, b"\nxbind: interrupted.\n")


@pytest.mark.parametrize("where", ["work", "shutdown"])
def test_the_second_ctrl_c_ends_it_at_once_and_without_a_traceback(where):
    program = (
        "import atexit, time\n"
        "def again(): os.kill(os.getpid(), signal.SIGINT); time.sleep(30)\n"
        "def work():\n"
        "    if sys.argv[1] == 'shutdown': atexit.register(again)\n"
        "    try: os.kill(os.getpid(), signal.SIGINT)\n"
        "    finally:\n"
        "        if sys.argv[1] == 'work': again()\n"
        "guard('xbind', [], work, lambda: '. Continue.')"
    )
    done = python(program, where, timeout=20)
    assert done.returncode == 130
    assert done.stderr.endswith(b"\nxbind: interrupted twice. Continue.\n")
    assert b"Traceback" not in done.stderr


def test_ctrl_c_that_is_ignored_stays_ignored():
    program = (
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "guard('xbind', [], lambda: os.kill(os.getpid(), signal.SIGINT), str)"
    )
    assert python(program).returncode == 0


def test_the_handler_is_put_back():
    before = signal.getsignal(signal.SIGINT)
    guard("xbind", [], lambda: None, str)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    "command",
    [
        (main.main, ["generate", "--text", "a mug", "--out", "m\udcffug"]),
        (main.main, ["eval", "m\udcffug"]),
        (bench.main, ["--json", "m\udcffug"]),
        (build_engines.main, ["--measure", "m\udcffug"]),
    ],
    ids=["generate", "eval", "bench", "build-engines"],
)
def test_a_name_that_is_no_text_is_refused_before_anything_is_touched(
    command, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    program, words = command
    with pytest.raises(SystemExit) as left:
        program(words)
    assert left.value.code == 2
    assert "'m\\udcffug' is not valid UTF-8. Rename" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
