"""The store under every accident it may meet: nothing but what was written is ever loaded."""

import errno
import os
import signal
import threading
import time

import pytest

from xbind.engine.errors import EngineDamaged, EngineError, ParityError
from xbind.engine.record import SIDECAR, Key, Made
from xbind.engine.spec import GraphSpec, TensorSpec
from xbind.engine.store import EngineStore, cards_passed, engines_folder
from xbind.files import lock

SPEC = GraphSpec("ms-b3", (TensorSpec("x", "float32", (3, 2)),), ())
FIELDS = {"graph": "ms-b3", "backend": "onnxruntime", "backend_version": "1.32.0", "torch": "2.13"}


def key(**changes):
    return Key(FIELDS | changes)


def make(folder):
    (folder / "model.onnx").write_bytes(bytes(range(256)))
    (folder / "weights.bin").write_bytes(b"weights")
    return Made(SPEC, {"seconds": 0.5})


def forbidden(_folder):
    raise AssertionError("built although the store has it")


@pytest.fixture
def store(tmp_path):
    return EngineStore(tmp_path / "engines")


def names(store):
    return sorted(path.name for path in store.root.iterdir() if path.name != "locks")


def test_builds_once_and_finds_it_again(store):
    assert store.find(key()) is None
    built = store.build(key(), make)
    found = store.build(key(), forbidden)
    assert found == built == store.find(key())
    assert found.spec == SPEC
    assert found.notes["seconds"] == 0.5
    assert (found.folder / "model.onnx").read_bytes() == bytes(range(256))
    assert found.size_bytes == 256 + 7


def test_the_folder_s_name_depends_on_no_order_and_on_every_field():
    assert Key(dict(reversed(FIELDS.items()))).digest == key().digest
    assert len({key(**{name: "other"}).digest for name in FIELDS} | {key().digest}) == 5


@pytest.mark.parametrize("name", [SIDECAR, "model.onnx", "weights.bin"])
def test_every_changed_byte_is_seen_before_use(store, name):
    path = store.build(key(), make).folder / name
    content = path.read_bytes()
    for i in range(len(content)):
        path.write_bytes(content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :])
        with pytest.raises(EngineDamaged, match=r"engine\.json|" + name):
            store.find(key())
    path.write_bytes(content)
    assert store.find(key()) is not None


@pytest.mark.parametrize("name", [SIDECAR, "model.onnx"])
@pytest.mark.parametrize("damage", ["cut", "longer", "gone", "empty"])
def test_a_file_of_another_length_is_seen_and_built_anew(store, name, damage):
    path = store.build(key(), make).folder / name
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes({"cut": content[:-1], "longer": content + b" ", "empty": b""}[damage])
    with pytest.raises(EngineDamaged, match="Nothing of this engine is used"):
        store.find(key())
    store.build(key(), make).verify()
    assert path.read_bytes() == content


def test_an_engine_in_another_s_folder_is_refused(store):
    folder = store.build(key(), make).folder
    other = key(torch="2.14")
    folder.rename(store.root / other.folder_name)
    with pytest.raises(EngineDamaged):
        store.find(other)


def test_a_failed_build_leaves_nothing(store):
    def fail(folder):
        make(folder)
        raise ParityError("wrong gradient")

    with pytest.raises(ParityError):
        store.build(key(), fail)
    assert names(store) == []


def test_a_full_disk_leaves_nothing_and_says_what_to_do(store):
    def fill(folder):
        make(folder)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(EngineError, match=r"No room left.*\n.*XBIND_CACHE"):
        store.build(key(), fill)
    assert names(store) == []


def test_a_folder_that_may_not_be_written_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match=r"Cannot write engines.*\n.*XBIND_CACHE"):
        EngineStore(tmp_path / "file").build(key(), make)


@pytest.mark.parametrize("moment", ["before the files", "after the files", "after the sidecar"])
def test_a_killed_builder_leaves_nothing_that_is_loaded(store, moment, monkeypatch):
    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        if moment == "after the sidecar":
            monkeypatch.setattr("pathlib.Path.rename", die)
            store.build(key(), make)
        store.build(key(), lambda folder: (moment == "after the files" and make(folder), die()))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert len(names(store)) == 1  # the unfinished folder
    assert store.find(key()) is None
    store.build(key(), make).verify()
    assert names(store) == [key().folder_name]


def test_two_builders_at_once_end_with_one_good_engine(store, tmp_path):
    started = threading.Event()

    def slow(folder):
        started.set()
        deadline = time.monotonic() + 30
        while not (tmp_path / "waiting").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        return make(folder)

    builder = threading.Thread(target=store.build, args=(key(), slow))
    builder.start()
    started.wait(30)
    child = os.fork()
    if child == 0:  # another process: it must wait, and then find the engine
        entry = store.build(key(), forbidden, (tmp_path / "waiting").touch)
        os._exit(int(entry.key != key()))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    builder.join()
    store.find(key()).verify()
    assert names(store) == [key().folder_name]


def test_advice_names_what_differs(store):
    assert store.advice(key()) == "none was built yet"
    store.build(key(torch="2.12", backend_version="1.30"), make)
    store.build(key(torch="2.12"), make)
    assert store.advice(key()) == "torch: built for 2.12, wanted 2.13"


def test_gc_keeps_what_is_wanted_and_whole_and_what_is_being_built(store):
    kept = store.build(key(), make).folder.name
    store.build(key(torch="2.12"), make)
    damaged = store.build(key(torch="2.11"), make).folder
    (damaged / "weights.bin").write_bytes(b"Weights")
    (store.root / ".building-left").mkdir()
    removed = []

    def collect(folder):
        removed.extend(store.gc(lambda entry: entry.key.fields["torch"] != "2.12"))
        return make(folder)

    store.build(key(torch="2.15"), collect)
    assert sorted(name for name, _ in removed) == sorted(
        [".building-left", key(torch="2.12").folder_name, damaged.name]
    )
    assert names(store) == sorted([kept, key(torch="2.15").folder_name])


def test_entries_list_damage_in_its_place(store):
    store.build(key(), make)
    (store.build(key(torch="2.12"), make).folder / SIDECAR).write_text("{}")
    found = list(store.entries())
    assert sum(isinstance(entry, EngineDamaged) for entry in found) == 1
    assert len(found) == 2


def test_the_cache_folder_is_named_by_one_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("XBIND_CACHE", str(tmp_path))
    assert engines_folder() == tmp_path / "engines"
    monkeypatch.delenv("XBIND_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert engines_folder() == tmp_path / "cache" / "xbind" / "engines"


@pytest.mark.parametrize("how", ["built", "found"])
def test_gc_leaves_what_a_run_holds(store, how):
    holding, held = store.build(key(), make), []
    if how == "found":
        holding = store.find(key())
    assert store.gc(lambda _: False, in_use=held.append) == []
    assert held == [key().folder_name]
    holding.verify()
    del holding
    (removed,) = store.gc(lambda _: False)
    assert removed[0] == key().folder_name
    assert store.find(key()) is None


def test_an_engine_that_gc_is_removing_is_not_taken(store):
    folder = store.build(key(), make).folder
    with (folder / SIDECAR).open() as file:
        assert lock(file)
        assert store.find(key()) is None
    assert store.find(key()) is not None


def test_an_engine_that_is_replaced_while_it_is_opened_is_not_taken(store, monkeypatch):
    folder = store.build(key(), make).folder

    def replaced(_descriptor):
        path = folder / SIDECAR
        other = path.with_name("other")
        other.write_bytes(path.read_bytes())
        other.replace(path)
        return True

    monkeypatch.setattr("xbind.engine.record.lock_shared", replaced)
    assert store.find(key()) is None


def test_a_refusal_on_one_card_is_not_one_on_another(tmp_path):
    store = EngineStore(tmp_path)
    store.refuse(key(), "wrong by half", "sm86 RTX 3090")
    assert store.refusal(key(), "sm86 RTX 3090") == "wrong by half"
    assert store.refusal(key(), "sm86 A40") is None
    assert store.refusal(key()) is None
    store.refuse(key(), "cannot be built")
    assert store.refusal(key(), "sm86 A40") == "cannot be built"


def test_cards_that_passed_are_kept_beside_the_engine_and_go_with_it(tmp_path):
    store = EngineStore(tmp_path)
    entry = store.build(key(), make)
    for card in ("sm89 RTX 4090", "sm86 RTX 3090", "sm89 RTX 4090"):
        store.note_passed(entry, card)
    found = store.find(key())
    assert cards_passed(found) == ["sm86 RTX 3090", "sm89 RTX 4090"]
    assert found.size_bytes == entry.size_bytes
    del entry, found  # which hold it
    store.gc(lambda entry: False)
    assert cards_passed(store.build(key(), make)) == []
