"""The run folder: what is there after a kill, a full disk, a flipped byte, a second process."""

import json
import multiprocessing
import os
import resource
import signal
import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import xbind.files
from xbind.files import DiskError, atomic_write
from xbind.run.events import EventLog, read_events
from xbind.run.folder import RunError, open_run


@contextmanager
def process(function, *arguments):
    """A process of its own, to kill or starve; forked, since importing torch takes seconds."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=function, args=(theirs, *arguments))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 on: fork beside threads
        child.start()
    theirs.close()  # so that a child that dies early ends our waiting
    try:
        yield child, ours
    finally:
        child.kill()
        child.join()


def start_run(out, steps=0):
    with open_run(out) as run:
        run.write_config({"seed": 3})
        for step in range(1, steps + 1):
            run.events.append({"step": step})
            run.save_checkpoint(step, {"step": step, "x": torch.full((4,), float(step))})


def steps_logged(out):
    return [record["step"] for record in read_events(out / "events.jsonl")]


def flip_a_byte(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def newest(out):
    return max((out / "checkpoints").glob("*.pt"))


def test_resume_gives_back_state_and_events_of_the_checkpoint(tmp_path, rng):
    state = {
        "x": torch.randn(3, 4, generator=rng),
        "nested": {"rng": rng.get_state(), "list": [1, 2.5, None, "a", True], "tuple": (1, b"x")},
    }
    with open_run(tmp_path) as run:
        run.write_config({"seed": 3})
        run.events.append({"step": 1})
        run.save_checkpoint(1, state)
        run.events.append({"step": 2})
    assert steps_logged(tmp_path) == [1, 2]
    with open_run(tmp_path, resume=True) as run:
        loaded = run.load_checkpoint()
        assert loaded.step == 1
        assert loaded.warnings == ()
        assert torch.equal(loaded.state["x"], state["x"])
        assert torch.equal(loaded.state["nested"]["rng"], state["nested"]["rng"])
        assert loaded.state["nested"]["list"] == state["nested"]["list"]
        run.events.append({"step": 2})
    assert steps_logged(tmp_path) == [1, 2]


def test_the_last_two_checkpoints_stay(tmp_path):
    start_run(tmp_path, steps=12)
    kept = sorted(path.name.split(".")[0] for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["00000011", "00000012"]


def test_resume_before_the_first_checkpoint_starts_anew(tmp_path):
    with open_run(tmp_path) as run:
        run.write_config({})
        run.events.append({"step": 1})
    with open_run(tmp_path, resume=True) as run:
        assert run.load_checkpoint() is None
    assert steps_logged(tmp_path) == []


@pytest.mark.parametrize("at", [0, 200, -1])
def test_a_flipped_byte_is_found_and_the_checkpoint_before_is_used_aloud(tmp_path, at):
    start_run(tmp_path, steps=3)
    bad = newest(tmp_path)
    flip_a_byte(bad, at)
    with open_run(tmp_path, resume=True) as run:
        loaded = run.load_checkpoint()
        assert loaded.step == 2
        assert torch.equal(loaded.state["x"], torch.full((4,), 2.0))
        (warning,) = loaded.warnings
        assert bad.name in warning
        assert not bad.exists()
        assert bad.with_suffix(".damaged").exists()
        assert steps_logged(tmp_path) == [1, 2]
        for step in (3, 4):
            run.save_checkpoint(step, {"step": step})
    with open_run(tmp_path, resume=True) as run:
        assert run.load_checkpoint().step == 4


def test_all_checkpoints_damaged_is_refused_with_the_way_out(tmp_path):
    start_run(tmp_path, steps=2)
    for path in (tmp_path / "checkpoints").iterdir():
        flip_a_byte(path, 100)
    with (
        open_run(tmp_path, resume=True) as run,
        pytest.raises(RunError, match=r"(?s)No checkpoint .* whole.*--overwrite"),
    ):
        run.load_checkpoint()


def test_a_truncated_checkpoint_is_found(tmp_path):
    start_run(tmp_path, steps=2)
    bad = newest(tmp_path)
    bad.write_bytes(bad.read_bytes()[:-100])
    with open_run(tmp_path, resume=True) as run:
        assert run.load_checkpoint().step == 1


def save_and_hang(pipe, out):
    with open_run(out) as run:
        run.write_config({})
        run.events.append({"step": 1})
        run.save_checkpoint(1, {"x": torch.ones(3)})
        run.events.append({"step": 2})

        def hang(descriptor):
            pipe.send("saving")
            pipe.recv()

        xbind.files.os.fsync = hang
        run.save_checkpoint(2, {"x": torch.zeros(3)})


def test_kill_while_saving_leaves_the_checkpoint_before(tmp_path):
    with process(save_and_hang, tmp_path) as (child, pipe):
        assert pipe.recv() == "saving"
        assert list((tmp_path / "checkpoints").glob(".*.tmp"))
        os.kill(child.pid, signal.SIGKILL)
        child.join()
    with open_run(tmp_path, resume=True) as run:
        assert run.load_checkpoint().step == 1
    assert steps_logged(tmp_path) == [1]
    assert not list((tmp_path / "checkpoints").glob(".*.tmp"))


def fill_the_disk(pipe, out):
    with open_run(out) as run:
        run.write_config({})
        run.events.append({"step": 1})
        run.save_checkpoint(1, {"x": torch.ones(3)})
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
        try:
            run.save_checkpoint(2, {"x": torch.zeros(100_000)})
        except DiskError as error:
            pipe.send(str(error))
        try:
            run.events.append({"step": 2, "text": "x" * 50_000})
        except DiskError as error:
            pipe.send(str(error))
        run.events.append({"step": 3})
        pipe.send("done")


def test_a_full_disk_is_told_and_loses_nothing(tmp_path):
    with process(fill_the_disk, tmp_path) as (_, pipe):
        for name in ("checkpoints", "events.jsonl"):
            said = pipe.recv()
            assert said.startswith(f"No room left to write {tmp_path / name}")
            assert "--resume" in said
        assert pipe.recv() == "done"
    assert steps_logged(tmp_path) == [1, 3]
    assert not list((tmp_path / "checkpoints").glob(".*.tmp"))
    with open_run(tmp_path, resume=True) as run:
        assert run.load_checkpoint().step == 1


def hold(pipe, out):
    with open_run(out) as run:
        run.write_config({})
        pipe.send("open")
        pipe.recv()


def test_one_process_at_a_time_and_a_kill_lets_go(tmp_path):
    with process(hold, tmp_path) as (child, pipe):
        assert pipe.recv() == "open"
        with (
            pytest.raises(RunError, match=rf"in use by another xbind \(process {child.pid}\)"),
            open_run(tmp_path, resume=True),
        ):
            pass
        os.kill(child.pid, signal.SIGKILL)
        child.join()
    with open_run(tmp_path, resume=True):
        pass


def test_a_folder_that_holds_a_run_is_not_taken_unasked(tmp_path):
    start_run(tmp_path, steps=1)
    with pytest.raises(RunError, match=r"already holds a run(?s:.*)--resume(?s:.*)--overwrite"):
        open_run(tmp_path).__enter__()
    assert steps_logged(tmp_path) == [1]


def test_overwrite_removes_the_run_and_nothing_else(tmp_path):
    start_run(tmp_path, steps=1)
    (tmp_path / "mine.txt").write_text("kept")
    (tmp_path / "mesh.glb").write_text("old")
    with open_run(tmp_path, overwrite=True) as run:
        assert len(run.events) == 0
        assert run.load_checkpoint() is None
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        *(".lock", "checkpoints", "events.jsonl", "mine.txt"),
    ]


@pytest.mark.parametrize("again", [{}, {"overwrite": True}])
def test_checkpoints_of_another_run_are_never_taken(tmp_path, again):
    """A removal that was cut short, or a config.json that is lost, leaves checkpoints behind."""
    start_run(tmp_path, steps=3)
    (tmp_path / "config.json").unlink()
    with open_run(tmp_path, **again) as run:
        run.write_config({"seed": 4})
    with open_run(tmp_path, resume=True) as run:
        assert run.load_checkpoint() is None


def test_a_removal_that_is_cut_short_leaves_the_old_run_or_none(tmp_path, monkeypatch):
    start_run(tmp_path, steps=3)
    (tmp_path / "mesh.glb").write_text("old")

    def killed(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.unlink", killed)
    with pytest.raises(KeyboardInterrupt):
        open_run(tmp_path, overwrite=True).__enter__()
    monkeypatch.undo()
    with open_run(tmp_path, resume=True) as run:
        assert run.read_config() == {"seed": 3}
        assert run.load_checkpoint() is None


def test_overwrite_of_a_folder_without_a_run_removes_nothing(tmp_path):
    (tmp_path / "mesh.glb").write_text("somebody's")
    with open_run(tmp_path, overwrite=True):
        pass
    assert (tmp_path / "mesh.glb").read_text() == "somebody's"


def test_resume_without_a_run_is_refused_and_makes_nothing(tmp_path):
    with pytest.raises(RunError, match="no run in"):
        open_run(tmp_path / "new", resume=True).__enter__()
    assert not (tmp_path / "new").exists()


def test_too_little_room_is_refused_before_work(tmp_path):
    with pytest.raises(RunError, match=r"free; a run needs 1024\.0 TiB"):
        open_run(tmp_path, needed_bytes=2**50).__enter__()


@pytest.mark.parametrize("out", ["/proc/xbind", "/dev/null/xbind", "{file}"])
def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path, out):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" if out == "{file}" else Path(out)
    with pytest.raises(DiskError, match=r"Cannot write(?s:.*)--out"):
        open_run(path).__enter__()


def test_config_survives_and_damage_is_told(tmp_path):
    with open_run(tmp_path) as run:
        run.write_config({"out": tmp_path, "text": "ein grüner Becher", "weights": (1.0, 2.0)})
        assert run.read_config() == {
            "out": str(tmp_path),
            "text": "ein grüner Becher",
            "weights": [1.0, 2.0],
        }
        (tmp_path / "config.json").write_text('{"out": ')
        with pytest.raises(RunError, match="cannot be read"):
            run.read_config()


@pytest.mark.parametrize("value", [np.float64(1.0), np.zeros(2), Counter("aa"), Path("a"), {1, 2}])
def test_a_state_that_could_not_be_read_back_is_a_bug_at_once(tmp_path, value):
    with open_run(tmp_path) as run, pytest.raises(TypeError, match=r"state\['a'\]\[1\] is a "):
        run.save_checkpoint(1, {"a": [1, value]})


def test_save_image_writes_rounded_pixels(tmp_path):
    image = torch.tensor([[[0.0, 1.0]], [[0.5, 2.0]], [[-1.0, 0.25]]])
    with open_run(tmp_path) as run:
        path = run.save_image("previews/a.png", image)
    with Image.open(path) as picture:
        assert [picture.getpixel((x, 0)) for x in (0, 1)] == [(0, 128, 0), (255, 255, 64)]


def test_a_torn_last_line_is_dropped_and_written_again(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2}\n{"st')
    assert [record["step"] for record in read_events(path)] == [1, 2]
    with EventLog(path) as log:
        assert len(log) == 2
        log.append({"step": 3})
    assert path.read_bytes() == b'{"step": 1}\n{"step": 2}\n{"step": 3}\n'


def test_rewind_keeps_the_first_records(tmp_path):
    with EventLog(tmp_path / "events.jsonl") as log:
        for step in range(5):
            log.append({"step": step, "text": "ü\n"})
        log.rewind(3)
        log.append({"step": 9})
        log.rewind(100)
        assert len(log) == 4
    assert steps_logged(tmp_path) == [0, 1, 2, 9]


def test_events_are_strict_json_whatever_the_loss(tmp_path):
    path = tmp_path / "events.jsonl"
    with EventLog(path) as log:
        log.append({"terms": {"sds": float("nan"), "ms": -float("inf")}, "list": [1e-9]})
    text = path.read_text()
    record = json.loads(text, parse_constant=lambda word: pytest.fail(f"not JSON: {word}"))
    assert record == {"terms": {"sds": "nan", "ms": "-inf"}, "list": [1e-9]}


def test_a_damaged_line_in_the_middle_is_named(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"step": 1}\n{"st\n{"step": 3}\n')
    with pytest.raises(Exception, match="line 2 is damaged"):
        list(read_events(path))


def test_atomic_write_keeps_the_old_file_when_the_disk_refuses(tmp_path, monkeypatch):
    path = tmp_path / "a"
    atomic_write(path, b"old")

    def refuse(descriptor):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("xbind.files.os.fsync", refuse)
    with pytest.raises(DiskError, match="No room left"):
        atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
