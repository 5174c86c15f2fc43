"""`xbind batch` as typed, with an executor that has no processes."""

import csv
import io

import pytest

from tests.batch.fakes import FakeExecutor, finish
from xbind.batch.executor import Died, Failed
from xbind.cli import batch
from xbind.cli.batch_config import BatchConfig
from xbind.cli.batch_progress import choose_watcher
from xbind.cli.main import advice_to_resume, main, parse


@pytest.fixture
def executor(monkeypatch):
    """What runs the jobs of every batch of a test."""
    fake = FakeExecutor(workers=2)
    monkeypatch.setattr(batch, "make_executor", lambda config, queue, waiting: fake)
    return fake


@pytest.fixture
def listed(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("text,seed\na red mug,\na blue car,7\na red mug,\n")
    return path


def run(listed, out, words=""):
    main(["batch", str(listed), "--out", str(out), "--preset", "probe", *words.split()])


def summary(out):
    return list(csv.DictReader(io.StringIO((out / "summary.csv").read_text())))


def test_every_flag():
    words = (
        "batch list.csv --out o --seeds 0..2,9 --workers 4 --attempts 5 --ray 127.0.0.1:6379 "
        "--part 2/3 --preset smoke --without ms --phase2-loss sds --bundle b --prior-3d narrow "
        "--prior-2d sd_base --device cpu --engine eager --precision float32 --vram 4 --threads 2 "
        "--height 0.1 --method.coarse.steps 3"
    )
    config = parse(words.split())
    assert isinstance(config, BatchConfig)
    assert (config.share(), config.method, config.files.height) == (
        (2, 3),
        {"coarse.steps": 3},
        0.1,
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "--out"),
        ("--out o --seeds 3..1", "--seeds wants"),
        ("--out o --workers 0", "--workers must be in 1"),
        ("--out o --attempts 0", "--attempts must be at least 1"),
        ("--out o --part 3/2", "--part wants K/N"),
        ("--out o --threads 0", "--threads must be at least 1"),
        ("--out o --vram -1", "--vram must be a positive number"),
        ("--out o --without all", "--without wants"),
        ("--out o --ray ", "--ray"),
    ],
)
def test_wrong_flags(words, message, capsys):
    with pytest.raises(SystemExit) as left:
        main(["batch", "list.txt", *words.split(" ")])
    assert left.value.code == 2
    assert message in capsys.readouterr().err


def test_prompts_times_seeds_without_doubles(executor, listed, tmp_path, capsys):
    run(listed, tmp_path / "out", "--seeds 0..1")
    rows = summary(tmp_path / "out")
    assert [(row["prompt"], row["seed"], row["state"]) for row in rows] == [
        ("a red mug", "0", "done"), ("a red mug", "1", "done"), ("a blue car", "7", "done"),
    ]  # fmt: skip
    assert all((tmp_path / "out" / row["folder"] / "mesh.glb").is_file() for row in rows)
    assert "3 of 3 objects are in" in capsys.readouterr().out


def test_more_seeds_later_make_only_what_is_new(executor, listed, tmp_path, capsys):
    run(listed, tmp_path / "out")
    assert len(executor.started) == 2
    run(listed, tmp_path / "out", "--seeds 0..1")
    assert len(executor.started) == 3
    assert "2 of 3 objects are there already" in capsys.readouterr().out


def test_a_failure_is_told_at_the_end(executor, listed, tmp_path, capsys):
    executor.ending = lambda task: (
        Failed(task.job.id, "too blue\nLeave it.") if "blue" in task.job.label else finish(task)
    )
    with pytest.raises(SystemExit) as left:
        run(listed, tmp_path / "out", "--seeds 0..1")
    assert "1 of 3 objects failed" in left.value.code
    assert str(tmp_path / "out" / "summary.csv") in left.value.code
    shown = capsys.readouterr().out
    assert "a blue car, seed 7: failed: too blue\n" in shown
    assert [row["state"] for row in summary(tmp_path / "out")] == ["done", "done", "failed"]
    assert summary(tmp_path / "out")[2]["error"] == "too blue\nLeave it."


def test_parts_share_the_list(executor, listed, tmp_path):
    run(listed, tmp_path / "out", "--seeds 0..1 --part 2/2")
    assert len(executor.started) == 1
    run(listed, tmp_path / "out", "--seeds 0..1 --part 1/2")
    assert len(set(executor.started)) == 3
    rows = summary(tmp_path / "out")
    assert [(row["prompt"], row["seed"]) for row in rows] == [
        ("a red mug", "0"), ("a red mug", "1"), ("a blue car", "7"),
    ]  # fmt: skip


def test_a_wrong_line_starts_nothing(executor, listed, tmp_path):
    listed.write_text("text,image\na red mug,\n,nothing.png\n")
    with pytest.raises(SystemExit) as left:
        run(listed, tmp_path / "out")
    assert f"{listed}, line 3: --image {tmp_path}/nothing.png does not exist" in left.value.code
    assert not (tmp_path / "out").exists()
    assert executor.started == []


def test_interrupted_says_how_to_continue():
    words = ["batch", "my list.txt", "--out", "o"]
    advice = advice_to_resume(parse(words), words, None)
    assert advice == ". Continue with the same command:\n  xbind batch 'my list.txt' --out o"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_live_display_shows_each_ending(executor, listed, tmp_path, monkeypatch):
    stream, deaths = Terminal(), [1]

    def ending(task):
        if "blue" in task.job.label and deaths:
            deaths.pop()
            return Died(task.job.id, "killed by signal 9")
        return finish(task)

    executor.ending = ending
    monkeypatch.setattr(batch, "choose_watcher", lambda total: choose_watcher(total, stream))
    monkeypatch.setenv("TERM", "xterm")
    run(listed, tmp_path / "out")
    shown = stream.getvalue()
    assert "a red mug, seed 0: done in 1 s" in shown
    assert "a blue car, seed 7: its worker died (killed by signal 9); the run is resumed" in shown
    assert "2/2" in shown
