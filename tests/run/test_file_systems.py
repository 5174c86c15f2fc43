"""File systems without locks (Lustre, ENOSYS) or the flush of a folder (CIFS, FUSE: EINVAL)."""

import errno
import os
import stat
import threading
import time

import pytest

import xbind.engine.store
from tests.support.run_files import CONFIG
from xbind.engine.record import Key, Made
from xbind.engine.spec import GraphSpec
from xbind.engine.store import EngineStore
from xbind.evaluation import records
from xbind.evaluation.records import EvaluationFolder
from xbind.files import DiskError, atomic_write
from xbind.run.checks import check_folder
from xbind.run.folder import resume_run, start_run

KEY = Key({"graph": "ms-b3", "backend": "onnxruntime"})


def make(folder):
    (folder / "model.onnx").write_bytes(b"graph")
    return Made(GraphSpec("ms-b3", (), ()))


@pytest.fixture(params=[errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK], ids=errno.errorcode.get)
def no_locks(request, monkeypatch):
    def refuse(_file, _operation):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr("fcntl.flock", refuse)


@pytest.fixture(params=[errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP], ids=errno.errorcode.get)
def no_flush_of_folders(request, monkeypatch):
    flush, flushed = os.fsync, []

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            flushed.append(descriptor)
            raise OSError(request.param, os.strerror(request.param))
        flush(descriptor)

    monkeypatch.setattr("os.fsync", fsync)
    return flushed


def test_a_run_without_locks_goes_on_and_says_so(no_locks, tmp_path):
    with start_run(tmp_path, CONFIG) as run:
        run.save_checkpoint(1, {"step": 1})
        (warning,) = run.warnings
        assert "no locks" in warning
    check_folder(tmp_path, resume=True, overwrite=False)
    with resume_run(tmp_path) as run:
        assert run.load_checkpoint().step == 1


def test_a_run_with_locks_says_nothing(tmp_path):
    with start_run(tmp_path, CONFIG) as run:
        assert run.warnings == ()


def test_a_lock_that_fails_otherwise_is_told_in_words(tmp_path, monkeypatch):
    def broken(_file, _operation):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("fcntl.flock", broken)
    with pytest.raises(DiskError, match="Input/output error"):
        start_run(tmp_path, CONFIG).__enter__()


def test_files_and_engines_are_written_where_folders_cannot_be_flushed(
    no_flush_of_folders, tmp_path
):
    atomic_write(tmp_path / "a", b"content")
    assert (tmp_path / "a").read_bytes() == b"content"
    store = EngineStore(tmp_path / "engines")
    store.build(KEY, make).verify()
    assert store.find(KEY) is not None
    assert len(no_flush_of_folders) >= 3


def test_a_folder_that_fails_to_flush_is_an_error(tmp_path, monkeypatch):
    def broken(_descriptor):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("os.fsync", broken)
    with pytest.raises(DiskError, match="Input/output error"):
        atomic_write(tmp_path / "a", b"content")


def test_two_builders_without_locks_leave_one_whole_engine(no_locks, tmp_path):
    store, together, found = EngineStore(tmp_path / "engines"), threading.Barrier(2), []

    def slowly(folder):
        made = make(folder)
        together.wait(10)  # both are building now
        return made

    def build():
        found.append(store.build(KEY, slowly))

    builders = [threading.Thread(target=build) for _ in range(2)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()
    assert len(found) == 2
    store.find(KEY).verify()
    left = [path.name for path in store.root.iterdir() if path.name != "locks"]
    assert left == [KEY.folder_name]


def test_the_second_of_two_builders_without_locks_takes_the_engine_of_the_first(
    no_locks, tmp_path, monkeypatch
):
    """The first one puts its engine in place when the second one is about to."""
    store, first = EngineStore(tmp_path / "engines"), []

    def hold(folder):
        if folder.name.startswith(".unlocked") and not first:
            first.append(None)
            first[0] = store.build(KEY, make)
        return real(folder)

    real = xbind.engine.store.hold
    monkeypatch.setattr("xbind.engine.store.hold", hold)
    assert store.build(KEY, make).folder == first[0].folder
    first[0].verify()
    assert [path.name for path in store.root.iterdir() if path.name != "locks"] == [KEY.folder_name]


def test_gc_without_locks_leaves_what_may_be_in_the_making(no_locks, tmp_path):
    store, seen = EngineStore(tmp_path / "engines"), []

    def collected(folder):
        seen.extend(store.gc(lambda _entry: True))
        return make(folder)

    store.build(KEY, collected).verify()
    assert seen == []
    dead = store.root / ".unlocked-dead"
    dead.mkdir()
    os.utime(dead, (time.time() - 2 * 86_400,) * 2)
    assert [name for name, _ in store.gc(lambda _entry: True)] == [dead.name]


def test_an_evaluation_without_locks_says_so_once(no_locks, tmp_path, capsys):
    records._tell_unlocked.cache_clear()
    folder = EvaluationFolder(tmp_path)
    row = {"object": "a", "kind": "text", "mesh": "m", "judges": {}, "figures": {}}
    folder.append(row)
    folder.append(row | {"object": "b"})
    assert [found["object"] for found in folder.rows()] == ["a", "b"]
    assert capsys.readouterr().err.count("has no locks") == 1
