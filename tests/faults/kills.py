"""Kills and interruptions at random moments of a run, and what the advised command makes of it."""

import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

from tests.faults.commands import command, forked
from tests.faults.outcomes import Case
from tests.faults.runs import DEFAULT, PROMPTS, whole_run, words_of
from tests.support.run_files import config_of

_KILLS_AT_MOST = 3
"""Of one run, before it is left to finish."""


def kill_cases(folder: Path, count: int) -> Iterator[Case]:
    """Runs that are killed once or more; every third one replaces another prompt's run."""
    for k in range(count):
        yield f"kill/{k}", lambda k=k: kill(folder, k)


def kill(folder: Path, k: int) -> str | None:
    """One run that is killed at moments drawn with seed `k`, and resumed until it is done."""
    draw, out = random.Random(k), folder / f"kill-{k}"
    whole, other = whole_run(folder, PROMPTS[0]), None
    shutil.rmtree(out, ignore_errors=True)
    if k % 3 == 2:
        other = whole_run(folder, PROMPTS[1])
        other.copy(out)
    overwrites = other is not None
    for _ in range(draw.randint(1, _KILLS_AT_MOST)):
        # the first seconds are where folders change hands: half of the moments lie there
        moment = draw.uniform(0, draw.choice([0.3, 1.05]) * whole.seconds)
        ended = forked(command(*_next(out, overwrites)), signals=[(moment, signal.SIGKILL)])
        if ended.status != -signal.SIGKILL and (fault := ended.fault(0)):
            return fault
        overwrites = overwrites and config_of(out)["prompt"]["text"] != PROMPTS[0]
    ended = forked(command(*_next(out, overwrites)))
    fault = ended.fault(0) or whole.difference(out)
    shutil.rmtree(out)
    return fault


def default_cases(folder: Path, count: int) -> Iterator[Case]:
    """Runs at the numbers of `default`, in engines, that are killed once or more."""
    for k in range(count):
        yield f"kill/default-{k}", lambda k=k: _default(folder, k)


def _default(folder: Path, k: int) -> str | None:
    draw, out = random.Random(k), folder / f"default-{k}"
    whole = whole_run(folder, PROMPTS[0], DEFAULT)
    shutil.rmtree(out, ignore_errors=True)
    start = words_of(PROMPTS[0], out, settings=DEFAULT)
    resume = ("generate", "--resume", "--out", str(out))
    for _ in range(draw.randint(1, _KILLS_AT_MOST)):
        words = resume if (out / "config.json").exists() else start
        moment = draw.uniform(0, whole.seconds)
        ended = forked(command(*words), signals=[(moment, signal.SIGKILL)])
        if ended.status != -signal.SIGKILL and (fault := ended.fault(0)):
            return fault
    ended = forked(command(*(resume if (out / "config.json").exists() else start)))
    fault = ended.fault(0) or whole.difference(out)
    shutil.rmtree(out)
    return fault


def _next(out: Path, overwrites: bool) -> tuple[str, ...]:
    """What a user types next."""
    if overwrites:
        return words_of(PROMPTS[0], out, "--overwrite")
    if (out / "config.json").exists():
        return ("generate", "--resume", "--out", str(out))
    return words_of(PROMPTS[0], out)


def old_run_cases(folder: Path, count: int) -> Iterator[Case]:
    """A run killed while it replaces another: `--resume` then makes one of the two, whole."""
    for k in range(count):
        yield f"kill/old-{k}", lambda k=k: _old_run(folder, k)


def _old_run(folder: Path, k: int) -> str | None:
    draw, out = random.Random(k), folder / f"old-{k}"
    new, old = (whole_run(folder, prompt) for prompt in PROMPTS)
    old.copy(out)
    moment = draw.uniform(0.05, 0.5) * new.seconds
    words = words_of(PROMPTS[0], out, "--overwrite")
    ended = forked(command(*words), signals=[(moment, signal.SIGKILL)])
    if ended.status != -signal.SIGKILL and (fault := ended.fault(0)):
        return fault
    started = config_of(out)["prompt"]["text"]
    ended = forked(command("generate", "--resume", "--out", str(out)))
    fault = ended.fault(0) or (new if started == PROMPTS[0] else old).difference(out)
    shutil.rmtree(out)
    return fault


def interrupt_cases(folder: Path, count: int) -> Iterator[Case]:
    """Ctrl-C at moments spread evenly over a run; every second one twice."""
    for k in range(count):
        yield f"interrupt/{k}", lambda k=k: interrupt(folder, k, count)


def interrupt(folder: Path, k: int, count: int) -> str | None:
    """Ctrl-C after a share (k + ½)/count of a run: is it told once, with the right advice?"""
    whole, out = whole_run(folder), folder / f"interrupt-{k}"
    shutil.rmtree(out, ignore_errors=True)
    moment = (k + 0.5) / count * whole.seconds
    presses = [(moment, signal.SIGINT), (moment + 0.05, signal.SIGINT)][: 1 + k % 2]
    ended = forked(command(*words_of(PROMPTS[0], out)), signals=presses)
    fault = ended.fault(0, 130)
    if fault is None and ended.status == 130:
        told = [line for line in ended.err.splitlines() if "interrupted" in line]
        advised = "--resume" in ended.err
        if not 1 <= len(told) <= len(presses):
            fault = f"told {len(told)} times: {ended.err}"
        elif advised != (out / "config.json").exists():
            fault = f"wrong advice: {ended.err}"
        elif advised:
            ended = forked(command("generate", "--resume", "--out", str(out)))
            fault = ended.fault(0) or whole.difference(out)
    shutil.rmtree(out, ignore_errors=True)
    return fault
