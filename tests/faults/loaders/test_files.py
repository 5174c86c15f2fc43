"""What a path can be instead of a file: refused by every loader, at once and by its kind."""

import os
import socket

import pytest
from loader_targets import TARGETS

from xbind.cli.main import main
from xbind.conditioning.image import load_image
from xbind.errors import XBindError
from xbind.networks.manifest import BundleError, load_manifest, verify
from xbind.system.untrusted import fault_of, guarded, is_file, read_json_object, reason

LOADERS = [name for name in TARGETS if name not in ("manifest", "bind", "network", "bpe_tables")]


def _fifo(path):
    os.mkfifo(path)


def _device(path):
    path.symlink_to("/dev/zero")


def _circle(path):
    path.symlink_to(path)


def _socket(path):
    with socket.socket(socket.AF_UNIX) as held:
        held.bind(str(path))


KINDS = {
    "missing": (lambda path: None, "does not exist"),
    "folder": (lambda path: path.mkdir(), "is a folder"),
    "pipe": (_fifo, "is a pipe"),
    "device": (_device, "is a device"),
    "socket": (_socket, "is a socket"),
    "circle": (_circle, "cannot be read"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", LOADERS)
def test_what_is_no_file_is_refused_by_its_kind(name, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    make, told = KINDS[kind]
    path = (tmp_path / f"x{TARGETS[name].suffix}").relative_to(tmp_path)
    make(path)
    with pytest.raises(XBindError, match=told) as refusal:
        TARGETS[name].load(path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("length", [256, 5000])
def test_a_name_that_is_too_long_is_refused(name, length, tmp_path):
    path = tmp_path / ("x" * length + TARGETS[name].suffix)
    with pytest.raises(XBindError, match="File name too long"):
        TARGETS[name].load(path)


def test_a_folder_that_is_closed_is_refused(tmp_path, monkeypatch):
    def closed(path, *_args, **_options):
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "a.png").write_bytes(b"x")
    monkeypatch.setattr("pathlib.Path.stat", closed)
    assert fault_of(tmp_path / "a.png") == "cannot be read: Permission denied"
    assert not is_file(tmp_path / "a.png")
    with pytest.raises(XBindError, match="cannot be read: Permission denied"):
        load_image(tmp_path / "a.png")


def test_a_zero_byte_in_a_name_is_refused(tmp_path):
    with pytest.raises(XBindError, match="null byte"):
        load_image(tmp_path / "a\0.png")


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_a_bundle_s_file_that_is_none_is_refused(kind, tmp_path):
    make, told = KINDS[kind]
    manifest = load_manifest("mini")
    for name in manifest.files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name == "bind/config.json":
            make(path)
        else:
            path.symlink_to(manifest.folder / name)
    (tmp_path / "bundle.json").symlink_to(manifest.folder / "bundle.json")
    with pytest.raises(BundleError, match=rf"incomplete: \S+bind/config.json {told}"):
        verify(load_manifest(tmp_path))


@pytest.mark.parametrize("flag", ["--image", "--audio", "--depth", "--video", "--out", "--bundle"])
@pytest.mark.parametrize("value", ["{}/" + 300 * "x", "{}/pipe", "{}/a/" + 5000 * "x"])
def test_the_command_line_names_the_option_and_leaves_no_trace(flag, value, tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    words = [flag, value.format(tmp_path)]
    if flag != "--out":
        words += ["--out", str(tmp_path / "out")]
    if flag in ("--out", "--bundle"):
        words += ["--text", "a red mug"]
    with pytest.raises(SystemExit) as left:
        main(["generate", *words])
    assert str(left.value.code).startswith("xbind: ")
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


class Panic(BaseException):
    """What a library in Rust raises."""


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (SyntaxError("broken PNG file (bad header).\nmore"), "broken PNG file (bad header)"),
        (KeyError("shape"), "KeyError: 'shape'"),
        (Panic("index out of bounds"), "Panic: index out of bounds"),
        (MemoryError(), "it takes more memory than there is"),
        (RecursionError("maximum recursion depth"), "it is nested too deeply"),
        (PermissionError(13, "Permission denied", "/x"), "Permission denied"),
        (AssertionError(), "AssertionError"),
        (ValueError("x" * 1000), 300 * "x" + "…"),
    ],
)
def test_whatever_is_raised_becomes_one_line(error, told):
    assert reason(error) == told
    with pytest.raises(XBindError) as refusal, guarded(lambda why: XBindError(f"a.png: {why}")):
        raise error
    assert str(refusal.value) == f"a.png: {told}"
    assert refusal.value.__cause__ is error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), XBindError("ours")])
def test_what_is_not_the_library_s_passes(error):
    with pytest.raises(type(error)) as passed, guarded(XBindError):
        raise error
    assert passed.value is error


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[1]", "a list"), ("3", "a number"), ("null", "null"), ('"x"', "a string"),
        ('{"a": NaN}', "NaN"), ('{"a": -Infinity}', "-Infinity"), ('{"a": 1e999}', "1e999"),
        ('{"a": ' + 40 * "[" + 40 * "]" + "}", "nested too deeply"),
        ('{"a": ' + 100_000 * "[" + 100_000 * "]" + "}", "nested too deeply"),
        ("{", "Expecting"), ("", "Expecting"), ('{"a": "\udcff"}', "utf-8"),
    ],
)  # fmt: skip
def test_json_that_is_no_plain_object_is_refused(text, told, tmp_path):
    (tmp_path / "a.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=told):
        read_json_object(tmp_path / "a.json")
