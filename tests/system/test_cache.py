"""Where compiled graphs and operators are kept: named, the platform's, or a temporary folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from xbind.system import cache
from xbind.system.cache import cache_folder, cache_notice, writable_folder


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch):
    for name in ("XBIND_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cache, "_temporary", None)


@pytest.fixture
def no_home(monkeypatch):
    """As of a container that is started with the number of an unknown user."""

    def unknown(_uid):
        raise KeyError("uid not found")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)


def test_the_variable_names_it(monkeypatch, tmp_path):
    monkeypatch.setenv("XBIND_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    assert writable_folder("numba") == tmp_path / "mine" / "numba"
    assert cache_notice() is None


def test_else_it_is_the_platform_s(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "xbind"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "xbind"
    assert cache_notice() is None


def test_without_a_home_it_is_a_private_temporary_folder(no_home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = cache_folder()
    assert folder == cache_folder()
    assert folder.stat().st_mode & 0o077 == 0
    assert "no home folder" in cache_notice()
    assert "XBIND_CACHE" in cache_notice()
    assert not list(tmp_path.iterdir())  # and not a folder that is called "~"


def test_a_home_that_cannot_be_written_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    assert cache_folder().name.startswith("xbind-cache-")
    assert f"{tmp_path / 'file' / '.cache' / 'xbind'} cannot be written" in cache_notice()


def test_a_named_folder_is_never_replaced_but_kernels_go_elsewhere(monkeypatch, tmp_path):
    """It may be a read-only disk with every engine in it."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XBIND_CACHE", str(tmp_path / "file"))
    assert cache_folder() == tmp_path / "file"
    assert writable_folder("numba").parent.name.startswith("xbind-cache-")
    assert f"{tmp_path / 'file'}, which XBIND_CACHE names, cannot be written" in cache_notice()


def test_no_folder_at_all_is_told_in_words(no_home, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(cache.CacheError, match="XBIND_CACHE"):
        cache_folder()


def test_the_temporary_folder_goes_with_its_process(tmp_path):
    """A run without any folder that can be written: nothing is left, forked processes included."""
    program = (
        "import os, xbind.system.jit\n"
        "if os.fork() == 0: raise SystemExit\n"
        "os.wait()\n"
        "folder = xbind.system.jit.kernel_folder()\n"
        "assert folder.is_dir()\n"
        "print(folder)"
    )
    environment = {"HOME": os.devnull, "TMPDIR": str(tmp_path), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(tmp_path)
    assert not list(tmp_path.iterdir())
