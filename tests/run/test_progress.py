"""What is told while a run works, on a terminal and in a file."""

import io
import resource
from pathlib import Path

import pytest
from rich.console import Console

from xbind.run import progress
from xbind.run.progress import (
    PlainReporter,
    RichReporter,
    StepRecord,
    choose_reporter,
    format_bytes,
    format_seconds,
    peak_memory_bytes,
)


def work(reporter, steps=100, done=0):
    with reporter:
        reporter.phase_started("coarse", steps, done)
        for step in range(done + 1, steps + 1):
            reporter.step(StepRecord(phase="coarse", step=step, terms={"sds2d": 0.125, "ms": -0.5}))
        reporter.preview(Path("out/previews/coarse.png"))
        reporter.message("[bold]not markup[/bold]")
        reporter.finished([Path("out/mesh.glb")], 75.4)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_plain_lines_are_few_and_whole():
    stream = io.StringIO()
    work(PlainReporter(stream))
    lines = stream.getvalue().splitlines()
    steps = [line for line in lines if line.startswith("coarse ")]
    assert len(steps) == progress.LINES_PER_PHASE
    assert steps[-1].startswith("coarse 100/100  sds2d 0.125  ms -0.5  left 0 s  peak ")
    assert "[bold]not markup[/bold]" in lines
    assert lines[-2].startswith("Done in 1 min 15 s, peak memory ")
    assert lines[-1] == "  out/mesh.glb"


def test_plain_says_the_last_step_of_a_short_or_uneven_phase():
    stream = io.StringIO()
    work(PlainReporter(stream), steps=47)
    assert "coarse 47/47 " in stream.getvalue()


def test_remaining_time_counts_only_this_sitting(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    reporter = PlainReporter(stream)
    reporter.phase_started("coarse", 100, 50)
    now[0] += 10.0
    reporter.step(StepRecord(phase="coarse", step=55, terms={}))
    assert "coarse: 100 steps, 50 done before" in stream.getvalue()
    assert "left 1 min 30 s" in stream.getvalue()  # 5 steps took 10 s, 45 are left


def test_live_display_shows_terms_and_ends_with_the_result():
    stream = Terminal()
    work(RichReporter(Console(file=stream, force_terminal=True, width=100)))
    shown = stream.getvalue()
    assert "coarse" in shown
    assert "100/100" in shown
    assert "peak memory" in shown
    assert "[bold]not markup[/bold]" in shown
    assert "out/mesh.glb" in shown


def test_live_display_renders_the_latest_terms():
    console = Console(file=Terminal(), force_terminal=True, width=100)
    reporter = RichReporter(console)
    reporter.phase_started("geometry", 10)
    reporter.step(StepRecord(phase="geometry", step=3, terms={"cds2d": 0.25}))
    reporter.preview(Path("a.png"))
    with console.capture() as capture:
        console.print(reporter._render())
    assert "3/10" in capture.get()
    assert "cds2d 0.25" in capture.get()
    assert "preview  a.png" in capture.get()


def test_the_terminal_is_given_back_after_an_error():
    stream = Terminal()
    reporter = RichReporter(Console(file=stream, force_terminal=True))
    with pytest.raises(KeyboardInterrupt), reporter:
        raise KeyboardInterrupt
    assert stream.getvalue().endswith("\x1b[?25h")  # the cursor is shown again


@pytest.mark.parametrize(
    ("stream", "term", "kind"),
    [
        (Terminal(), "xterm", RichReporter),
        (Terminal(), "dumb", PlainReporter),
        (io.StringIO(), "xterm", PlainReporter),
    ],
)
def test_live_only_on_a_terminal(monkeypatch, stream, term, kind):
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", term)
    assert type(choose_reporter(stream)) is kind


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (3725, "1 h 02 min")],
)
def test_seconds(seconds, text):
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**30, "1.0 GiB"), (2**50, "1024.0 TiB")],
)
def test_bytes(count, text):
    assert format_bytes(count) == text


def test_peak_memory_is_of_this_process():
    block = bytearray(50 * 2**20)
    block[::4096] = b"x" * len(block[::4096])
    held = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    # The kernel counts in batches, so the two may differ by a few hundred pages.
    assert 0.98 * held <= peak_memory_bytes() < 16 * held
