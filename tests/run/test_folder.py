"""The run folder: what is there after a kill, a full disk, a flipped byte, a second process."""

import json
import multiprocessing
import os
import resource
import signal
import tempfile
import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import xbind.files
from tests.support.run_files import CONFIG, events_of, write_config
from xbind.files import DiskError, atomic_write
from xbind.run.checks import RunError, check_folder, read_run_config
from xbind.run.events import EventLog, read_events
from xbind.run.folder import resume_run, start_run
from xbind.run.resuming import started_config


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


def make_run(out, steps=0):
    with start_run(out, CONFIG) as run:
        for step in range(1, steps + 1):
            run.events.append({"step": step})
            run.save_checkpoint(step, {"step": step, "x": torch.full((4,), float(step))})


def steps_logged(out):
    return [record["step"] for record in events_of(out)]


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
    with start_run(tmp_path, CONFIG) as run:
        run.events.append({"step": 1})
        run.save_checkpoint(1, state)
        run.events.append({"step": 2})
    assert steps_logged(tmp_path) == [1, 2]
    with resume_run(tmp_path) as run:
        loaded = run.load_checkpoint()
        assert loaded.step == 1
        assert loaded.warnings == ()
        assert torch.equal(loaded.state["x"], state["x"])
        assert torch.equal(loaded.state["nested"]["rng"], state["nested"]["rng"])
        assert loaded.state["nested"]["list"] == state["nested"]["list"]
        run.events.append({"step": 2})
    assert steps_logged(tmp_path) == [1, 2]


def test_the_last_two_checkpoints_stay(tmp_path):
    make_run(tmp_path, steps=12)
    kept = sorted(path.name.split(".")[0] for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["00000011", "00000012"]


def test_resume_before_the_first_checkpoint_starts_anew(tmp_path):
    with start_run(tmp_path, CONFIG) as run:
        run.events.append({"step": 1})
    with resume_run(tmp_path) as run:
        assert run.load_checkpoint() is None
    assert steps_logged(tmp_path) == []


@pytest.mark.parametrize("at", [0, 200, -1])
def test_a_flipped_byte_is_found_and_the_checkpoint_before_is_used_aloud(tmp_path, at):
    make_run(tmp_path, steps=3)
    bad = newest(tmp_path)
    flip_a_byte(bad, at)
    with resume_run(tmp_path) as run:
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
    with resume_run(tmp_path) as run:
        assert run.load_checkpoint().step == 4


def test_all_checkpoints_damaged_is_refused_with_the_way_out(tmp_path):
    make_run(tmp_path, steps=2)
    for path in (tmp_path / "checkpoints").iterdir():
        flip_a_byte(path, 100)
    with (
        resume_run(tmp_path) as run,
        pytest.raises(RunError, match=r"(?s)No checkpoint .* whole.*--overwrite"),
    ):
        run.load_checkpoint()


def test_a_truncated_checkpoint_is_found(tmp_path):
    make_run(tmp_path, steps=2)
    bad = newest(tmp_path)
    bad.write_bytes(bad.read_bytes()[:-100])
    with resume_run(tmp_path) as run:
        assert run.load_checkpoint().step == 1


def save_and_hang(pipe, out):
    with start_run(out, CONFIG) as run:
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
    with resume_run(tmp_path) as run:
        assert run.load_checkpoint().step == 1
    assert steps_logged(tmp_path) == [1]
    assert not list((tmp_path / "checkpoints").glob(".*.tmp"))


def fill_the_disk(pipe, out):
    with start_run(out, CONFIG) as run:
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
    with resume_run(tmp_path) as run:
        assert run.load_checkpoint().step == 1


def hold(pipe, out):
    with start_run(out, CONFIG):
        pipe.send("open")
        pipe.recv()


def test_one_process_at_a_time_and_a_kill_lets_go(tmp_path):
    with process(hold, tmp_path) as (child, pipe):
        assert pipe.recv() == "open"
        with (
            pytest.raises(RunError, match=rf"in use by another xbind \(process {child.pid}\)"),
            resume_run(tmp_path),
        ):
            pass
        os.kill(child.pid, signal.SIGKILL)
        child.join()
    with resume_run(tmp_path):
        pass


def test_a_folder_that_holds_a_run_is_not_taken_unasked(tmp_path):
    make_run(tmp_path, steps=1)
    with pytest.raises(RunError, match=r"already holds a run(?s:.*)--resume(?s:.*)--overwrite"):
        start_run(tmp_path, CONFIG).__enter__()
    assert steps_logged(tmp_path) == [1]


def test_overwrite_removes_the_run_and_nothing_else(tmp_path):
    make_run(tmp_path, steps=1)
    kept = ["mine.txt", "checkpoints/mine.pt", "previews/mine.png"]
    (tmp_path / "previews").mkdir()
    for name in (*kept, "mesh.glb", "previews/coarse_00012.png", "events.damaged.jsonl"):
        (tmp_path / name).write_text(name)
    with start_run(tmp_path, CONFIG, overwrite=True) as run:
        assert len(run.events) == 0
        assert run.load_checkpoint() is None
    left = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert left == {".lock", "config.json", "events.jsonl", *kept}


OTHER = CONFIG | {"seed": 4}


def test_checkpoints_of_another_run_are_never_taken(tmp_path):
    """config.json that is lost leaves checkpoints behind; so does a copy into another folder."""
    make_run(tmp_path, steps=3)
    (tmp_path / "config.json").unlink()
    with pytest.raises(RunError, match=r"has no config\.json, but holds(?s:.*)checkpoints"):
        start_run(tmp_path, OTHER).__enter__()
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2
    strangers = [(p.name, p.read_bytes()) for p in (tmp_path / "checkpoints").iterdir()]
    with start_run(tmp_path, OTHER, overwrite=True) as run:
        assert steps_logged(tmp_path) == []
        run.save_checkpoint(1, {"step": "own"})
    for name, data in strangers:
        (tmp_path / "checkpoints" / name).write_bytes(data)
    with resume_run(tmp_path) as run:
        loaded = run.load_checkpoint()
        assert loaded.state == {"step": "own"}
        assert all(name in loaded.warnings[0] for name, _ in strangers)
        run.save_checkpoint(2, {"step": "own"})
    write_config(tmp_path, CONFIG)
    with resume_run(tmp_path) as run, pytest.raises(RunError, match="whole and of this run"):
        run.load_checkpoint()


@pytest.mark.parametrize("at", range(8))
def test_a_start_that_is_cut_short_leaves_the_old_run_or_the_new_one(tmp_path, monkeypatch, at):
    """Killed at every removal and at the replacement of config.json."""
    make_run(tmp_path, steps=3)
    (tmp_path / "mesh.glb").write_text("old")
    removals = []

    class Killed(BaseException):
        pass

    def counted(function):
        def call(path, *arguments, **options):
            if path.name.endswith((".pt", ".glb", ".jsonl")) or arguments:
                removals.append(path)
                if len(removals) > at:
                    raise Killed
            return function(path, *arguments, **options)

        return call

    for name in ("unlink", "replace"):
        monkeypatch.setattr(Path, name, counted(getattr(Path, name)))
    try:
        with start_run(tmp_path, OTHER, overwrite=True):
            pass
    except Killed:
        pass
    monkeypatch.undo()
    with resume_run(tmp_path) as run:
        seed, loaded = run.read_config()["seed"], run.load_checkpoint()
        assert seed in (3, 4)
        assert loaded is None or (seed == 3 and loaded.state["step"] in (2, 3))
    assert seed == 3 or not (tmp_path / "mesh.glb").exists()
    assert len(removals) > at or seed == 4


@pytest.mark.parametrize("name", ["mesh.glb", "reference.png", "events.jsonl", "previews/a.png"])
def test_files_that_a_run_would_replace_are_not_taken_unasked(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("somebody's")
    with pytest.raises(RunError, match=rf"{name.split('/')[0]}\.\n.*--overwrite"):
        start_run(tmp_path, CONFIG).__enter__()
    assert (tmp_path / name).read_text() == "somebody's"
    with start_run(tmp_path, CONFIG, overwrite=True):
        pass
    assert (tmp_path / name).exists() == (name in ("events.jsonl", "previews/a.png"))


@pytest.mark.parametrize("mode", ["start", "resume", "check"])
def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path, mode):
    theirs, out = tmp_path / "theirs.txt", tmp_path / "out"
    theirs.write_text("somebody's")
    make_run(out, steps=1)
    (out / ".lock").unlink()
    (out / ".lock").symlink_to(theirs)
    opened = {
        "start": lambda: start_run(out, CONFIG, overwrite=True).__enter__(),
        "resume": lambda: resume_run(out).__enter__(),
        "check": lambda: check_folder(out, resume=True, overwrite=False),
    }[mode]
    with pytest.raises(RunError, match="symbolic link"):
        opened()
    assert theirs.read_text() == "somebody's"
    assert steps_logged(out) == [1]


def test_links_are_removed_and_what_they_name_stays(tmp_path):
    out, disk = tmp_path / "out", tmp_path / "bigger disk"
    make_run(out, steps=2)
    (out / "checkpoints").rename(disk)
    (out / "checkpoints").symlink_to(disk)
    (out / "events.jsonl").rename(tmp_path / "log")
    (out / "events.jsonl").symlink_to(tmp_path / "log")
    before = {p: p.read_bytes() for p in (*disk.iterdir(), tmp_path / "log")}
    with pytest.raises(RunError, match=r"symbolic link(?s:.*)link the whole folder"):
        resume_run(out).__enter__()
    with start_run(out, CONFIG, overwrite=True) as run:
        assert str(disk) in run.warnings[0]
        run.events.append({"step": 1})
        for step in (1, 2, 3):
            run.save_checkpoint(step, {})
    assert {p: p.read_bytes() for p in before} == before
    assert len(list(disk.iterdir())) == 2
    assert not (out / "checkpoints").is_symlink()


def test_a_link_with_the_name_of_a_temporary_file_is_not_written_through(tmp_path, monkeypatch):
    theirs = tmp_path / "theirs"
    theirs.write_text("somebody's")
    monkeypatch.setattr("os.urandom", bytes)
    (tmp_path / ".a.00000000.tmp").symlink_to(theirs)
    with pytest.raises(DiskError, match="File exists"):
        atomic_write(tmp_path / "a", b"new")
    assert theirs.read_text() == "somebody's"


@pytest.mark.parametrize("name", ["mesh.glb", "config.json", "events.jsonl"])
def test_what_cannot_be_removed_is_refused_before_anything_is(tmp_path, name):
    make_run(tmp_path, steps=1)
    (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / name).mkdir()
    (tmp_path / "report.html").write_text("old")
    with pytest.raises(RunError, match=f"{name} is a folder"):
        start_run(tmp_path, CONFIG, overwrite=True).__enter__()
    assert (tmp_path / "report.html").exists()


def test_settings_that_are_no_text_cost_nothing(tmp_path):
    make_run(tmp_path, steps=1)
    with pytest.raises(UnicodeEncodeError):
        start_run(tmp_path, CONFIG | {"preset": "\udcff"}, overwrite=True).__enter__()
    assert steps_logged(tmp_path) == [1]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"12\n34", b"x" * 10_000])
def test_a_lock_file_of_any_content(tmp_path, content):
    tmp_path.joinpath(".lock").write_bytes(content)
    with start_run(tmp_path, CONFIG):
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"
        (tmp_path / ".lock").write_bytes(content)
        with pytest.raises(RunError, match="in use by another xbind"):
            check_folder(tmp_path, resume=True, overwrite=False)


def test_resume_without_a_run_is_refused_and_makes_nothing(tmp_path):
    with pytest.raises(RunError, match="no run in"):
        resume_run(tmp_path / "new").__enter__()
    assert not (tmp_path / "new").exists()


def test_too_little_room_is_refused_before_work(tmp_path):
    with pytest.raises(RunError, match=r"free; a run needs 1024\.0 TiB"):
        start_run(tmp_path, CONFIG, needed_bytes=2**50).__enter__()


@pytest.mark.parametrize("out", ["/proc/xbind", "/dev/null/xbind", "{file}"])
def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path, out):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" if out == "{file}" else Path(out)
    with pytest.raises(DiskError, match=r"Cannot write(?s:.*)--out"):
        start_run(path, CONFIG).__enter__()


def test_config_survives_and_any_flipped_bit_is_told(tmp_path):
    config = CONFIG | {"out": tmp_path, "text": "ein grüner Becher", "weights": (1.0, 2.0)}
    with start_run(tmp_path, config) as run:
        run.settle(files={"height": None})
        assert run.read_config() == CONFIG | {
            "out": str(tmp_path),
            "text": "ein grüner Becher",
            "weights": [1.0, 2.0],
            "files": {"height": None},
        }
        whole, told = (tmp_path / "config.json").read_bytes(), 0
        for at in range(len(whole)):
            flip_a_byte(tmp_path / "config.json", at)
            try:
                held = run.read_config()
            except RunError:
                told += 1
            else:  # the name of the checksum itself, or white space
                assert {k: held[k] for k in CONFIG} == CONFIG
            (tmp_path / "config.json").write_bytes(whole)
        assert told > 0.8 * len(whole)


@pytest.mark.parametrize(
    "content",
    ["[]", "3", "null", '"a"', "{}", "[" * 100_000, '{"prompt": 3}', "{", "", "NaN", "\udcff",
     *(json.dumps(CONFIG | change) for change in (
        {"seed": "x"}, {"seed": True}, {"method": []}, {"without": {}}, {"files": 3}, {"engine": 1},
        {"from_phase1": 3}, {"threads": "2"}, {"understood": []}, {"prompt": {"text": 5}},
        {"without": [3]}, {"vram": "1"}, {"preset": None}))],
)  # fmt: skip
def test_config_of_the_wrong_shape_is_refused_in_words(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(RunError, match="cannot be read"):
        started_config(tmp_path)
    if '"text": 5' not in content and "[3]" not in content:  # only the prompt's own checks see them
        with pytest.raises(RunError, match="cannot be read"):
            read_run_config(tmp_path)


@pytest.mark.parametrize("value", [np.float64(1.0), np.zeros(2), Counter("aa"), Path("a"), {1, 2}])
def test_a_state_that_could_not_be_read_back_is_a_bug_at_once(tmp_path, value):
    with (
        start_run(tmp_path, CONFIG) as run,
        pytest.raises(TypeError, match=r"\['state'\]\['a'\]\[1\] is a "),
    ):
        run.save_checkpoint(1, {"a": [1, value]})


def test_save_image_writes_rounded_pixels(tmp_path):
    image = torch.tensor([[[0.0, 1.0]], [[0.5, 2.0]], [[-1.0, 0.25]]])
    with start_run(tmp_path, CONFIG) as run:
        path = run.save_image("previews/a.png", image)
    with Image.open(path) as picture:
        assert [picture.getpixel((x, 0)) for x in (0, 1)] == [(0, 128, 0), (255, 255, 64)]


def test_a_torn_last_line_is_dropped_and_written_again(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2}\n{"st')
    assert [record["step"] for record in read_events(path).records] == [1, 2]
    with EventLog(path) as log:
        assert len(log) == 2
        log.append({"step": 3})
    assert steps_logged(tmp_path) == [1, 2, 3]


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
    assert record.pop("checksum")
    assert record == {"terms": {"sds": "nan", "ms": "-inf"}, "list": [1e-9]}


def fill(path, count=12):
    with EventLog(path) as log:
        for step in range(1, count + 1):
            log.append({"phase": "coarse", "step": step, "sds": 1 / step, "text": "ü"})
        return log.checksum


def test_any_flipped_byte_of_a_log_is_found(tmp_path):
    path = tmp_path / "events.jsonl"
    checksum = fill(path)
    whole, records = path.read_bytes(), read_events(path).records
    for at in range(len(whole)):
        flip_a_byte(path, at)
        with EventLog(path) as log:
            told = log.rewind(12, checksum)
            kept = read_events(path)
            assert kept.damage is None
            assert kept.records == records[: len(log)]
            assert len(log) == whole[:at].count(b"\n")
            assert "events.jsonl" in told
        path.write_bytes(whole)


@pytest.mark.parametrize("damage", ["lost", "doubled", "swapped", "cut", "other"])
def test_lines_that_are_whole_but_not_those_of_the_run_are_found(tmp_path, damage):
    path = tmp_path / "events.jsonl"
    checksum = fill(path)
    lines = path.read_bytes().splitlines(keepends=True)
    if damage == "other":
        path.unlink()
        with EventLog(path) as log:
            for step in range(12):
                log.append({"step": step})
    else:
        changed = {
            "lost": lines[:5] + lines[6:],
            "doubled": lines[:5] + lines[4:],
            "swapped": [*lines[:4], lines[5], lines[4], *lines[6:]],
            "cut": lines[:5],
        }[damage]
        path.write_bytes(b"".join(changed))
    damaged = path.read_bytes()
    with EventLog(path) as log:
        told = log.rewind(12, checksum)
        assert len(log) == {"swapped": 4, "other": 0}.get(damage, 5)
        log.append({"step": 13})
    assert f"record {len(log) - 1}" in told
    assert read_events(path).damage is None
    if damage == "cut":  # nothing is dropped, so nothing is kept aside
        assert not (tmp_path / "events.damaged.jsonl").exists()
    else:
        assert (tmp_path / "events.damaged.jsonl").read_bytes() == damaged


def test_a_damaged_log_is_told_when_the_run_goes_on_and_costs_no_step(tmp_path):
    make_run(tmp_path, steps=3)
    flip_a_byte(tmp_path / "events.jsonl", 2)
    with resume_run(tmp_path) as run:
        loaded = run.load_checkpoint()
        assert loaded.step == 3
        assert "line 1 is damaged" in loaded.warnings[0]
        run.events.append({"step": 4})
        run.save_checkpoint(4, {})
    with resume_run(tmp_path) as run:
        assert run.load_checkpoint().warnings == ()
    assert steps_logged(tmp_path) == [4]


def test_a_log_from_before_there_were_checksums_goes_on(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2}\n{"step": 3}\n')
    with EventLog(path) as log:
        assert log.rewind(2) is None
        log.append({"step": 9})
        log.append({"step": 10})
    assert steps_logged(tmp_path) == [1, 2, 9, 10]
    flip_a_byte(path, 2)
    assert read_events(path).damaged_line == 1  # the first checksum covers the lines before it


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


def test_a_folder_that_another_run_has_taken_is_left_to_it(tmp_path, monkeypatch):
    """Both found no folder; the other one starts while this one checks that it can write."""
    out = tmp_path / "a" / "run"

    def another_starts(*, dir):
        (dir / "config.json").write_text("{}")
        return real(dir=dir)

    real = tempfile.TemporaryFile
    monkeypatch.setattr("tempfile.TemporaryFile", another_starts)
    check_folder(out, resume=False, overwrite=False)
    assert [path.name for path in out.iterdir()] == ["config.json"]


def test_a_folder_that_another_check_removes_is_made_again(tmp_path, monkeypatch):
    out, removed = tmp_path / "run", []

    def once_removed(real):
        def act(*arguments, **options):
            if not removed and out.is_dir():
                removed.append(1)
                out.rmdir()
            return real(*arguments, **options)

        return act

    with monkeypatch.context() as patched:
        patched.setattr("tempfile.TemporaryFile", once_removed(tempfile.TemporaryFile))
        check_folder(out, resume=False, overwrite=False)
    assert removed.pop()
    assert not out.exists()
    with monkeypatch.context() as patched:
        patched.setattr("os.open", once_removed(os.open))
        with start_run(out, CONFIG):
            assert removed
