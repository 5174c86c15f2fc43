"""Freed memory that the C library keeps while a run computes."""

import platform
import subprocess
import sys

import pytest

from xbind.system import freed_memory
from xbind.system.freed_memory import KEPT, MAPPED_FROM, freed_memory_kept, freed_memory_usual

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")

ALLOCATES = """
import ctypes, resource, torch
from xbind.system.freed_memory import freed_memory_kept

def faults(count):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        parts = [torch.ones(5_000_000) for _ in range(10)]  # each below a mapping of its own
        del parts
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

for name in (-1, -3):
    ctypes.CDLL(None).mallopt(name, 128 * 1024)  # what glibc starts with
print(faults(10))
with freed_memory_kept():
    faults(2)
    print(faults(10))
    inside = resident()
print(inside - resident())
"""


def test_pages_are_not_cleared_again_and_are_returned_at_the_end():
    """In a process of its own: the heap belongs to the whole process."""
    command = [sys.executable, "-P", "-c", ALLOCATES]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    initial, kept, returned = (int(line) for line in done.stdout.split())
    assert initial > 100_000  # pages of ten rounds of 200 MB
    assert kept < 10_000
    assert returned > 150e6


class Library:
    """A C library that notes what it is told."""

    def __init__(self):
        self.told = []

    def mallopt(self, name, value):
        self.told.append((name, value))
        return 1

    def malloc_trim(self, pad):
        self.told.append(("trim", pad))


@pytest.fixture
def library(monkeypatch):
    made = Library()
    monkeypatch.setattr(freed_memory.ctypes, "CDLL", lambda _: made)
    for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    return made


def test_a_run_that_fails_leaves_the_heap_as_it_should_be(library):
    def fail():
        with freed_memory_kept():
            assert library.told == [(-3, MAPPED_FROM), (-1, KEPT)]
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        fail()
    assert library.told[2:] == [(-3, MAPPED_FROM), (-1, 2 * MAPPED_FROM), ("trim", 0)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MALLOC_TRIM_THRESHOLD_", "1000000"),
        ("MALLOC_MMAP_THRESHOLD_", "1000000"),
        ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=1000000"),
    ],
)
def test_what_the_user_has_set_stays(library, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with freed_memory_kept(), freed_memory_usual():
        pass
    assert library.told == []


def test_usual_memory_within_a_run(library):
    with freed_memory_kept():
        with freed_memory_usual():
            assert library.told[-1] == (-1, 2 * MAPPED_FROM)
        assert library.told[-1] == (-1, KEPT)


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(freed_memory.ctypes, "CDLL", lambda _: object())
    with freed_memory_kept(), freed_memory_usual():
        pass
