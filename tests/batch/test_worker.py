"""Steps of a worker around a run: its lock, its place, and the copy on a shared disk."""

import pytest

from xbind.batch import remote
from xbind.batch.local import describe
from xbind.batch.remote import Mirror, remove_scratch
from xbind.batch.worker import publish, wait_for_lock
from xbind.files import DiskError
from xbind.run.checks import LOCK, RunError, open_lock, take_lock


def write(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def read(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_first_of_two_results_stays(tmp_path):
    for name in ("first", "second"):
        write(tmp_path / name, mesh_glb=name)
        publish(tmp_path / name, tmp_path / "result")
    assert read(tmp_path / "result") == {"mesh.glb": "first"}
    assert not (tmp_path / "second").exists()


def test_a_result_that_cannot_be_put_in_its_place_is_told(tmp_path):
    write(tmp_path / "run", mesh_glb="mesh")
    with pytest.raises(DiskError):
        publish(tmp_path / "run", tmp_path / "no" / "such" / "place")
    assert read(tmp_path / "run") == {"mesh.glb": "mesh"}


def test_a_run_that_another_process_writes_is_waited_for(tmp_path):
    wait_for_lock(tmp_path / "nothing")
    with open_lock(tmp_path) as file:
        take_lock(tmp_path, file)
        with pytest.raises(RunError, match="in use"):
            wait_for_lock(tmp_path, timeout_s=0.2)
    wait_for_lock(tmp_path, timeout_s=0.2)


def test_a_copy_follows_the_checkpoints(tmp_path):
    run, copy = tmp_path / "run", tmp_path / "shared" / "copy"
    mirror = Mirror(run, copy)
    mirror.fetch()
    write(run, config_json="{}", events_jsonl="1", checkpoints__1_pt="one")
    write(run, **{LOCK.replace(".", "_"): "123"})
    mirror.push()
    assert read(copy) == {"config.json": "{}", "events.jsonl": "1", "checkpoints/1.pt": "one"}

    write(run, events_jsonl="12")
    mirror.push()  # nothing new to resume from
    assert read(copy)["events.jsonl"] == "1"

    write(run, checkpoints__2_pt="two")
    (run / "checkpoints/1.pt").unlink()
    mirror.push()
    assert read(copy) == {"config.json": "{}", "events.jsonl": "12", "checkpoints/2.pt": "two"}


def test_a_copy_cut_short_has_what_its_checkpoint_needs(tmp_path, monkeypatch):
    run, copy = tmp_path / "run", tmp_path / "copy"
    written = []

    def write_some(path, content):
        if path.name == "1.pt":
            raise DiskError("full")
        written.append(path.name)

    monkeypatch.setattr(remote, "atomic_write", write_some)
    write(run, config_json="{}", events_jsonl="1", checkpoints__1_pt="one", previews__a_png="p")
    with pytest.raises(DiskError):
        Mirror(run, copy).push()
    assert sorted(written) == ["a.png", "config.json", "events.jsonl"]


def test_another_node_starts_from_the_copy(tmp_path):
    copy, run = tmp_path / "copy", tmp_path / "run"
    write(copy, config_json="{}", checkpoints__1_pt="one")
    write(run, left_over="of an earlier task")
    mirror = Mirror(run, copy)
    mirror.fetch()
    assert read(run) == {"config.json": "{}", "checkpoints/1.pt": "one"}
    (copy / "checkpoints/1.pt").write_text("not written again")
    mirror.push()
    assert (copy / "checkpoints/1.pt").read_text() == "not written again"


def test_folders_of_dead_workers_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(remote.tempfile, "gettempdir", lambda: str(tmp_path))
    dead, alive = tmp_path / "xbind-batch-dead", tmp_path / "xbind-batch-alive"
    for folder in (dead, alive):
        folder.mkdir()
        with remote._owned(folder):
            pass
    (tmp_path / "xbind-other").mkdir()
    with remote._owned(alive):
        remove_scratch()
    assert {path.name for path in tmp_path.iterdir()} == {"xbind-batch-alive", "xbind-other"}


def test_errors_are_described():
    assert describe(MemoryError()).startswith("Too little memory")
    text = describe(KeyError("x"))
    assert text.startswith("Internal error: KeyError: 'x'\n")
