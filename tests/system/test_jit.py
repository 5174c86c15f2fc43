"""Compiled kernels: kept, compiled again where a file is damaged, never those of other sources."""

import errno
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from xbind.system import jit

ROOT = Path(__file__).parents[2]
KERNEL = """
from xbind.system.jit import cached_njit

@cached_njit(nogil=True)
def twice(x):
    return 2 * x
"""


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setattr(jit, "kernel_folder", lambda: tmp_path / "kept")
    monkeypatch.setattr("numba.config.CACHE_DIR", "")
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "own.py").write_text(KERNEL)
    (tmp_path / "kernels" / "beside.py").write_text("FACTOR = 1\n")
    return tmp_path / "kept"


def fresh(kept):
    """The kernel as a new process imports it."""
    jit._stamp_of.cache_clear()
    spec = importlib.util.spec_from_file_location("own", kept.parent / "kernels" / "own.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.twice


def is_kept(kept):
    """Whether the kernel's code comes from the cache; the result must be right in any case."""
    twice = fresh(kept)
    assert twice(21) == 42
    return sum(twice.stats.cache_hits.values()) == 1


def test_compiled_once(kept):
    assert not is_kept(kept)
    assert is_kept(kept)


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "gone"])
def test_a_damaged_file_is_compiled_again(kept, suffix, damage):
    assert not is_kept(kept)
    (path,) = kept.rglob(f"*.{suffix}")
    content = path.read_bytes()
    for at in (0, 40, len(content) // 2, len(content) - 1):
        path.unlink(missing_ok=True)
        if damage != "gone":
            flipped = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
            path.write_bytes({"flip": flipped, "cut": content[:at], "empty": b""}[damage])
        assert not is_kept(kept)
        assert is_kept(kept)


def test_a_change_in_a_file_beside_it_compiles_again(kept):
    """numba looks at the kernel's own file only, but inlines what it calls in others."""
    assert not is_kept(kept)
    (kept.parent / "kernels" / "beside.py").write_text("FACTOR = 2\n")
    assert not is_kept(kept)
    assert is_kept(kept)


def test_a_change_in_a_folder_beside_it_compiles_again(kept):
    (kept.parent / "__init__.py").write_text("")
    common = kept.parent / "common"
    common.mkdir()
    (common / "lanes.py").write_text("LANES = 4\n")
    assert not is_kept(kept)
    assert is_kept(kept)
    (common / "lanes.py").write_text("LANES = 8\n")
    assert not is_kept(kept)


def test_a_full_disk_costs_only_the_cache(kept, monkeypatch):
    def refuse(*_args):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(jit._File, "_open_for_write", refuse)
    assert not is_kept(kept)
    assert not list(kept.rglob("*.nb?"))


def test_numba_s_own_variable_is_honoured(kept, tmp_path, monkeypatch):
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path / "named"))
    assert not is_kept(kept)
    assert is_kept(kept)
    assert list((tmp_path / "named").rglob("*.nbc"))
    assert not kept.exists()


def test_every_kernel_is_cached_this_way():
    sources = [
        p for top in ("xbind", "kernels", "engine", "export") for p in (ROOT / top).rglob("*.py")
    ]
    assert sum("@cached_njit(" in path.read_text() for path in sources) > 5
    for path in sources:
        if path.name != "jit.py":
            assert not re.search(r"cache\s*=\s*True", path.read_text()), path


def test_code_of_a_module_that_cannot_be_imported_by_name_is_compiled_again(tmp_path):
    """Such as of a script that is loaded from its path: its code refers to the module `<dynamic>`.

    Only a process that has not compiled the code notices.
    """
    script = tmp_path / "kernels" / "own.py"
    script.parent.mkdir()
    script.write_text(KERNEL)
    code = (
        "import importlib.util, sys\n"
        "spec = importlib.util.spec_from_file_location('own', sys.argv[1])\n"
        "spec.loader.exec_module(own := importlib.util.module_from_spec(spec))\n"
        "assert own.twice(21) == 42"
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "kept")}
    for _ in range(2):
        subprocess.run([sys.executable, "-P", "-c", code, script], check=True, env=environment)
    assert list((tmp_path / "kept").rglob("*.nbc"))
