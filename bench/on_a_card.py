"""Everything that only a GPU can show, in the order of what matters most, within a time budget.

    python -P bench/on_a_card.py --out FOLDER [--minutes 13] [--only TASK …] [--list]

Each task is a process with a limit of its own. A task is started only if its whole limit fits into
what is left of the budget, so the budget holds; a task that fails or runs out of time does not
stop the others. Logs, JSON lines of measurements and `tasks.jsonl` are written into FOLDER. Needs
torch for CUDA, Triton, numba and pytest; not make. Exit status 1 if a task failed or was left out.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

POLL_S = 0.2
"""Time between looks at a task."""
INTERRUPT_LINES = 20
"""Lines of events after which a run is interrupted: it is in the middle of a phase."""
SHORTENED = ("--method.coarse.steps", "150", "--method.geometry.steps", "40",
             "--method.texture.steps", "80")  # fmt: skip
"""Phases of the whole run."""


@dataclass(frozen=True, slots=True)
class Task:
    """One process."""

    name: str
    what: str
    """What it shows."""
    command: tuple[str, ...]
    limit_s: int
    """Time after which it is ended; about twice what is expected."""
    interrupt_at: Path | None = None
    """SIGTERM once this file has INTERRUPT_LINES lines; to end then is what is wanted."""


def tasks(out: Path) -> list[Task]:
    """All tasks, the most important one first. They write into `out`."""
    programs = Path(sys.executable).parent
    python, xbind = (sys.executable, "-P"), str(programs / "xbind")
    pytest = (str(programs / "pytest"), "-q", "-p", "no:cacheprovider")
    sd21, stopped = str(out / "sd21-random"), out / "stopped"
    whole = (xbind, "generate", "--bundle", sd21, "--image", str(out / "prompt.png"),
             "--device", "cuda", "--engine", "cuda-graphs")  # fmt: skip
    halted = (*whole, "--preset", "probe", "--method.coarse.steps", "200", "--out", str(stopped))
    return [
        Task("machine", "driver, card, versions", (xbind, "doctor"), 40),
        Task(
            "operators", "every Triton kernel against its definition; the faces of the rasteriser "
            "against the CPU's", (*pytest, "tests/gpu/test_operators.py", "tests/kernels/gpu"), 120,
        ),
        Task(
            "rasteriser", "milliseconds for 600 000 triangles at 512 pixels",
            (*python, "bench/bench_rasterizer.py", "--json", str(out / "rasteriser.jsonl")), 45,
        ),
        Task(
            "networks", "guidance steps of the mini bundle in float32 and float16, CUDA graphs, "
            "engines that are installed",
            (*pytest, "tests/gpu/test_networks.py", "tests/gpu/test_engines.py"), 120,
        ),
        Task(
            "steps", "guidance steps of the public networks' size in each layout: milliseconds, "
            "cosine, memory",
            (*python, "bench/bench_real_steps.py", "--preset", "paper", "--seconds", "0.25",
             "--only", "sds2d_img", "sds3d", "cds2d", "ms", "--json", str(out / "steps.jsonl")),
            180,
        ),
        Task("weights", "a bundle of the public networks' size, with random weights",
             (xbind, "bundle", "random", "--out", sd21), 120),
        Task(
            "whole", "a run at real size with shortened phases: seconds per phase, memory",
            (*whole, "--preset", "fast", *SHORTENED, "--out", str(out / "whole")), 200,
        ),
        Task("interrupted", "SIGTERM in Phase I of a run at real size", halted, 90,
             interrupt_at=stopped / "events.jsonl"),
        Task("resumed", "the same run, resumed and ended", (*halted, "--resume"), 120),
        Task(
            "kernels", "milliseconds of every operator and of its definition",
            (*python, "bench/bench_kernels.py", "--device", "cuda", "--seconds", "0.3",
             "--json", str(out / "kernels.jsonl")), 90,
        ),
        Task(
            "phases", "every phase of the mini bundle, plain and as CUDA graphs",
            (str(programs / "xbind-bench"), "--device", "cuda", "--precision", "float16",
             "--engine", "plain", "eager", "cuda-graphs", "--json", str(out / "phases.jsonl")), 120,
        ),
        Task("scene", "renders against the CPU's, and whole runs of the mini bundle",
             (*pytest, "tests/gpu/test_scene.py"), 120),
        Task("train", "more training of the mini bundle's priors: weights, samples per second",
             (*python, "-m", "xbind.mini.train.timed", "--out", str(out / "trained"),
              "--minutes", "8.5"), 560),
    ]  # fmt: skip


def run(task: Task, out: Path, log: Path) -> dict[str, object]:
    """Run one task to its end or to its limit; what came of it."""
    start, asked_s = time.monotonic(), None
    with log.open("wb") as file:
        process = subprocess.Popen(
            task.command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        while process.poll() is None:
            time.sleep(POLL_S)
            spent = time.monotonic() - start
            if asked_s is None and _is_time(task):
                asked_s = spent
                os.killpg(process.pid, signal.SIGTERM)
            if spent > task.limit_s:
                os.killpg(process.pid, signal.SIGKILL)
    seconds = time.monotonic() - start
    is_wanted = process.returncode == 0
    if task.interrupt_at is not None:  # not ended by itself, and not killed at the limit
        is_wanted = asked_s is not None and process.returncode not in (0, -signal.SIGKILL)
    return {
        "task": task.name, "passed": is_wanted, "status": process.returncode,
        "seconds": round(seconds, 1), "limit_s": task.limit_s, "log": log.name,
        "seconds_after_sigterm": None if asked_s is None else round(seconds - asked_s, 1),
    }  # fmt: skip


def _is_time(task: Task) -> bool:
    """Returns True once a task that is to be interrupted has got far enough."""
    if task.interrupt_at is None or not task.interrupt_at.is_file():
        return False
    return task.interrupt_at.read_bytes().count(b"\n") >= INTERRUPT_LINES


def run_all(wanted: Sequence[Task], out: Path, seconds: float) -> list[dict[str, object]]:
    """Run what fits into the budget, in order; what came of each task."""
    end, results = time.monotonic() + seconds, []
    for task in wanted:
        left = end - time.monotonic()
        if task.limit_s > left:
            result: dict[str, object] = {
                "task": task.name, "passed": None,
                "why": f"{left:.0f} s are left, and it may take {task.limit_s}",
            }  # fmt: skip
        else:
            result = run(task, out, out / f"{task.name}.log")
        results.append(result)
        with (out / "tasks.jsonl").open("a") as file:
            file.write(json.dumps(result) + "\n")
        print(json.dumps(result), flush=True)
    return results


def draw_prompt(path: Path) -> None:
    """A picture that separates from its background: a red vase on grey."""
    picture = Image.new("RGB", (512, 512), (225, 225, 225))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((156, 180, 356, 440), fill=(170, 40, 30))
    draw.rectangle((216, 90, 296, 220), fill=(150, 30, 25))
    picture.save(path)


def main() -> None:
    """Run the tasks, or list them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("out/card"))
    parser.add_argument("--minutes", type=float, default=13.0, help="budget of all tasks together")
    parser.add_argument("--only", nargs="+", help="names of tasks")
    parser.add_argument("--list", action="store_true", help="print the tasks and their limits")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    known = tasks(out)
    if unknown := set(arguments.only or ()) - {task.name for task in known}:
        parser.error(f"no such task: {', '.join(unknown)}")
    wanted = [task for task in known if not arguments.only or task.name in arguments.only]
    if arguments.list:
        for task in wanted:
            print(f"{task.name:12} {task.limit_s:4} s  {task.what}")
        return
    out.mkdir(parents=True, exist_ok=True)
    draw_prompt(out / "prompt.png")
    results = run_all(wanted, out, 60 * arguments.minutes)
    if failed := [str(r["task"]) for r in results if not r["passed"]]:
        sys.exit(f"Failed or left out: {', '.join(failed)}. Logs are in {out}.")


if __name__ == "__main__":
    main()
