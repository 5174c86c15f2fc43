"""Text from files reaches the terminal escaped: errors, messages, tables, tracebacks."""

import io
import json
import logging
import subprocess
import sys
import warnings

import pytest
from loader_seeds import MINI
from PIL import Image
from rich.console import Console
from rich.table import Table

from xbind.cli.main import main
from xbind.errors import XBindError, printable
from xbind.run.console import PlainConsole
from xbind.run.progress import PlainReporter, RichReporter
from xbind.system.untrusted import guarded

TITLE, CLEAR = "\x1b]0;owned\x07", "\x1b[2J"
ODD = f"{TITLE}{CLEAR}\x9b31m\r\x08[/nothing][red]\u202egpj.exe\u2066"
SEEN = r"\x1b]0;owned\x07\x1b[2J\x9b31m\r\x08[/nothing][red]\u202egpj.exe\u2066"


def obeyed(text):
    """What a terminal would obey in a text."""
    return [c for c in text if (ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160
            or c in "\u202e\u2066"]  # fmt: skip


def test_printable_escapes_what_a_terminal_obeys_and_nothing_else():
    assert printable(ODD) == SEEN
    plain = "Größe 15° — “ok” ≤ 3 × 4\n\tعربي 日本 👩‍🚀"
    assert printable(plain) == plain
    assert printable("a\x00b\x7fc\u2028d\x85") == r"a\x00b\x7fc\u2028d\x85"
    assert obeyed(printable("".join(map(chr, range(0x300))))) == []


@pytest.fixture
def bundle(tmp_path):
    """The mini bundle under another name, with odd text wherever text is free."""
    raw = json.loads((MINI / "bundle.json").read_text())
    raw |= {"name": ODD, "about": ODD, "licence": {ODD: [ODD]}, ODD: ODD}
    for source in MINI.iterdir():
        if source.name != "bundle.json":
            (tmp_path / source.name).symlink_to(source)
    odd = tmp_path / "[b]\u202e"
    odd.mkdir()
    (odd / "a.txt").write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    raw["files"][f"{odd.name}/a.txt"] = {"sha256": empty, "bytes": 0}
    (tmp_path / "bundle.json").write_text(json.dumps(raw))
    return tmp_path


def test_a_bundle_is_shown_without_its_escape_sequences(bundle, capsys):
    main(["bundle", "show", str(bundle)])
    shown = capsys.readouterr().out
    assert f"name: {SEEN}" in shown
    assert r"[b]\u202e" in shown
    assert obeyed(shown) == []


@pytest.mark.parametrize(
    "words",
    [
        ["bundle", "show"],
        ["generate", "--text", "a red mug", "--prior-3d", "none", "--out", "{out}", "--bundle"],
    ],
)
def test_errors_about_a_bundle_hold_no_escape_sequences(bundle, tmp_path, words):
    (bundle / "[b]\u202e" / "a.txt").write_bytes(b"changed")
    words = [word.format(out=tmp_path / "out") for word in words]
    with pytest.raises(SystemExit) as left:
        main([*words, str(bundle)])
    assert SEEN in left.value.code
    assert obeyed(left.value.code) == []


def test_a_file_s_own_words_in_an_error_hold_no_escape_sequences(tmp_path, monkeypatch):
    (tmp_path / "bundle.json").write_text(json.dumps({"format": ODD}))
    with pytest.raises(SystemExit) as left:
        main(["bundle", "show", str(tmp_path)])
    assert obeyed(left.value.code) == []
    assert "owned" in left.value.code


def test_names_of_a_folder_that_is_searched_hold_no_escape_sequences(tmp_path, capsys):
    run = tmp_path / "run\x1b[31m"
    run.mkdir()
    (run / "config.json").write_text(json.dumps({"prompt": ODD}))
    with pytest.raises(SystemExit) as left:
        main(["eval", str(tmp_path)])
    shown = capsys.readouterr()
    assert obeyed(f"{left.value.code}{shown.out}{shown.err}") == []


@pytest.mark.parametrize("live", [False, True])
def test_messages_of_a_run_hold_no_escape_sequences(live):
    stream = io.StringIO()
    reporter = RichReporter(Console(file=stream)) if live else PlainReporter(stream)
    with reporter:
        reporter.message(ODD)
        reporter.preview(f"previews/{ODD}.png")
        reporter.finished([f"mesh{ODD}.glb"], 1.0)
    said = stream.getvalue().replace("\n", "")
    assert said.count(r"\x1b]0;owned") == (2 if live else 3)
    assert obeyed(said) == []


def test_tables_show_strings_as_they_are():
    stream = io.StringIO()
    table = Table(ODD, title=ODD)
    table.add_row(ODD)
    PlainConsole(file=stream, width=300).print(table)
    shown = stream.getvalue()
    assert shown.count(SEEN) == 3
    assert obeyed(shown) == []


def test_a_traceback_holds_no_escape_sequences():
    program = (
        "from xbind.cli.guard import guard\n"
        "def work(): raise RuntimeError('a bug \\x1b]0;owned\\x07')\n"
        "guard('xbind', [], work, str)"
    )
    words = [sys.executable, "-P", "-c", program]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("RuntimeError: a bug \\x1b]0;owned\\x07\n")


@pytest.mark.parametrize(
    "words",
    [
        ["generate", "--bad\x1b[31m"],
        ["generate", "--text", "a mug", "--image", "\u202e.png"],
        ["eval", "out\r"],
        ["\x1b[31m"],
    ],
)
def test_words_of_the_command_line_that_control_a_terminal_are_refused(words, capsys):
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert "holds control characters" in said
    assert obeyed(said) == []


def test_what_a_library_says_about_a_file_is_dropped(capfd):
    with guarded(XBindError):
        warnings.warn(TITLE, stacklevel=1)
        logging.getLogger("diffusers").warning(TITLE)
    assert capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == logging.NOTSET


def test_a_picture_in_a_folder_with_an_odd_name(tmp_path, monkeypatch, capsys):
    """The name is not on the command line: the folder is the current one."""
    folder = tmp_path / "\x1b[31m"
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as left:
        main(["generate", "--image", "a.png", "--out", "out"])
    shown = capsys.readouterr()
    assert obeyed(f"{left.value.code}{shown.out}{shown.err}") == []
    assert [path.name for path in folder.iterdir()] == ["a.png"]
