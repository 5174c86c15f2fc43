"""The list of what only a GPU can show: limits, budget, failures; nothing needs a GPU here."""

import importlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import tyro
from PIL import Image

from xbind.bench import bench_kernels, bench_rasterizer, bench_real_steps
from xbind.bench.config import BenchConfig
from xbind.bench.on_a_card import Task, draw_prompt, run, run_all, tasks
from xbind.cli.main import parse
from xbind.conditioning.background import cut_out
from xbind.mini.train import timed


def python(code):
    return (sys.executable, "-c", code)


def test_a_task_that_fails_or_takes_too_long_does_not_stop_the_others(tmp_path):
    wanted = [
        Task("fails", "", python("import sys; print('why'); sys.exit(3)"), 30),
        Task("hangs", "", python("import time; time.sleep(60)"), 1),
        Task("passes", "", python("print('done')"), 30),
    ]
    results = run_all(wanted, tmp_path, 120)
    assert [r["passed"] for r in results] == [False, False, True]
    assert [r["status"] for r in results] == [3, -9, 0]
    assert results[1]["seconds"] < 10
    assert (tmp_path / "fails.log").read_text() == "why\n"
    lines = (tmp_path / "tasks.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == results


def test_the_budget_is_kept_by_leaving_tasks_out(tmp_path):
    wanted = [Task("long", "", python("0"), 100), Task("short", "", python("0"), 20)]
    results = run_all(wanted, tmp_path, 50)
    assert [r["passed"] for r in results] == [None, True]
    assert results[0]["why"] == "50 s are left, and it may take 100"


@pytest.mark.parametrize(
    ("end", "passed"),
    [("sys.exit(1)", True), ("sys.exit(0)", False), ("os.kill(os.getpid(), 9)", False)],
)
def test_an_interrupted_task_has_to_end_by_itself(end, passed, tmp_path):
    events = tmp_path / "events.jsonl"
    code = (
        "import os, signal, sys, time\n"
        f"signal.signal(signal.SIGTERM, lambda *_: {end.replace('sys.exit', 'os._exit')})\n"
        f"open({str(events)!r}, 'w').write('line\\n' * 20)\n"
        "time.sleep(60)"
    )
    task = Task("stopped", "", python(code), 30, interrupt_at=events)
    result = run(task, tmp_path, tmp_path / "log")
    assert result["passed"] is passed
    assert result["seconds_after_sigterm"] < 10


def test_a_run_that_ends_before_it_is_interrupted_has_shown_nothing(tmp_path):
    task = Task("stopped", "", python("0"), 30, interrupt_at=tmp_path / "events.jsonl")
    assert run(task, tmp_path, tmp_path / "log")["passed"] is False


def test_what_matters_most_fits_into_ten_minutes(tmp_path):
    known = tasks(tmp_path)
    names = [task.name for task in known]
    assert len(set(names)) == len(names)
    assert sum(task.limit_s for task in known[: names.index("steps") + 1]) <= 600


def test_the_training_ends_within_its_limit(tmp_path):
    (task,) = (task for task in tasks(tmp_path) if task.name == "train")
    minutes = float(task.command[task.command.index("--minutes") + 1])
    assert 60 * minutes + timed.GRACE_S < task.limit_s < 600


def test_every_command_has_words_that_exist(tmp_path, monkeypatch):
    parsers = {
        "xbind": parse,
        "xbind-bench": lambda words: tyro.cli(BenchConfig, args=words),
        "bench/bench_real_steps.py": lambda _: bench_real_steps._parse(),
        "bench/bench_kernels.py": lambda _: bench_kernels._parse(),
        "bench/bench_rasterizer.py": lambda _: bench_rasterizer._parse(),
        "-m": lambda words: importlib.import_module(words[0])._parser().parse_args(words[1:]),
        "pytest": lambda words: [Path(word).resolve(strict=True) for word in words
                                 if word.startswith("tests/")],
    }  # fmt: skip
    for task in tasks(tmp_path):
        words = list(task.command)
        if words[:2] == [sys.executable, "-P"]:
            words = words[2:]
        monkeypatch.setattr(sys, "argv", words)
        assert parsers[words[0] if words[0] in parsers else Path(words[0]).name](words[1:])


def test_the_rasteriser_is_timed_and_compared(tmp_path, monkeypatch, capsys):
    """On the CPU, where it is compared with itself."""
    words = ["", "--device", "cpu", "--triangles", "300", "--side", "16", "--views", "2",
             "--seconds", "0.01", "--json", str(tmp_path / "rows.jsonl")]  # fmt: skip
    monkeypatch.setattr(sys, "argv", words)
    bench_rasterizer.main()
    row = json.loads((tmp_path / "rows.jsonl").read_text())
    assert (row["impl"], row["differing_pixels"], row["views"]) == ("numba", 0, 2)
    assert row["operator_ms"] > 0
    assert row["with_gradient_ms"] > 0
    monkeypatch.setattr(bench_rasterizer, "_differing", lambda *_: 3)
    with pytest.raises(SystemExit, match="not every pixel"):
        bench_rasterizer.main()


def test_the_table_in_the_documentation_has_these_limits(tmp_path):
    text = (Path(__file__).parents[2] / "docs/evidence/gpu.md").read_text()
    section = text.partition("## What is prepared for a card")[2].partition("\n## ")[0]
    told = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            names, limits = line.split("|")[1:3]
            told |= dict(zip(re.findall("`(.+?)`", names), re.findall(r"\d+", limits), strict=True))
    assert told == {task.name: str(task.limit_s) for task in tasks(tmp_path)}


def test_the_picture_separates_from_its_background(tmp_path):
    draw_prompt(tmp_path / "prompt.png")
    pixels = np.asarray(Image.open(tmp_path / "prompt.png"), np.float32).transpose(2, 0, 1) / 255
    drawn = np.abs(pixels - pixels[:, :1, :1]).sum(0) > 0.1
    found = cut_out(pixels)
    assert (found & drawn).sum() / (found | drawn).sum() > 0.97
