"""The training of all priors in a given time: its commands, its clock, and a whole run on a CPU."""

import json
import sys
import time
from pathlib import Path

import pytest
import torch

from xbind.mini.train import audio, parts, timed
from xbind.mini.train.__main__ import _parser
from xbind.mini.train.__main__ import main as trainer
from xbind.mini.train.lengths import samples_seen
from xbind.mini.train.loop import averaged
from xbind.mini.train.timed import SHARES, Timed, main, run_together, train_all

TRAINER = (sys.executable, "-P", "-m", "xbind.mini.train")


def in_this_process(commands, seconds):
    """Does the commands one after the other."""
    assert seconds > 0
    threads = torch.get_num_threads()
    for command in commands:
        assert command[:4] == TRAINER
        trainer(command[4:])
    torch.set_num_threads(threads)
    return [0] * len(commands)


def given(tmp_path, **changes):
    options = {
        "out": tmp_path / "out",
        "work": tmp_path,
        "start": None,
        "parts": tuple(SHARES),
        "objects": 17,
        "workers": 2,
        "batch": 8,
        "device": "cuda",
        "steps": None,
    }
    return Timed(**options | changes)


def test_a_tiny_world_is_rendered_encoded_and_trained_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(parts, "HELD_OUT_OBJECTS", 17)
    monkeypatch.setattr(audio, "CLIPS", audio.HELD_OUT_CLIPS + 1)
    words = ["--device", "cpu", "--objects", "34", "--workers", "1", "--batch", "4", "--steps", "3",
             "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]  # fmt: skip
    main(words, in_this_process)
    printed = capsys.readouterr().out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"{p}.pt" for p in SHARES}
    first = {}
    for part in SHARES:
        state = torch.load(tmp_path / f"work/{part}.pt", weights_only=True)
        half = tmp_path / f"out/{part}.pt"
        first[part] = samples_seen(part, torch.load(half, weights_only=True))
        assert first[part] == samples_seen(part, state)
        assert half.stat().st_size < 16 * 2**20
        for name, value in averaged(half).items():
            torch.testing.assert_close(value, state["ema"][name].half(), rtol=0, atol=0)
        log = (tmp_path / f"work/{part}.jsonl").read_text()
        assert f"{part}:\n{log}" in printed
    again = [*words, "--parts", "unclip", "--start", str(tmp_path / "out")]
    started = []

    def note(commands, seconds):
        started.extend(command[4] for command in commands)
        return in_this_process(commands, seconds)

    main(again, note)
    assert started == ["unclip"]  # the world is there
    state = torch.load(tmp_path / "work/unclip.pt", weights_only=True)
    assert samples_seen("unclip", state) == first["unclip"] + 3 * 4
    assert state["step"] - state["fresh"] == 3  # the weights that were given have no optimiser


def test_every_command_has_words_that_exist(tmp_path):
    call = given(tmp_path, batch=2048)
    commands = [command for group in call.preparation() for command in group]
    commands += [call.training(part, 60.0, v) for part in SHARES for v in timed.VARIANTS]
    parsed = [vars(_parser().parse_args(command[4:])) for command in commands]
    assert [words["part"] for words in parsed[:4]] == ["world", "sounds", "unpack", "encode"]
    for words in parsed:
        taken = {name for name, value in words.items() if value is not None and name in parts.TAKEN}
        assert all(words["part"] in parts.TAKEN[name] for name in taken)
    assert parsed[4]["minutes"] == 1.0
    assert (parsed[4]["compile"], parsed[4]["cuda_graph"]) == (None, None)
    assert (parsed[6]["compile"], parsed[6]["cuda_graph"]) == (False, False)
    assert parsed[4]["save_every"] <= 60


def test_checkpoints_that_are_there_are_not_unpacked_over(tmp_path):
    (tmp_path / "unclip.pt").touch()
    names = [command[4] for group in given(tmp_path).preparation() for command in group]
    assert names == ["world", "sounds", "encode"]


class Clock:
    """Time that passes only while commands run."""

    def __init__(self, monkeypatch, outcomes=()):
        self.now, self.calls, self.outcomes = 0.0, [], list(outcomes)
        monkeypatch.setattr(timed.time, "monotonic", lambda: self.now)

    def run(self, commands, seconds):
        ((_, _, _, _, part, *words),) = commands
        options = vars(_parser().parse_args([part, *words]))
        status, spent = self.outcomes.pop(0) if self.outcomes else (0, None)
        self.now += 60 * options["minutes"] + 10 if spent is None else spent
        self.calls.append((part, options["cuda_graph"], options["compile"], options["minutes"]))
        assert seconds >= 60 * options["minutes"] + timed.START_S
        return [status]


def test_the_time_is_shared_and_kept(tmp_path, monkeypatch):
    clock = Clock(monkeypatch)
    assert train_all(given(tmp_path), 400.0, clock.run) == []
    assert [part for part, *_ in clock.calls] == list(SHARES)
    minutes = [call[-1] for call in clock.calls]
    assert minutes[0] == pytest.approx((160 - timed.START_S) / 60, abs=1e-3)
    assert minutes[1] == pytest.approx(minutes[0], abs=0.2)
    assert 385 <= clock.now <= 400


def test_what_fails_is_begun_again_in_a_simpler_way(tmp_path, monkeypatch, capsys):
    outcomes = [(1, 20.0), (-11, 20.0), (0, None), (-9, None), (1, 5.0), (1, 5.0), (1, 5.0)]
    clock = Clock(monkeypatch, outcomes)
    assert train_all(given(tmp_path), 600.0, clock.run) == ["zero123", "zero123_narrow"]
    variants = [(None, None), (False, None), (False, False)]
    assert [call[:3] for call in clock.calls] == [
        *(("unclip", *v) for v in variants), ("zero123", None, None),
        *(("zero123_narrow", *v) for v in variants),
    ]  # fmt: skip
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["status"] for row in rows] == [1, -11, 0, -9, 1, 1, 1]


def test_a_prior_without_time_is_left_out(tmp_path, monkeypatch, capsys):
    clock = Clock(monkeypatch)
    assert train_all(given(tmp_path), 90.0, clock.run) == ["unclip"]
    assert '"left out": "unclip"' in capsys.readouterr().out
    assert [part for part, *_ in clock.calls] == list(SHARES)[1:]


def test_commands_are_killed_with_their_children_at_the_limit(tmp_path):
    pid, child, parent = (tmp_path / name for name in ("pid", "child.py", "parent.py"))
    child.write_text(
        "import os, pathlib, time\n"
        f"pathlib.Path({str(pid)!r}).write_text(str(os.getpid()))\ntime.sleep(60)"
    )
    parent.write_text(f"import subprocess, sys\nsubprocess.run([sys.executable, {str(child)!r}])")
    start = time.monotonic()
    ends = (sys.executable, "-c", "raise SystemExit(3)")
    statuses = run_together([(sys.executable, str(parent)), ends], 4.0)
    assert statuses == [-9, 3]
    assert time.monotonic() - start < 30
    stat = Path(f"/proc/{pid.read_text()}/stat")
    while stat.exists() and stat.read_text().split()[2] != "Z":
        assert time.monotonic() - start < 30
        time.sleep(0.1)


def test_what_cannot_work_is_refused_before_the_world_is_rendered(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    words = ["--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit, match="finds no CUDA device"):
        main(words, None)
    with pytest.raises(SystemExit, match=r"has none of unclip\.pt, .*\nGive the --out of an"):
        main([*words, "--device", "cpu", "--start", str(tmp_path)], None)
    for option in ("--out", "--start"):
        with pytest.raises(SystemExit, match=rf"{option} .* is the folder of --work"):
            main([*words, "--device", "cpu", "--work", str(tmp_path / "w"),
                  option, str(tmp_path / "w")], None)  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_without_a_world_nothing_is_trained(tmp_path):
    words = ["--device", "cpu", "--out", str(tmp_path / "out"), "--work", str(tmp_path)]
    with pytest.raises(SystemExit, match="not rendered and encoded"):
        main(words, lambda commands, seconds: [1] * len(commands))
    assert not (tmp_path / timed.MARK).exists()


def test_a_larger_2d_prior_is_trained_alone_on_the_vae_that_is_given(tmp_path, monkeypatch):
    start, started = tmp_path / "start", []
    start.mkdir()
    words = ["--device", "cpu", "--size", "128", "--out", str(tmp_path / "out"),
             "--work", str(tmp_path / "work"), "--start", str(start)]  # fmt: skip
    with pytest.raises(SystemExit, match=r"none of unclip\.pt"):
        main(words, in_this_process)
    (start / "unclip.pt").touch()
    with pytest.raises(SystemExit, match=r"--size 128 needs the vae_folded\.pt .*\n.*--start"):
        main(words, in_this_process)
    (start / "unclip.pt").unlink()
    (start / "vae_folded.pt").write_bytes(b"of that size")

    def note(commands, seconds):
        assert (tmp_path / "work/vae_folded.pt").read_bytes() == b"of that size"
        for command in commands:
            vars(_parser().parse_args(command[4:]))
            started.append(command[4])
        if started == ["world", "sounds"]:
            assert commands[0][-4:] == ("--size", "128", "--detail", "2")
        return [0] * len(commands)

    main(words, note)
    assert started == ["world", "sounds", "unpack", "encode", "unclip"]
